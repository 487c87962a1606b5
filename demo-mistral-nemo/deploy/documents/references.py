"""References such as `${{ secrets.name }}` in a document: which ones dstack fills in, and where.

- The server fills in secrets in `env` and `registry_auth`. It ends the whole run, with every replica that serves, when
  it can't resolve a reference there. Elsewhere it leaves a reference as it is written.
- `dstack apply` fills in `env.…` and `run.args` before it sends anything. The server does not.

dstack's own interpolator reads the texts here, so that an escape (`$${{`) means what it means to dstack.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeAlias

from deploy.documents.problems import Problem

Path: TypeAlias = tuple[str | int, ...]
VOLUME_NAMES = ("dstack.job_num", "dstack.node_rank")
SECRET_FIELDS = {("registry_auth", "username"), ("registry_auth", "password")}


@dataclass(frozen=True)
class _Wrong:
    """What is wrong with a reference, and what to write instead."""

    text: str
    remedy: str


def texts(document: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield every string of a document with its path."""
    match document:
        case str():
            yield path, document
        case dict():
            for key, value in document.items():
                yield from texts(value, (*path, str(key)))
        case list():
            for index, value in enumerate(document):
                yield from texts(value, (*path, index))


def spelled(path: Path) -> str:
    """Return a path as a person writes it: `groups[0].image`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def referred(document: Any) -> tuple[str, ...]:
    """Return the names of the dstack secrets that a document refers to, sorted. An escaped reference is not one."""
    found = {name for _, text in texts(document) for name in _names(text)}
    return tuple(sorted(name.removeprefix("secrets.") for name in found if name.startswith("secrets.")))


def first_wrong(kind: str, document: Any) -> Problem | None:
    """Return what is wrong with the first reference that dstack's server can't fill in; None if nothing is wrong.

    `kind` is service, fleet or gateway.
    """
    for path, text in texts(document):
        if "${{" in text and (wrong := _wrong(kind, path, text)):
            return Problem(f"{kind}.{spelled(path)}", wrong.text, wrong.remedy)
    return None


def _names(text: str) -> list[str]:
    """Return the names that a text refers to; none when dstack can't read it."""
    from dstack._internal.utils.interpolator import InterpolatorError, VariablesInterpolator

    try:
        return list(VariablesInterpolator({}).interpolate(text, return_missing=True)[1])
    except InterpolatorError:
        return []


def _wrong(kind: str, path: Path, text: str) -> _Wrong | None:
    """Return what is wrong with the references of one text."""
    if kind == "service" and (_is_command(path) or path[0] == "probes") and "$${{" in text:
        remedy = "write '$''{{' in a command" if _is_command(path) else "write the probe without it"
        return _Wrong("only `dstack apply` replaces $${{ with ${{ here", remedy)
    if kind == "service" and _is_command(path):
        return _in_command(text)
    from dstack._internal.utils.interpolator import InterpolatorError, VariablesInterpolator

    takes_secrets = kind == "service" and (path[0] == "env" or path[:2] in SECRET_FIELDS)
    try:
        names = VariablesInterpolator({}).interpolate(text, return_missing=True)[1]
    except InterpolatorError as error:
        return _unreadable(str(error), takes_secrets)
    known = _known(kind, path, text)
    wrong = (name for name in names if not (takes_secrets and name.startswith("secrets.")) and name not in known)
    return next((_unknown(name, secrets=takes_secrets) for name in wrong), None)


def _known(kind: str, path: Path, text: str) -> tuple[str, ...]:
    """Return the names, beside secrets, that the server fills in at `path`."""
    if (kind, path) == ("gateway", ("domain",)):
        return ("run.project_name",)
    if kind != "service" or path[0] != "volumes":
        return ()
    if len(path) <= 2:  # NAME:PATH; a name with a slash is a folder of the host
        name, _, mounted = text.partition(":")
        return () if "/" in name or "${{" in mounted else VOLUME_NAMES
    return VOLUME_NAMES if path[2] == "name" else ()


def _is_command(path: Path) -> bool:
    """Whether the text at `path` is a command of the service or of one of its groups."""
    return path[0] == "commands" or (path[0] == "groups" and len(path) > 2 and path[2] == "commands")


def _in_command(text: str) -> _Wrong | None:
    """Return what is wrong with a command, in which the server fills in addresses of replicas and nothing else."""
    from dstack._internal.utils.interpolator import InterpolatorError, VariablesInterpolator
    from dstack._internal.utils.nodes_interpolator import is_valid_groups_ip_ref

    try:
        interpolator = VariablesInterpolator({}, skip={"groups": is_valid_groups_ip_ref})
        names = interpolator.interpolate(text, return_missing=True)[1]
    except InterpolatorError as error:
        return _unreadable(str(error), takes_secrets=False)
    return _unknown(names[0], command=True) if names else None


def _unreadable(error: str, takes_secrets: bool) -> _Wrong:
    """Return what to write instead of a reference that dstack can't even read."""
    said, _, reference = error.partition(": ")
    reference = reference.splitlines()[0][:60] if reference else ""
    escape = ", or $${{ for the characters themselves" if takes_secrets else ""
    if said.startswith("No pattern closing"):
        remedy = "write ${{ secrets.NAME }}" if takes_secrets else "close it or remove it"
        return _Wrong(f"{reference!r} opens a reference and does not close it", remedy + escape)
    if reference.startswith("groups"):
        example = "groups[0].replicas[0].IP_ADDRESS"
        return _Wrong(f"${{{{ {reference} }}}} can't be filled in here", f"dstack fills in {example}, in commands only")
    remedy = "write e.g. ${{ secrets.hf_token }}: a name has letters, digits and _"
    return _Wrong(f"${{{{ {reference} }}}} is not a reference that dstack can read", remedy + escape)


def _unknown(name: str, *, secrets: bool = False, command: bool = False) -> _Wrong:
    """Return what to write instead of a readable reference that the server does not fill in at this place."""
    root, _, rest = name.partition(".")
    reference = f"${{{{ {name} }}}}"
    if root == "env":
        value = "write the value itself" + (", or ${{ secrets.NAME }}" if secrets else "")
        return _Wrong(f"only `dstack apply` fills in {reference}", "write $NAME" if command else value)
    if name == "run.args":
        return _Wrong(f"only `dstack apply` fills in {reference}", "write the arguments into the command")
    secret = bool(get_close_matches(root.lower(), ["secrets"], cutoff=0.7))
    if secrets:
        remedy = f"write ${{{{ secrets.{rest} }}}}" if secret else "write ${{ secrets.NAME }}, or the value itself"
        return _Wrong(f"dstack does not know {reference}, and would end the service", remedy)
    if secret:
        in_env = f"write NAME: ${{{{ secrets.{rest} }}}} into env, and $NAME into the command"
        why = f"dstack fills in {reference} in env and registry_auth only"
        return _Wrong(why, in_env if command else "write the value itself")
    return _Wrong(f"dstack leaves {reference} as it is written", "write the value itself")


def replica_addresses(service: Any, sizes: list[int]) -> Problem | None:
    """Return what is wrong with the commands' references to addresses of replicas; None if nothing is wrong.

    `sizes` are the smallest numbers of replicas of the groups, in their order.
    """
    from dstack._internal.utils.interpolator import InterpolatorError
    from dstack._internal.utils.nodes_interpolator import validate_groups_ref_bounds, validate_groups_ref_member

    for path, text in texts(service):
        try:
            validate_groups_ref_member(text, "replicas")
            validate_groups_ref_bounds(text, sizes, member="replicas")
        except InterpolatorError as error:
            return Problem(f"service.{spelled(path)}", str(error))
    return None
