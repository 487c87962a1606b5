"""Checks the answers to cookiecutter's questions: `cookiecutter | check(question)` and `cookiecutter | refusal(…)`.

cookiecutter.json calls `check` behind each question, so a wrong answer is refused before the next question.
hooks/pre_gen_project.py calls `refusal`, because `cookiecutter --replay` asks no question.

template_extensions.py runs this file and takes `FILTERS` from it. It imports nothing of the template, and only packages
that come with cookiecutter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cookiecutter.exceptions import FailedHookException

# Without China and GovCloud: dstack checks every AWS account in us-east-1 first, and those can't sign in there.
AWS = """
    af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2
    ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7
    ca-central-1 ca-west-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3
    il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-west-1 us-west-2
"""
AWS_REGIONS = AWS.split()
MOST_EDITS = 3  # between a mistyped region and the one that was meant; "Frankfurt" is no typing error
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HUB_NAME = r"(?![.-])[A-Za-z0-9_.-]{1,96}(?<![.-])"
NO_MODELS = "api|blog|collections|datasets|docs|models|organizations|papers|settings|spaces"
HUB_PAGE = re.compile(
    rf"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?!(?:{NO_MODELS})/)([^/?#]+/[^/?#]+)[/?#]?.*"
)

Answers = Mapping[str, Any]  # cookiecutter's, by question: those that were given so far
Refused = tuple[str, str] | str | None  # why, and an example; why alone for `precision`; None: accepted


@dataclass(frozen=True)
class Rule:
    """What an answer must be. `accepts` also gets all other answers, `example` returns an answer that works."""

    accepts: Callable[[str, Answers], object]
    why: str
    example: Callable[[str], str]


def text(limit: int) -> Callable[[str, Answers], bool]:
    """Accept a line of printable characters. U+200D joins emoji, so it is accepted although it isn't printable."""
    return lambda answer, _: (
        0 < len(answer) <= limit and answer == answer.strip() and answer.replace("\u200d", "").isprintable()
    )


def pattern(expression: str) -> Callable[[str, Answers], object]:
    """Accept an answer that matches as a whole."""
    return lambda answer, _: re.fullmatch(expression, answer)


def example(answer: str) -> Callable[[str], str]:
    """Return the same example for every wrong answer."""
    return lambda _: answer


def is_region(answer: str, _: Answers) -> bool:
    return answer in AWS_REGIONS


def fits_dstack(zone: str, answers: Answers) -> bool:
    return len(f"{answers.get('project_slug', '')}.{zone}") <= 100


def nearest_region(answer: str) -> str:
    """Return the region that somebody most likely wanted to type. Of two, the one with the same letters."""
    typed = answer.lower()
    nearest = min(AWS_REGIONS, key=lambda region: (edits(typed, region), sorted(typed) != sorted(region)))
    return nearest if edits(typed, nearest) <= MOST_EDITS else "us-east-1"


def edits(typed: str, meant: str) -> int:
    """Return how many typing errors lead from `meant` to `typed`: one character too many, too few, wrong, or swapped.

    This is the optimal string alignment distance.
    """
    before: list[int] = []
    row = list(range(len(meant) + 1))
    for i, letter in enumerate(typed, start=1):
        before, last, row = row, before, [i]
        for j, wanted in enumerate(meant, start=1):
            least = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if last and j > 1 and letter == meant[j - 2] and typed[i - 2] == wanted:
                least = min(least, last[j - 2] + 1)
            row.append(least)
    return row[-1]


MODEL = example("mistralai/Mistral-Nemo-Instruct-2407")
SLUG, ZONE = example("mistral-nemo"), example("ai.internal")
PRINTABLE = "must have 1 to {} printable characters, without a space at either end"
RULES: dict[str, tuple[Rule, ...]] = {
    "model_id": (
        Rule(
            pattern(rf"(?!.*(?:--|\.\.))(?!.*\.git$){HUB_NAME}/{HUB_NAME}"),
            "is not the id of a model on Hugging Face (organisation/name)",
            MODEL,
        ),
    ),
    "project_name": (Rule(text(60), PRINTABLE.format(60), example("Mistral Nemo")),),
    "project_slug": (
        Rule(  # dstack allows 41 characters; the name of a run may be `<slug>-sandbox`
            pattern(r"(?!.*--)[a-z][a-z0-9-]{0,30}[a-z0-9]"),
            "must have 2 to 32 of a-z, 0-9 and single hyphens, start with a letter and not end with a hyphen",
            SLUG,
        ),
        Rule(
            pattern(r"(?!(?:true|false|yes|no|on|off|null)$).*"),
            "has another meaning in YAML, so dstack would not read it as a name",
            SLUG,
        ),
    ),
    "precision": (
        Rule(
            lambda answer, _: answer in ("published", "fp8", "4bit"),
            "must be published, fp8 or 4bit",
            example("published"),
        ),
    ),
    "hosted_zone": (
        Rule(
            pattern(rf"(?:{LABEL}\.)+(?=[a-z]){LABEL}"),
            "is not a domain: two or more labels of a-z, 0-9 and hyphens, in lower case, with no dot at the end",
            ZONE,
        ),
        Rule(fits_dstack, "is too long: dstack accepts at most 100 characters for <slug>.<zone>", ZONE),
    ),
    "aws_region": (Rule(is_region, "is not an AWS region that dstack supports", nearest_region),),
    "dstack_server": (
        Rule(
            pattern(rf"(?:https?://(?:{LABEL}\.)*{LABEL}(?::[0-9]{{1,5}})?)?"),
            "is not the address of a server: https:// and a host name, and nothing behind it",
            example("https://dstack.example.com"),
        ),
    ),
    "dstack_project": (
        Rule(
            pattern(r"[A-Za-z0-9_-]{1,50}"),
            "must have 1 to 50 of A-Z, a-z, 0-9, _ and -, as dstack requires",
            example("main"),
        ),
    ),
    "owner": (Rule(text(200), PRINTABLE.format(200), example("the platform team")),),
}


def check(answers: Answers, question: str, refused: Refused = None) -> str:
    """Return "" when the answer is accepted. `refused`: what template_catalogue.py says about the answer.

    Otherwise raises the exception that cookiecutter shows as one line, without a traceback.
    """
    if line := _refusal_of(answers, question, refused):
        raise FailedHookException(line)
    return ""


def refusal(answers: Answers, model: Refused, precision: Refused) -> str | None:
    """Return why the first wrong answer is refused, in one line; None when all answers are accepted.

    `model` and `precision`: what template_catalogue.py says about these two answers.
    """
    known: dict[str, Refused] = {"model_id": model, "precision": precision}
    lines = (_refusal_of(answers, question, known.get(question)) for question in RULES)
    return next((line for line in lines if line), None)


def _refusal_of(answers: Answers, question: str, refused: Refused) -> str:
    answer = answers.get(question)
    for rule in RULES[question]:
        if not isinstance(answer, str) or not rule.accepts(answer, answers):
            return _line(question, answer, rule.why, rule.example(str(answer)))
    if isinstance(refused, str):
        return _line(question, answer, refused, "fp8" if answer == "published" else "published")
    return _line(question, answer, *refused) if refused else ""


def _line(question: str, answer: object, why: str, works: str) -> str:
    return f"{question} {answer!r:.80} {why}; for example: {works}"


def hub_id(answer: object) -> str:
    """Return the id of the model whose page on Hugging Face was pasted. Any other answer stays as it is."""
    typed = str(answer).strip(" ")
    page = HUB_PAGE.fullmatch(typed)
    return page[1] if page else typed


FILTERS: dict[str, Callable[..., Any]] = {"check": check, "refusal": refusal, "hub_id": hub_id}
