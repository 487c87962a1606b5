"""What generated repositories say to the pinned dstack, and how they read its answers: API, command line, variables.

dstack's own OpenAPI document, parsers and sources are asked. An upgrade that changes them turns these tests red.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import dstack
import fastapi.security.http
import packaging.version
import pytest
import requests
from dstack._internal.cli.commands import attach, logs, metrics, ps, server
from dstack._internal.server.app import register_routes
from dstack._internal.server.services import gateways
from dstack._internal.server.services.runs import spec
from dstack._internal.server.utils import routers
from dstack._internal.server.utils.routers import check_client_server_compatibility
from fastapi import FastAPI, HTTPException
from pydantic import AliasChoices, AliasPath, BaseModel

from tests.rendered import Bake, files

PROJECT = "/api/project/{project_name}/"
# What is read of an answer, or of what a model keeps as it came: keys as they are nested, through lists.
READ = [
    (PROJECT + "runs/get", "run_spec.ssh_key_pub"),
    (PROJECT + "runs/get", "run_spec.run_name"),
    (PROJECT + "runs/get", "run_spec.configuration_path"),
    (PROJECT + "runs/get", "run_spec.configuration.gateway.name"),
    (PROJECT + "runs/get", "run_spec.configuration.gateway.project"),
    (PROJECT + "runs/get", "run_spec.configuration.replicas"),
    (PROJECT + "runs/get", "run_spec.configuration.groups.replicas"),
    (PROJECT + "runs/get", "run_spec.configuration.groups.name"),
    (PROJECT + "runs/get", "jobs.job_spec.probes.ready_after"),
    (PROJECT + "runs/get", "jobs.job_submissions.probes.success_streak"),
    (PROJECT + "runs/get_plan", "current_resource.run_spec"),
    (PROJECT + "fleets/list", "spec.configuration_path"),
    (PROJECT + "fleets/get_plan", "current_resource.instances.status"),
    (PROJECT + "fleets/get_plan", "current_resource.spec"),
    (PROJECT + "fleets/get_plan", "current_resource.status"),
    (PROJECT + "gateways/get_plan", "current_resource.configuration"),
    (PROJECT + "gateways/get", "configuration.replicas"),
    (PROJECT + "gateways/get", "configuration.domain"),
    (PROJECT + "gateways/get", "configuration.region"),
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

    @property
    def empty(self) -> bool:
        """Whether nothing is said of it."""
        return all(not place for place in self.places)

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


@dataclass(frozen=True)
class Call:
    """What a method of Api asks: the path as dstack writes it, the body, and the shape of the answer."""

    path: str
    body: dict[str, Any]
    shape: Any


@pytest.fixture(scope="module")
def prod(deploy: Any) -> Any:
    """The environment `prod` of a rendered repository."""
    return deploy.environments.load("prod", variables={"DSTACK_SERVER_URL": "http://server", "DSTACK_PROJECT": "main"})


@pytest.fixture(scope="module")
def calls(deploy: Any, prod: Any) -> list[Call]:
    """Every call that Api can make, each method called once."""
    made: list[Call] = []
    answers, observations = deploy.dstack.answers, deploy.dstack.observations
    planned = {"action": "create", "spec": {"configuration": {}}, "effective_spec": {}, "run_spec": {"run_name": "x"}}
    gateway = {"name": "x", "status": "running", "configuration": {"tags": None}, "replicas": []}
    known = {answers.RunPlan: planned | {"effective_run_spec": {}}, answers.ResourcePlan: planned}
    known |= {
        answers.Project: {"project_name": "other", "backends": [{"name": "vastai"}]},
        observations.LogPage: {"logs": []},
    }
    known |= {answers.ServerInfo: {"server_version": "1"}, deploy.dstack.gateway.Gateway: gateway}

    class Client:
        reached = True

        def __init__(self, *_: Any, **__: Any) -> None:
            """Answer whatever is asked."""

        def read(self, path: str, body: Any, shape: Any, **_: Any) -> Any:
            made.append(Call(path.replace("/main/", "/{project_name}/"), body or {}, shape))
            return [] if get_origin(shape) is list else shape.model_validate(known[shape]) if shape in known else None

        def write(self, path: str, body: Any, shape: Any, done: Any) -> Any:
            made.append(Call(path.replace("/main/", "/{project_name}/"), body or {}, shape))
            done()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy.api, "Client", Client)
        _call_all(deploy.api.Api(prod))
    return made


def _call_all(api: Any) -> None:
    api.server_version(), api.clouds(), api.secret_names(), api.set_secret("a", "b"), api.run("x")
    api.active_runs(), api.fleets(), api.stop_run("x"), api.log_tail("x", "1")
    api.configure({"runpod": "k", "vastai": "k"})
    api.apply_run(api.plan_run({"name": "x", "gateway": "x"}, None))
    for kind in ("fleet", "gateway"):
        api.apply(kind, api.plan(kind, {"name": "x"}))
        api.exists(kind, "x")
    api._write("fleets/delete", None, lambda: None, names=["x"])
    api._write("gateways/delete", None, lambda: None, names=["x"])


def test_every_call_is_one_that_dstack_has_with_every_key_that_is_sent(
    paths: dict[str, Any], calls: list[Call]
) -> None:
    assert len({call.path for call in calls}) > 18
    for call in calls:
        assert call.path in paths
        keys = [*call.body]
        keys += [f"{key}.{below}" for key, value in call.body.items() if isinstance(value, dict) for below in value]
        unknown = [key for key in keys if not paths[call.path]["sent"].has(key) and not key.startswith("creds.")]
        assert not unknown, f"{call.path}: {unknown}"


def test_every_shape_that_is_expected_is_what_dstack_answers(paths: dict[str, Any], calls: list[Call]) -> None:
    """A model that asks for a key which dstack does not send would take every answer for that of another server."""
    checked = set()
    for call in calls:
        answered, shape = paths[call.path]["answered"], call.shape
        if shape is None:
            assert answered.empty, f"{call.path} answers something"
            continue
        assert (get_origin(shape) is list) == any(place.get("type") == "array" for place in answered.places)
        for key in _keys(get_args(shape)[0] if get_origin(shape) is list else shape):
            if key.endswith("job_provisioning_data.availability"):
                continue  # of offers, which are the same model
            assert answered.has(key), f"{call.path}: {key}"
            checked.add((call.path, key))
    assert len(checked) > 40


def _keys(shape: Any, prefix: str = "") -> Iterator[str]:
    """The keys that a model reads, nested ones with dots between them."""
    if not (isinstance(shape, type) and issubclass(shape, BaseModel)):
        return
    for name, field in shape.model_fields.items():
        alias = field.validation_alias or name
        if isinstance(alias, AliasChoices):
            continue  # either of two places, see the test with real answers of the server
        path = [str(part) for part in alias.path if isinstance(part, str)] if isinstance(alias, AliasPath) else [alias]
        yield prefix + ".".join(path)
        for inner in (field.annotation, *get_args(field.annotation)):
            yield from _keys(inner, f"{prefix}{'.'.join(path)}.")


def test_the_words_and_codes_of_refusals_are_those_of_dstack(source: str, deploy: Any) -> None:
    """A refusal is recognised by dstack's words, or by those of FastAPI, which dstack's server is made with."""
    refusals = deploy.dstack.refusals.REFUSALS
    known = source + inspect.getsource(fastapi.security.http)
    words = [word for refusal in refusals for word in (*refusal.words, refusal.error) if word]
    assert len(words) > 7
    assert [word for word in words if word not in known] == []


def test_the_refusals_of_a_running_server_are_recognised(deploy: Any) -> None:
    """dstack's own functions make these answers."""
    refusals = deploy.dstack.refusals
    asked = refusals.Asked("http://server", "/api/project/main/runs/get", "main", "environments/prod.yml", "", True)
    answers = {22: routers.error_invalid_token(), 23: routers.error_not_found()}
    for code, error in answers.items():
        answer = requests.Response()
        answer.status_code, answer._content = error.status_code, json.dumps({"detail": error.detail}).encode()
        assert deploy.dstack.failures.from_answer(asked, answer).code == code
    error = routers.error_forbidden()
    answer.status_code, answer._content = error.status_code, json.dumps({"detail": error.detail}).encode()
    assert "ask for a role" in deploy.dstack.failures.from_answer(asked, answer).remedy


def test_every_variable_is_one_that_dstack_knows(source: str, baked: Bake, rooms: dict[str, Any], prod: Any) -> None:
    """Those that people set, and those that `inv server` sets for the server."""
    texts = [text for name, text in files(baked()).items() if name.endswith(".md") or name == ".env.example"]
    names = set(re.findall(r"\b(DSTACK_[A-Z_]+)[=`]", "\n".join(texts)))
    local = dataclasses.replace(prod, server_url="http://127.0.0.1:3000")
    names |= rooms["operate"].server._variables(local).keys()
    names -= {"DSTACK_ADMIN_TOKEN"}  # a secret of GitHub, which a workflow hands on as DSTACK_TOKEN
    assert len(names) > 6
    assert {name for name in names if name not in source} == set()


def test_every_dstack_command_is_one_that_its_parser_takes(baked: Bake, console: Any) -> None:
    """Those of the pages and of the tasks' help."""
    pages = "\n".join(text for name, text in files(baked()).items() if name.endswith(".md"))
    assert "`dstack ps`, `logs`, `attach` and `metrics`" in pages
    typed = re.findall(r"`(?:DSTACK_\w+=… )*dstack ((?:ps|logs|attach|metrics|server) ?[^`]*)`", pages)
    helped = re.findall(r"`dstack ([^`]+)`", "\n".join(console.command.HELP.values()))
    typed = [command for command in typed if command not in helped]  # the page of flags quotes their help
    assert typed
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


def test_the_documentation_says_what_restarts_a_service_as_dstack_decides_it(deploy: Any, baked: Bake) -> None:
    page = (baked() / "docs" / "change.md").read_text("utf-8")
    rows = re.findall(r"^\| \**([a-z ]+)\** \|.*\| ((?:`\w+`(?:, )?)+) \|$", page, re.M)
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
    """What the documentation has people do after the loss of an instance."""
    assert "replicas" in gateways._CONF_UPDATABLE_FIELDS
