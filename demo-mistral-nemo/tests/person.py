"""A person with a copy of this repository's files who types `inv` commands, which run in this process."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import read_yaml
from invoke.program import Program
from stand_in.aws import Aws
from stand_in.route53 import VPC
from stand_in.server import PROJECT, TOKEN, Dstack

import tasks
from capacity.served import served_model
from deploy.environments import ROOT, Environment, load, merge
from operate.kind import model_kind

DOMAIN = "ai.internal"
WITHOUT_GATEWAY = {"server": {"project": PROJECT}, "service": {"replicas": 1, "scaling": None, "rate_limits": None}}
FILES: dict[str, Any] = {
    "dev": WITHOUT_GATEWAY,
    "prod": merge(
        WITHOUT_GATEWAY,
        {"protected": True, "gateway": {"domain": DOMAIN, "public_ip": False}, "dns": {"vpc_id": VPC}},
    ),
}
TEXTS = {name: yaml.safe_dump(file) for name, file in FILES.items()}
SERVICE = read_yaml(ROOT / "dstack" / "service.dstack.yml")
OTHER_SETTINGS = (
    "AWS_",
    "DSTACK_",
    "GITHUB_",
    "INVOKE_",
    "HF_",
    "RUNPOD_",
    "VASTAI_",
)  # of the machine that runs the tests


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)


class Terminal(StringIO):
    """What somebody types who sits there."""

    def isatty(self) -> bool:
        return True


class Person:
    """`folder` is the copy, `dstack` its server, `records` the AWS account with the hosted zone of `prod`."""

    def __init__(self, folder: Path, dstack: Dstack, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        self.folder, self.dstack, self.records = folder, dstack, Aws(DOMAIN)
        self._patch = monkeypatch
        for name in os.environ:
            if name.startswith(OTHER_SETTINGS):
                monkeypatch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, os.devnull)
        monkeypatch.setenv("DSTACK_SERVER_URL", dstack.url)
        monkeypatch.setenv("DSTACK_TOKEN", TOKEN)
        monkeypatch.chdir(folder)
        monkeypatch.setattr("deploy.environments.load", lambda name, **more: load(name, folder, **more))
        monkeypatch.setattr("deploy.environments.ROOT", folder)
        monkeypatch.setattr("account.files.ROOT", folder)
        which = shutil.which  # nobody asks GitHub here
        monkeypatch.setattr(shutil, "which", lambda program: None if program == "gh" else which(program))
        self.records.install(monkeypatch)
        self.resolve(DOMAIN)
        self.service = SERVICE
        self.kind = model_kind()
        model = SERVICE.get("model", "")
        dstack.model = (model["name"] if isinstance(model, dict) else model) or served_model().model
        dstack.secrets = dict.fromkeys(re.findall(r"\bsecrets\.(\w+)", str(SERVICE)), "value")
        shutil.copytree(ROOT / "dstack", folder / "dstack")
        shutil.copytree(ROOT / "policies", folder / "policies")
        (folder / ".github" / "workflows").mkdir(parents=True)
        (folder / ".github" / "workflows" / "deploy.yml").touch()
        shutil.copy(ROOT / "pyproject.toml", folder)
        (folder / "environments").mkdir()
        for name, text in TEXTS.items():
            (folder / "environments" / f"{name}.yml").write_text(text, "utf-8")

    def environment(self, name: str) -> Environment:
        return load(name, self.folder)

    def write(self, name: str, **changed: Any) -> None:
        """Change an environment's file: `changed` is merged over it."""
        path = self.folder / "environments" / f"{name}.yml"
        path.write_text(yaml.safe_dump(merge(read_yaml(path), changed)), "utf-8")

    def resolve(self, domain: str) -> None:
        """Let gateways and every name below `domain` lead to the server; "" none but this machine's."""
        usual, port = socket.getaddrinfo, self.dstack.server_port

        def resolved(host: Any, *asked: Any, **more: Any) -> Any:
            if domain and (str(host).endswith(f".{domain}") or str(host).startswith("10.")):
                return usual("127.0.0.1", port, *asked[1:], **more)
            if str(host) != "127.0.0.1":
                raise socket.gaierror(f"{host} does not resolve")
            return usual(host, *asked, **more)

        self._patch.setattr(socket, "getaddrinfo", resolved)

    def inv(self, *words: str, typed: str | None = None, piped: str = "") -> Done:
        """Run `inv …`. `typed` is what somebody answers at a terminal, `piped` what comes through a pipe."""
        output, errors = StringIO(), StringIO()
        self._patch.setattr(sys, "argv", ["inv", *words])
        pipe = TextIOWrapper(BytesIO(piped.encode()))
        self._patch.setattr(sys, "stdin", pipe if typed is None else Terminal(typed))
        code = 0
        with redirect_stdout(output), redirect_stderr(errors):
            try:
                namespace = deepcopy(tasks.namespace)  # invoke takes the help out of the tasks that it parses
                Program(namespace=namespace, name="inv", binary="inv").run(["inv", *words])
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0
        return Done(code, output.getvalue(), errors.getvalue())
