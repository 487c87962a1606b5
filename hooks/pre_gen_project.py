"""Refuses a wrong answer before a file is written, in one line: which answer, why, an example that works.

cookiecutter renders this file and runs it in the project's new, empty folder. Answers come in as JSON, never as code.
"""

import json
import re
import sys
from collections.abc import Callable

ANSWERS = json.loads(r""" << {
    "project_name": cookiecutter.project_name,
    "project_slug": cookiecutter.project_slug,
    "model_id": cookiecutter.model_id,
    "precision": cookiecutter.precision,
    "hosted_zone": cookiecutter.hosted_zone,
    "aws_region": cookiecutter.aws_region,
    "dstack_project": cookiecutter.dstack_project,
    "owner": cookiecutter.owner,
} | tojson >> """)
# null, or what speaks against the model: in this precision; in any, with an example
MODEL = json.loads(r""" << cookiecutter.model_id | refused_model | tojson >> """)
PRECISION = json.loads(r""" << cookiecutter.model_id | refused_precision(cookiecutter.precision) | tojson >> """)

# Not China and GovCloud: dstack checks every AWS account at us-east-1 first, where those can't sign in.
AWS = """
    af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2
    ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7
    ca-central-1 ca-west-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3
    il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-west-1 us-west-2
"""
AWS_REGIONS = AWS.split()
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HUB_NAME = r"(?![.-])[A-Za-z0-9_.-]{1,96}(?<![.-])"


def text(limit: int) -> Callable[[str], bool]:
    """Accept a line of printable characters. Emoji may be joined by U+200D, which isn't printable by itself."""
    return lambda answer: (
        0 < len(answer) <= limit and answer == answer.strip() and answer.replace("\u200d", "").isprintable()
    )


def pattern(expression: str) -> Callable[[str], object]:
    return re.compile(expression).fullmatch


def nearest_region(answer: str) -> str:
    """Return the region that `answer` may have meant. Only a wrong answer needs the imports."""
    if answer in AWS_REGIONS:
        return answer
    from difflib import get_close_matches

    return (get_close_matches(answer, AWS_REGIONS, n=1) or ["us-east-1"])[0]


def fits_dstack(zone: str) -> bool:
    return len(f"{ANSWERS['project_slug']}.{zone}") <= 100


RULES = (
    ("project_name", text(60), "takes 1 to 60 printable characters, no space at either end", "Mistral Nemo"),
    (
        "project_slug",  # 32 and not dstack's 41 characters, because runs are called `<slug>-sandbox` too
        pattern(r"(?!.*--)[a-z][a-z0-9-]{0,30}[a-z0-9]"),
        "names a dstack run and a host: 2 to 32 of a-z, 0-9 and single hyphens, a letter first, no hyphen last",
        "mistral-nemo",
    ),
    (
        "project_slug",
        pattern(r"(?!(?:true|false|yes|no|on|off|null)$).*"),
        "means something else in YAML, which dstack reads",
        "mistral-nemo",
    ),
    (
        "model_id",
        pattern(rf"(?!.*(?:--|\.\.))(?!.*\.git$){HUB_NAME}/{HUB_NAME}"),
        "is no id of a model on Hugging Face (organisation/name)",
        "mistralai/Mistral-Nemo-Instruct-2407",
    ),
    (
        "hosted_zone",
        pattern(rf"(?:{LABEL}\.)+(?=[a-z]){LABEL}"),
        "is no domain: two or more labels of a-z, 0-9 and hyphens, lower case, no dot last",
        "ai.internal",
    ),
    ("hosted_zone", fits_dstack, "is too long: dstack takes 100 characters of <slug>.<zone>", "ai.internal"),
    (
        "aws_region",
        AWS_REGIONS.__contains__,
        "is no AWS region that dstack works in",
        nearest_region(str(ANSWERS["aws_region"])),
    ),
    (
        "dstack_project",
        pattern(r"[A-Za-z0-9_-]{1,50}"),
        "takes 1 to 50 of A-Z, a-z, 0-9, _ and -, as in dstack",
        "main",
    ),
    ("owner", text(200), "takes 1 to 200 printable characters, no space at either end", "the platform team"),
    # Pairs of answers that don't go together, after each for itself.
    ("model_id", lambda _: MODEL is None, *(MODEL or ("", ""))),
    ("precision", lambda _: PRECISION is None, PRECISION, {"fp8": "published"}.get(str(ANSWERS["precision"]), "fp8")),
)


def remove_empty_folders(slug: str) -> None:
    """Remove what cookiecutter made for a slug like `a/b` before this hook ran: it would remove `b` alone."""
    from contextlib import suppress
    from pathlib import Path, PurePath

    depth = len(PurePath(slug).parts)
    for folder in (Path.cwd(), *Path.cwd().parents)[: depth if depth > 1 else 0]:
        with suppress(OSError):  # not empty: not made for this project
            folder.rmdir()


for name, accepts, why, example in RULES:
    answer = ANSWERS[name]
    if not isinstance(answer, str) or not accepts(answer):
        remove_empty_folders(str(ANSWERS["project_slug"]))
        sys.exit(f"{name} {answer!r:.80} {why}; for example: {example}")
