"""Print what serving the model takes, and what to type next.

cookiecutter renders this file and runs it in the folder of the finished project. The summary arrives as JSON, never as
code.
"""

import json
import shlex
from contextlib import suppress
from pathlib import Path

SUMMARY = json.loads(r""" << {
    "text": cookiecutter.model_id | known_model(cookiecutter.precision)
        | summary(cookiecutter.model_id, "cards" | machines),
} | tojson >> """)["text"]


def is_compared_by_cruft(project: Path) -> bool:
    """Return whether `cruft update` renders here, to compare two versions. Nobody works in such a folder."""
    if not project.parent.match("tmp????????"):
        return False
    from tempfile import gettempdir  # takes longer to import than the rest takes to run

    return project.parent.parent == Path(gettempdir()).resolve()


project = Path.cwd()
with suppress(OSError):
    (project / "engine").rmdir()  # a service for pictures has no file in it, but cookiecutter creates the folder
if not is_compared_by_cruft(project):
    print(f"""
{SUMMARY}

Next:
  cd {shlex.quote(str(project))}
  git init --initial-branch main && git add --all && git commit --message "As generated"
  uv venv && uv pip sync --require-hashes requirements.txt && source .venv/bin/activate
  cp .env.example .env
Then fill in .env. README.md says where to get the keys, and what comes next.

Without uv, in place of the third line:
  python3 -m venv .venv && .venv/bin/pip install --require-hashes -r requirements.txt && source .venv/bin/activate
Without an account, a clone of the template shows all of it against emulated clouds: `inv demo`.
""")
