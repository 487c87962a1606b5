"""What CHANGELOG.md says of the release that a tag names: `python3 .ci/release_notes.py v1.2.0`.

Ends with 1 and one line where tag, changelog and pyproject.toml don't agree.
"""

import re
import sys
import tomllib
from pathlib import Path


def notes(tag: str, changelog: str, version: str) -> str:
    """The text below the tag's heading. Raises ValueError where something is missing or left over."""
    if tag != f"v{version}":
        raise ValueError(f"the tag is {tag}, but pyproject.toml has version {version}: that makes v{version}")
    sections: dict[str, str] = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", changelog, re.M))
    if sections.get("Unreleased", "").strip():
        raise ValueError(f"CHANGELOG.md still has entries under Unreleased; put them under `## {version} - YYYY-MM-DD`")
    for heading, text in sections.items():
        if re.fullmatch(rf"{re.escape(version)} - \d{{4}}-\d\d-\d\d", heading) and text.strip():
            return text.strip()
    raise ValueError(f"CHANGELOG.md says nothing under `## {version} - YYYY-MM-DD`")


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    try:
        print(notes(sys.argv[1], (root / "CHANGELOG.md").read_text("utf-8"), project["version"]))
    except ValueError as error:
        sys.exit(str(error))
