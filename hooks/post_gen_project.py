"""Says what to type next. cookiecutter runs this in the finished project's folder."""

import shlex
from pathlib import Path

print(f"""
Next, and README.md goes on from there:
  cd {shlex.quote(str(Path.cwd()))}
  uv venv && uv pip sync --require-hashes requirements.txt
  source .venv/bin/activate && inv doctor
""")
