"""Refuse a wrong answer before any file is written. The message is one line: which answer, why, and a valid example.

cookiecutter renders this file and runs it in the project's new, empty folder. cookiecutter.json checks each answer when
it is given. With `--replay` nothing is asked, so here all answers are checked again. The message arrives as JSON, never
as code.
"""

import json
import sys

REFUSAL = json.loads(r""" << cookiecutter | refusal(
    cookiecutter.model_id | refused_model, cookiecutter.model_id | refused_precision(cookiecutter.precision)
) | tojson >> """)
SLUG = json.loads(r""" << {"slug": cookiecutter.project_slug} | tojson >> """)["slug"]


def remove_empty_folders(slug: str) -> None:
    """Remove the folders that cookiecutter created for a slug like `a/b`. cookiecutter itself removes only `b`."""
    from contextlib import suppress
    from pathlib import Path, PurePath

    depth = len(PurePath(slug).parts)
    for folder in (Path.cwd(), *Path.cwd().parents)[: depth if depth > 1 else 0]:
        with suppress(OSError):  # not empty: another project uses it
            folder.rmdir()


if REFUSAL is not None:
    remove_empty_folders(str(SLUG))
    sys.exit(REFUSAL)
