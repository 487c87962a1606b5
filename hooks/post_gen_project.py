"""Says what to type next. cookiecutter runs this in the finished project's folder."""

import shlex
from pathlib import Path
from tempfile import gettempdir

project = Path.cwd()
# `cruft update` renders the old and the new version into folders of this kind, to compare them: nobody works there
if not project.parent.match(str(Path(gettempdir()).resolve() / "tmp????????")):
    print(f"""
Next, and README.md goes on from there:
  cd {shlex.quote(str(project))}
  uv venv && uv pip sync --require-hashes requirements.txt
  source .venv/bin/activate && inv doctor
""")
