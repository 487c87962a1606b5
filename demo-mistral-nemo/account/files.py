"""Files of this repository that say what the account needs: policies/, the workflows, the environment's file."""

import json
import re
from pathlib import Path

import yaml

from console.errors import ExitCode, Failure
from deploy.documents.files import Document
from deploy.environments import ROOT, merge

VPC_KEY = re.compile(r"^(?P<before>[^#\n]*\bvpc_id:[ \t]*)(?P<value>[^\s,}#]+)", re.MULTILINE)


def policy(name: str) -> Document:
    """Return policies/<name>.json. Fails with SETTINGS_INVALID when it is no JSON."""
    path = ROOT / "policies" / f"{name}.json"
    try:
        found: Document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problem = f"policies/{name}.json can't be read: {error}"
        raise Failure(ExitCode.SETTINGS_INVALID, problem, "restore it from git") from None
    return found


def has_workflows() -> bool:
    """Return whether GitHub's jobs deploy this service. Nobody else needs the roles of policies/."""
    return (ROOT / ".github" / "workflows" / "deploy.yml").is_file()


def placeholders(name: str) -> list[str]:
    """Return what somebody has still to fill in, in an environment's file: `dns.vpc_id: vpc-REPLACE`."""
    return _placeholders(yaml.safe_load(_path(name).read_text(encoding="utf-8-sig")), "")


def write_vpc(name: str, vpc_id: str) -> None:
    """Write dns.vpc_id into an environment's file. Everything else in it stays as it is."""
    path = _path(name)
    text = path.read_bytes().decode("utf-8")
    path.write_bytes(with_vpc(text, vpc_id, f"environments/{path.name}").encode("utf-8"))


def with_vpc(text: str, vpc_id: str, file: str) -> str:
    """Return an environment's file with that dns.vpc_id. Fails with SETTINGS_INVALID when the key is not in it."""
    before = yaml.safe_load(text)
    if "vpc_id" in (before.get("dns") or {}):
        wanted = merge(before, {"dns": {"vpc_id": vpc_id}})
        for found in VPC_KEY.finditer(text):
            changed = text[: found.start("value")] + vpc_id + text[found.end("value") :]
            if yaml.safe_load(changed) == wanted:
                return changed
    problem = f"{file}: dns.vpc_id can't be written without changing the rest of the file"
    raise Failure(ExitCode.SETTINGS_INVALID, problem, f"write `vpc_id: {vpc_id}` below `dns:` yourself")


def _path(name: str) -> Path:
    return ROOT / "environments" / f"{name}.yml"


def _placeholders(value: object, key: str) -> list[str]:
    if isinstance(value, dict):
        return [one for name, inner in value.items() for one in _placeholders(inner, f"{key}.{name}".lstrip("."))]
    if isinstance(value, list):
        return [one for inner in value for one in _placeholders(inner, key)]
    return [f"{key}: {value}"] if isinstance(value, str) and "REPLACE" in value else []
