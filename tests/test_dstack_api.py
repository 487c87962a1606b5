"""What generated repositories say to the pinned dstack, and how they read its answers: API, command line, variables.

dstack's own OpenAPI document, parsers and sources are asked. An upgrade that changes them turns these tests red.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dstack
import packaging.version
import pytest
from dstack._internal.cli.commands import attach, logs, metrics, ps, server
from dstack._internal.server.app import register_routes
from dstack._internal.server.services import gateways
from dstack._internal.server.services.runs import spec
from dstack._internal.server.utils.routers import check_client_server_compatibility
from fastapi import FastAPI, HTTPException

from tests.rendered import Bake

PROJECT = "/api/project/{project_name}/"
# What is read of an answer without a model of our own: keys as they are nested, through lists.
READ = [
    ("/api/server/get_info", "server_version"),
    ("/api/projects/list", "project_name"),
    ("/api/projects/{project_name}/get", "backends.name"),
    (PROJECT + "secrets/list", "name"),
    (PROJECT + "logs/poll", "logs.message"),
    (PROJECT + "runs/get", "run_spec.ssh_key_pub"),
    (PROJECT + "runs/get", "run_spec.configuration.gateway.name"),
    (PROJECT + "runs/get", "run_spec.configuration.gateway.project"),
    (PROJECT + "runs/get", "run_spec.configuration.replicas"),
    (PROJECT + "runs/get", "jobs.job_spec.probes.ready_after"),
    (PROJECT + "runs/get", "jobs.job_submissions.probes.success_streak"),
    (PROJECT + "runs/get_plan", "current_resource.run_spec"),
    (PROJECT + "fleets/get_plan", "current_resource.instances.status"),
    (PROJECT + "fleets/get_plan", "current_resource.spec"),
    (PROJECT + "fleets/get_plan", "current_resource.status"),
    (PROJECT + "gateways/get_plan", "current_resource.configuration"),
    (PROJECT + "gateways/get_plan", "effective_spec"),
    (PROJECT + "gateways/get", "status"),
    (PROJECT + "gateways/get", "status_message"),
    (PROJECT + "gateways/get", "hostname"),
    (PROJECT + "gateways/get", "configuration.replicas"),
    (PROJECT + "gateways/get", "replicas.status"),
    (PROJECT + "gateways/get", "replicas.hostname"),
    (PROJECT + "gateways/get", "replicas.status_message"),
]


@pytest.fixture(scope="module")
def paths() -> dict[str, Any]:
    """dstack's calls by path: `sent` and `answered`, each a schema without references."""
    app = FastAPI()
    register_routes(app)
    document = app.openapi()
    found = {}
    for path, methods in document["paths"].items():
        if post := methods.get("post"):
            sent = post.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            answered = post["responses"]["200"].get("content", {}).get("application/json", {}).get("schema", {})
            found[path] = {"sent": Schema(document, sent), "answered": Schema(document, answered)}
    return found


class Schema:
    """A place in an OpenAPI document."""

    def __init__(self, document: Any, *places: Any) -> None:
        self.document, self.places = document, list(self._resolved(document, places))

    def below(self, key: str) -> Schema:
        found = [place["properties"][key] for place in self.places if key in place.get("properties", {})]
        return Schema(self.document, *found)

    def has(self, path: str) -> bool:
        """Whether there is something at a path of keys with dots between them."""
        at = self
        for key in path.split("."):
            at = at.below(key)
        return bool(at.places)

    def _resolved(self, document: Any, places: Any) -> Iterator[Any]:
        """Through references, unions and lists."""
        for place in places:
            if "$ref" in place:
                yield from self._resolved(document, [document["components"]["schemas"][place["$ref"].split("/")[-1]]])
                continue
            yield place
            lists = [place["items"]] if isinstance(place.get("items"), dict) else []
            yield from self._resolved(
                document, [*place.get("anyOf", []), *place.get("allOf", []), *place.get("oneOf", []), *lists]
            )


@pytest.fixture(scope="module")
def source() -> str:
    """All of dstack."""
    return "\n".join(path.read_text("utf-8") for path in Path(dstack.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize(("path", "keys"), READ)
def test_what_is_read_of_an_answer_is_what_dstack_sends(paths: dict[str, Any], path: str, keys: str) -> None:
    assert paths[path]["answered"].has(keys)


def test_every_call_is_one_that_dstack_has_with_every_key_that_is_sent(paths: dict[str, Any], baked: Bake) -> None:
    checked = set()
    for path, keys in _calls(ast.parse((baked() / "deploy" / "api.py").read_text("utf-8"))):
        assert path in paths
        unknown = [key for key in keys if not paths[path]["sent"].has(key)]
        assert not unknown, f"{path}: {unknown}"
        checked.add(path)
    assert len(checked) > 12


def _calls(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Path and keys of each `_call(path, key=…)` and `_post(path, {key: …})`, with a name in a path spelled out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            path, keys = ast.unparse(node.args[0]), [word.arg for word in node.keywords if word.arg]
            path = path.removeprefix("f").strip("'\"").replace("{self.project}", "{project_name}")
            if node.func.attr in ("_call", "_find") and path != "path":
                for one in _spelled_out(path):
                    yield PROJECT + one, keys
            elif node.func.attr == "_post" and path.startswith("/api") and not path.endswith("{path}"):
                sent = node.args[1] if len(node.args) > 1 else None
                keys = [ast.literal_eval(key) for key in sent.keys if key] if isinstance(sent, ast.Dict) else []
                yield path, keys


def _spelled_out(path: str) -> list[str]:
    """The names that a path is made with while running: kinds of resources, changes of a backend."""
    kinds = ("run", "fleet", "gateway") if "apply" in path else ("fleet", "gateway")
    paths = [path.replace("{kind}", kind) for kind in kinds] if "{kind}" in path else [path]
    changes = ("create", "update")
    return [one.replace("{change}", change) for one in paths for change in (changes if "{change}" in one else ("",))]


def test_every_key_of_a_plan_is_one_that_dstack_reads(paths: dict[str, Any], deploy: Any, monkeypatch: Any) -> None:
    """One level further down than the call's own keys."""
    sent: list[tuple[str, Any]] = []
    planned: dict[str, Any] = {name: {} for name in ("spec", "effective_spec", "run_spec", "effective_run_spec")} | {
        "action": "create"
    }

    def call(self: Any, path: str, **body: Any) -> Any:
        sent.append((PROJECT + path, body))
        return planned

    monkeypatch.setattr(deploy.api.Api, "_call", call)
    api = deploy.api.Api(deploy.environments.load("prod", variables={"DSTACK_SERVER_URL": "http://server"}))
    run = api.plan_run({"name": "chat"}, None)
    for kind in ("fleet", "gateway"):
        api.apply(kind, api.plan(kind, {}))
    api.apply("run", run)
    assert len(sent) == 6
    for path, body in sent:
        for key, value in body.items():
            for below in value if isinstance(value, dict) else []:
                assert paths[path]["sent"].has(f"{key}.{below}"), f"{path}: {key}.{below}"


def test_what_dstack_says_when_it_refuses_is_still_said_so(source: str, baked: Bake) -> None:
    """deploy/api.py tells refusals apart by words."""
    tree = ast.parse((baked() / "deploy" / "api.py").read_text("utf-8"))
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    words = [ast.literal_eval(node.left) for node in compared if ast.unparse(node).endswith(" in reason")]
    words += [ast.literal_eval(node.comparators[0]) for node in compared if ast.unparse(node.left) == "code"]
    assert len(words) >= 4
    assert [word for word in words if word not in source] == []


def test_every_variable_is_one_that_dstack_knows(source: str, baked: Bake) -> None:
    texts = [(baked() / name).read_text("utf-8") for name in ("README.md", ".env.example", "deploy/server.py")]
    names = set(re.findall(r"\b(DSTACK_[A-Z_]+)(?:=|\")", "\n".join(texts)))  # where they are set
    assert len(names) > 6
    assert {name for name in names if name not in source} == set()


def test_every_dstack_command_is_one_that_its_parser_takes(baked: Bake) -> None:
    """Those of the README and of the tasks' help."""
    readme = (baked() / "README.md").read_text("utf-8")
    assert "`dstack ps`, `logs`, `attach` and `metrics`" in readme
    typed = re.findall(r"`(?:DSTACK_\w+=… )*dstack ((?:ps|logs|attach|metrics|server) ?[^`]*)`", readme)
    helped = re.findall(r"`dstack ([^`]+)`", (baked() / "deploy" / "command.py").read_text("utf-8"))
    assert typed
    assert helped
    run = [f"{command} NAME" for command in helped]
    for command in [*typed, *run, "logs NAME", "attach NAME", "metrics NAME", "server"]:
        _parser().parse_args(command.split())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(exit_on_error=False)
    commands = parser.add_subparsers(required=True)
    for module, name in ((ps, "Ps"), (logs, "Logs"), (attach, "Attach"), (metrics, "Metrics"), (server, "Server")):
        getattr(module, f"{name}Command").register(commands)
    return parser


@pytest.mark.parametrize(
    ("client", "works"), [("0.22.5", True), ("0.22.9", True), ("0.21.0", True), ("0.23.0", False), ("1.0.0", False)]
)
def test_an_older_client_works_with_a_newer_server_and_not_the_other_way_round(client: str, works: bool) -> None:
    """So the server is upgraded first, see "Upgrading dstack" in CHANGELOG.md."""
    try:
        check_client_server_compatibility(packaging.version.parse(client), "0.22.5")
    except HTTPException:
        assert not works
    else:
        assert works


def test_the_readme_says_what_restarts_a_service_as_dstack_decides_it(deploy: Any, baked: Bake) -> None:
    rows = re.findall(
        r"^\| \**([a-z ]+)\** \|.*\| ((?:`\w+`(?:, )?)+) \|$", (baked() / "README.md").read_text("utf-8"), re.M
    )
    said = {change: set(re.findall(r"`(\w+)`", keys)) for change, keys in rows}
    updatable = set(spec._CONF_UPDATABLE_FIELDS + spec._TYPE_SPECIFIC_CONF_UPDATABLE_FIELDS["service"])
    assert said["in place"] < updatable
    assert said["rolling"] < updatable
    assert said["restart"]
    assert not said["restart"] & updatable


def test_what_stands_below_the_line_restarts_a_service_and_nothing_below_it_could_stand_above(baked: Bake) -> None:
    below = (baked() / "dstack" / "service.dstack.yml").read_text("utf-8").split("A change below this line restarts")[1]
    keys = set(re.findall(r"^(\w+):", below, re.M))
    assert {"backends", "retry"} <= keys
    assert not keys & set(spec._CONF_UPDATABLE_FIELDS + spec._TYPE_SPECIFIC_CONF_UPDATABLE_FIELDS["service"])


def test_replicas_of_a_gateway_change_without_a_new_gateway() -> None:
    """What the README has people do after the loss of an instance."""
    assert "replicas" in gateways._CONF_UPDATABLE_FIELDS
