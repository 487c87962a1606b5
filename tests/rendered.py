"""What a rendered project says: its files, and every text in them as YAML, TOML, Python and Markdown read it."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config
from cookiecutter.utils import create_env_with_context
from markdown_it import MarkdownIt

from template_catalogue import catalogue, kind_of, known_model

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "<<cookiecutter.project_slug>>"
ROOMS = ("account", "capacity", "console", "deploy", "operate")  # packages of a rendered project
Bake = Callable[..., Path]  # bake(**answers): the folder of the rendered project
KINDS = ("chat", "pictures", "embeddings", "reranking", "transcription")  # of models
BINARY = (".wav",)
MARKDOWN = MarkdownIt("gfm-like")  # tables, strikethrough, bare links


def typed(text: str) -> str:
    """`text` as somebody types it at a prompt: cookiecutter renders delimiters only in answers given beforehand."""
    return f"<< {json.dumps(text, ensure_ascii=False)} >>"


def files(project: Path) -> dict[str, str]:
    """The text of each file by its path in the project, but for recordings."""
    return {
        path.relative_to(project).as_posix(): path.read_text("utf-8")
        for path in sorted(project.rglob("*"))
        if path.is_file() and path.suffix not in BINARY
    }


def different_models() -> list[str]:
    """Models of the catalogue that differ in what is rendered: kind, parsers, gate, number of GPUs."""
    found: dict[tuple[object, ...], str] = {}
    for model_id, entry in catalogue().items():
        counts = entry["gpu"]["published"].get("count", 1) > 1
        parsers = ("tool_parser" in entry, "reasoning_parser" in entry)
        found.setdefault((kind_of(entry), *parsers, entry["gated"], counts), model_id)
    return list(found.values())


@cache
def _answered() -> dict[str, Any]:
    """The answers of somebody who presses Enter at each question."""
    context = generate_context(str(ROOT / "cookiecutter.json"))
    return dict(prompt_for_config(context, no_input=True))


@cache
def _compiled(name: str) -> Any:
    questions = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))
    environment = create_env_with_context({"cookiecutter": questions})
    return environment.from_string((TEMPLATE / name).read_text("utf-8"))


def rendered(name: str, model_id: str, precision: str = "published") -> str:
    """The text of one file for a model, with the defaults of all other answers. A bake takes 100 times as long."""
    kind = known_model(model_id, precision)["kind"]
    kinds = {f"__{name}": "yes" if name == kind else "" for name in KINDS}
    answers = _answered() | {"model_id": model_id, "precision": precision, "__kind": kind} | kinds
    return str(_compiled(name).render(cookiecutter=answers))


def engine_command(project: Path, **variables: str) -> list[str]:
    """The words of `vllm serve …` of a project's service, see `engine_words`."""
    return engine_words((project / "dstack" / "service.dstack.yml").read_text("utf-8"), **variables)


def engine_words(service_file: str, **variables: str) -> list[str]:
    """The words of `vllm serve …`, as a shell makes them of the service's command and `env`, `variables` over it."""
    service = yaml.safe_load(service_file)
    script = "\n".join(["vllm() { printf '%s\\n' vllm \"$@\"; }; uv() { :; }", *service["commands"]])
    environ = {name: str(value) for name, value in service["env"].items()} | variables
    return subprocess.check_output(["sh", "-c", script], env=environ, text=True).splitlines()


def parsed(name: str, text: str) -> Any:
    """The document in a file, None for a format that isn't data. Raises what its parser raises."""
    match Path(name).suffix:
        case ".yml" | ".yaml":
            return list(yaml.safe_load_all(text))
        case ".toml":
            return tomllib.loads(text)
        case ".json":
            return json.loads(text)
        case ".py":
            return ast.parse(text)
        case _:
            return None


def texts(name: str, text: str) -> list[str]:
    """Every string in a file, in order, unescaped; comments too. A file of another format is one string."""
    document = parsed(name, text)
    match document:
        case ast.AST():
            strings = [n.value for n in ast.walk(document) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
            tokens = tokenize.generate_tokens(io.StringIO(text).readline)
            return strings + [token.string for token in tokens if token.type == tokenize.COMMENT]
        case None if name.endswith(".md"):
            return list(_markdown(text))
        case None:
            return [text]
        case _:
            return list(_strings(document)) + [line for line in text.splitlines() if line.lstrip().startswith("#")]


def _strings(document: Any) -> Iterator[str]:
    match document:
        case str():
            yield document
        case list():
            for item in document:
                yield from _strings(item)
        case dict():
            for key, value in document.items():
                yield from _strings(key)
                yield from _strings(value)


def _markdown(text: str) -> Iterator[str]:
    for token in MARKDOWN.parse(text):
        if token.type == "inline":
            assert token.children is not None
            yield "".join("\n" if child.type == "softbreak" else child.content for child in token.children)
        else:
            yield token.content
