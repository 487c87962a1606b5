"""Refuse a wrong answer before any file is written. The message is one line: which answer, why, and a valid example.

cookiecutter renders this file and runs it in the project's new, empty folder. Answers arrive as JSON, never as code.
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
# Why the model is refused: in every precision (with an example of another model), and in this one. null: accepted.
MODEL = json.loads(r""" << cookiecutter.model_id | refused_model | tojson >> """)
PRECISION = json.loads(r""" << cookiecutter.model_id | refused_precision(cookiecutter.precision) | tojson >> """)

# Without China and GovCloud: dstack checks every AWS account in us-east-1 first, and those can't sign in there.
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
    """Accept a line of printable characters. U+200D joins emoji, so it is accepted although it isn't printable."""
    return lambda answer: (
        0 < len(answer) <= limit and answer == answer.strip() and answer.replace("\u200d", "").isprintable()
    )


def pattern(expression: str) -> Callable[[str], object]:
    return re.compile(expression).fullmatch


def nearest_region(answer: str) -> str:
    """Return the region that is most similar to `answer`. Only a wrong answer needs the import."""
    if answer in AWS_REGIONS:
        return answer
    from difflib import get_close_matches

    return (get_close_matches(answer, AWS_REGIONS, n=1) or ["us-east-1"])[0]


def fits_dstack(zone: str) -> bool:
    return len(f"{ANSWERS['project_slug']}.{zone}") <= 100


RULES = (
    ("project_name", text(60), "must have 1 to 60 printable characters, without a space at either end", "Mistral Nemo"),
    (
        "project_slug",  # dstack allows 41 characters; the name of a run may be `<slug>-sandbox`
        pattern(r"(?!.*--)[a-z][a-z0-9-]{0,30}[a-z0-9]"),
        "must have 2 to 32 of a-z, 0-9 and single hyphens, start with a letter and not end with a hyphen",
        "mistral-nemo",
    ),
    (
        "project_slug",
        pattern(r"(?!(?:true|false|yes|no|on|off|null)$).*"),
        "has another meaning in YAML, so dstack would not read it as a name",
        "mistral-nemo",
    ),
    (
        "model_id",
        pattern(rf"(?!.*(?:--|\.\.))(?!.*\.git$){HUB_NAME}/{HUB_NAME}"),
        "is not the id of a model on Hugging Face (organisation/name)",
        "mistralai/Mistral-Nemo-Instruct-2407",
    ),
    (
        "hosted_zone",
        pattern(rf"(?:{LABEL}\.)+(?=[a-z]){LABEL}"),
        "is not a domain: two or more labels of a-z, 0-9 and hyphens, in lower case, with no dot at the end",
        "ai.internal",
    ),
    ("hosted_zone", fits_dstack, "is too long: dstack accepts at most 100 characters for <slug>.<zone>", "ai.internal"),
    (
        "aws_region",
        AWS_REGIONS.__contains__,
        "is not an AWS region that dstack supports",
        nearest_region(str(ANSWERS["aws_region"])),
    ),
    (
        "dstack_project",
        pattern(r"[A-Za-z0-9_-]{1,50}"),
        "must have 1 to 50 of A-Z, a-z, 0-9, _ and -, as dstack requires",
        "main",
    ),
    ("owner", text(200), "must have 1 to 200 printable characters, without a space at either end", "the platform team"),
    # Each answer is checked by itself first. These two rules check whether model and precision fit together.
    ("model_id", lambda _: MODEL is None, *(MODEL or ("", ""))),
    ("precision", lambda _: PRECISION is None, PRECISION, {"fp8": "published"}.get(str(ANSWERS["precision"]), "fp8")),
)


def remove_empty_folders(slug: str) -> None:
    """Remove the folders that cookiecutter created for a slug like `a/b`. cookiecutter itself removes only `b`."""
    from contextlib import suppress
    from pathlib import Path, PurePath

    depth = len(PurePath(slug).parts)
    for folder in (Path.cwd(), *Path.cwd().parents)[: depth if depth > 1 else 0]:
        with suppress(OSError):  # not empty: another project uses it
            folder.rmdir()


for name, accepts, why, example in RULES:
    answer = ANSWERS[name]
    if not isinstance(answer, str) or not accepts(answer):
        remove_empty_folders(str(ANSWERS["project_slug"]))
        sys.exit(f"{name} {answer!r:.80} {why}; for example: {example}")
