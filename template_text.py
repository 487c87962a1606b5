"""The filters for text: `text | quoted`, `text | markdown` and `text | github_owner`.

template_extensions.py runs this file and takes `FILTERS` from it. Like that file, it imports nothing of the template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable


def quoted(text: str) -> str:
    r"""Return `text` as a double-quoted string that YAML, TOML and Python read back unchanged.

    JSON's escapes mean the same in all three, except for an emoji: JSON's `\ud83d\ude00` does not. So printable
    characters stay as they are. Characters that can't be printed are escaped, because YAML would fold or refuse them.
    """
    return "".join(c if c.isprintable() else _escape(c) for c in json.dumps(text, ensure_ascii=False))


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def markdown(text: str) -> str:
    """Return `text` with every character escaped that has a meaning in Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>()#+\-=.!|~&$:@])", r"\\\1", text)


HANDLE = r"(?![\w-]{40})[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*(?:_[A-Za-z0-9]+)?"  # the end after _ is an enterprise's
TEAM = r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?"


def github_owner(text: str) -> bool:
    """Return whether `text` is a handle that CODEOWNERS takes: `@alice`, or `@acme/platform` for a team."""
    return re.fullmatch(rf"@{HANDLE}(?:/{TEAM})?", text) is not None


FILTERS: dict[str, Callable[[str], str | bool]] = {
    "quoted": quoted,
    "markdown": markdown,
    "github_owner": github_owner,
}
