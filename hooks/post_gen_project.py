"""Says what to type next. cookiecutter runs this in the finished project's folder."""

import shlex
from pathlib import Path
from tempfile import gettempdir

project = Path.cwd()
# `cruft update` renders the old and the new version into folders of this kind, to compare them: nobody works there
if not project.parent.match(str(Path(gettempdir()).resolve() / "tmp????????")):
    print(f"""
Next:
  cd {shlex.quote(str(project))}
  uv venv && uv pip sync --require-hashes requirements.txt && source .venv/bin/activate
  cp .env.example .env
Fill in .env; README.md, "Deploy it for the first time", says where its keys come from and goes on from there.
""")
