"""The filters for text and names.

They are `text | quoted`, `text | markdown`, `text | github_owner`, `model_id | service_name` and `slug | valid_slug`.

template_extensions.py runs this file and takes `FILTERS` from it. Like that file, it imports nothing of the template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

LONGEST_NAME = 32  # of a service; the name of a run may be `<name>-sandbox`, and dstack allows 41 characters
NO_PART_OF_A_TITLE = (  # how a model was trained for chats, its number format, and its date, such as 2407
    r"instruct|chat|it|hf|dynamic|bf16|fp16|fp8|fp4|nvfp4|mxfp4|int8|int4|awq|gptq|w8a8|w8a16|w4a16|\dbit|\d{4}|\d{6,8}"
)
YAML_WORDS = ("true", "false", "yes", "no", "on", "off", "null")


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


def service_name(model_id: str) -> str:
    """Return a title for the service of a model: its name in words, without `Instruct`, formats and dates.

    `mistralai/Mistral-Nemo-Instruct-2407` becomes `Mistral Nemo`. The title has at most 32 characters.
    """
    first, *others = [word for word in re.split(r"[-_\s]+", model_id.split("/")[-1]) if word] or ["Service"]
    words = [first, *(word for word in others if not re.fullmatch(NO_PART_OF_A_TITLE, word, re.IGNORECASE))]
    while len(" ".join(words)) > LONGEST_NAME and len(words) > 1:
        words.pop()
    return " ".join(map(_capitalized, words))[:LONGEST_NAME].strip()


def _capitalized(word: str) -> str:
    """Return a word of a title: `gpt` becomes `GPT`, `gemma` `Gemma`, `20b` `20B`; a word with capitals stays."""
    if not word.islower():
        return word
    return word.upper() if len(word) <= 3 or word[0].isdigit() else word[0].upper() + word[1:]


def valid_slug(slug: str) -> str:
    """Return a short name that dstack and YAML take as a name. A slug that they would not take gets a word in front."""
    if re.fullmatch(r"[a-z].+", slug) and slug not in YAML_WORDS:
        return slug
    return f"model-{slug}"[:LONGEST_NAME].rstrip("-")


FILTERS: dict[str, Callable[[str], str | bool]] = {
    "quoted": quoted,
    "markdown": markdown,
    "github_owner": github_owner,
    "service_name": service_name,
    "valid_slug": valid_slug,
}
