"""Says what to type next. cookiecutter runs this in the finished project's folder."""

import shlex
from pathlib import Path


def is_compared_by_cruft(project: Path) -> bool:
    """Return whether `cruft update` renders here: the old and the new version, to compare them. Nobody works there."""
    if not project.parent.match("tmp????????"):
        return False
    from tempfile import gettempdir  # takes longer to import than the rest takes to run

    return project.parent.parent == Path(gettempdir()).resolve()


project = Path.cwd()
if not is_compared_by_cruft(project):
    print(f"""
Next:
  cd {shlex.quote(str(project))}
  uv venv && uv pip sync --require-hashes requirements.txt && source .venv/bin/activate
  cp .env.example .env
Fill in .env; README.md, "Deploy it for the first time", says where its keys come from and goes on from there.
""")
