"""Parts of the documentation that follow from data: the tables of models and of answers.

`inv record` writes the tables of README.md and docs/generate.md. The site's build adds the details of each model.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
ABILITIES = {"tool_parser": "tools", "reasoning_parser": "thinks", "sees": "sees", "picture_gib": "draws"}
CATALOGUE_PLACE = "<!-- the site has the details of each model here -->"
MODELS_MARKS = ("<!-- models: inv record -->\n", "<!-- end of models -->\n")
ANSWERS_MARKS = ("<!-- answers: inv record -->\n", "<!-- end of answers -->\n")


def catalogue() -> dict[str, dict[str, Any]]:
    """Return the entries of models/ by Hugging Face id."""
    entries: dict[str, dict[str, Any]] = runpy.run_path(str(ROOT / "template_catalogue.py"))["catalogue"]()
    return entries


def table(*rows: tuple[str, ...]) -> str:
    """Return a Markdown table; the first row is its head."""
    head, *body = rows
    lines = [head, ("---",) * len(head), *body]
    return "".join(f"|{'|'.join(line) if line[0] == '---' else ' ' + ' | '.join(line) + ' '}|\n" for line in lines)


def table_of_models() -> str:
    """Return the README's table of the models that the template knows."""
    return table(("model", "GPU and context", "licence", "able to"), *map(_model, catalogue().items()))


def _model(named: tuple[str, dict[str, Any]]) -> tuple[str, ...]:
    model_id, entry = named
    licence = entry["licence"] + (", gated" if entry["gated"] else "")
    hears = entry.get("kind") == "transcription"  # the context there is of the words that are written
    gpus = "<br>".join(f"{_precision(entry, name)}: {_cards(gpu, not hears)}" for name, gpu in entry["gpu"].items())
    return (f"`{model_id}`", gpus, licence, ", ".join(_abilities(entry)))


def _precision(entry: dict[str, Any], precision: str) -> str:
    return str(entry["published"]) if precision == "published" else precision


def _abilities(entry: dict[str, Any]) -> Iterator[str]:
    """Yield what a model can do beside chatting or drawing."""
    if "kind" in entry:
        yield entry["kind"]
    yield from (able for key, able in ABILITIES.items() if key in entry)


def _cards(gpu: dict[str, Any], with_context: bool = True) -> str:
    """Return number and size of the cards, and the context served there."""
    number = f"{gpu['count']} x " if "count" in gpu else ""
    context = f", {gpu['context']}" if with_context and "context" in gpu else ""
    return f"{number}{gpu['memory'].split('GB')[0]} GB{context}"


def table_of_answers() -> str:
    """Return the table of cookiecutter's questions, in the order in which they are asked."""
    questions = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))
    texts = questions["__prompts__"]
    rows = [_answer(name, questions[name], texts[name]) for name in questions if not name.startswith("_")]
    return table(("name", "default", "what it is"), *rows)


def _answer(name: str, default: str | list[str], text: str | dict[str, str]) -> tuple[str, ...]:
    if isinstance(text, dict):
        choices = "".join(f"<br>`{choice}`{text[choice].removeprefix(choice)}" for choice in default)
        return (f"`{name}`", f"`{default[0]}`", f"{text['__prompt__']}{choices}")
    value = default if isinstance(default, str) else default[0]
    shown = text.replace("<", "&lt;")  # `<slug>` would be HTML
    return (f"`{name}`", "from other answers" if "<<" in value else f"`{value}`", shown)


def details_of_models() -> str:
    """Return a section for each model: what its block in models/ says, as a table."""
    return "\n".join(
        f"### {model_id.split('/')[1]}\n\n{table(('what', 'value'), *_details(model_id, entry))}"
        for model_id, entry in catalogue().items()
    )


def _details(model_id: str, entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "id", f"[{model_id}](https://huggingface.co/{model_id})"
    yield "engine", entry["engine"]
    yield "parameters", f"{entry['parameters']} billion, published in {entry['published']}: {entry['weights_gib']} GiB"
    for precision, gpu in entry["gpu"].items():
        if "checkpoint" in gpu:
            yield (
                precision,
                f"[{gpu['checkpoint']}](https://huggingface.co/{gpu['checkpoint']}): {gpu['weights_gib']} GiB",
            )
        yield (
            f"GPU memory, {precision}",
            f"{gpu.get('count', 1)} x {gpu['memory']}, compute capability from {gpu['compute_capability']}",
        )
        if "context" in gpu:
            yield f"context, {precision}", f"{gpu['context']} tokens"
    yield "licence", entry["licence"] + (", gated: accept its terms on Hugging Face" if entry["gated"] else "")
    for key, what in (("tool_parser", "tool calls"), ("reasoning_parser", "thoughts")):
        if key in entry:
            yield what, f"vLLM's parser `{entry[key]}`"
    if "flags" in entry:
        yield "more flags", f"`{' '.join(entry['flags'])}`"


def put(page: Path, marks: tuple[str, str], text: str) -> None:
    """Write `text` between two marks of a page. Raises ValueError when the page lacks one of them."""
    before, begin, rest = page.read_text("utf-8").partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"{page.name} lacks the line {(marks[1] if begin else marks[0]).strip()}")
    page.write_text(before + begin + text + end + after, "utf-8")


def put_tables() -> None:
    """Write both tables into their pages."""
    put(ROOT / "README.md", MODELS_MARKS, table_of_models())
    put(ROOT / "docs" / "generate.md", ANSWERS_MARKS, table_of_answers())
