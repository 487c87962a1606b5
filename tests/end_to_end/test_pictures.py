"""A model that draws: baked, deployed, asked for a picture, changed, destroyed."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from sandbox import Sandbox
from tests.end_to_end.project import Environment
from tests.examples import examples
from tests.rendered import ROOT

ANSWERS = {"model_id": "Tongyi-MAI/Z-Image-Turbo", "project_slug": "mistral-nemo"}  # the name that Environment expects


@pytest.fixture(scope="module")
def project(cookies_session: Any) -> Path:
    return Path(cookies_session.bake(template=str(ROOT), extra_context=ANSWERS).project_path)


@pytest.fixture(scope="module")
def drawing(project: Path, sandbox: Sandbox) -> Environment:
    environment = Environment(project, sandbox, "drawing")
    environment.write()
    environment.deploy()
    return environment


def test_a_deployed_service_draws_for_its_callers(drawing: Environment) -> None:
    body = {"prompt": "A hare in the snow", "size": "320x200"}
    answer = requests.post(f"{drawing.url}/images/generations", json=body, headers=drawing.headers, timeout=60)
    [data] = answer.json()["data"]
    picture = Image.open(io.BytesIO(base64.b64decode(data["b64_json"])))
    assert (picture.format, picture.size) == ("PNG", (320, 200))


def test_the_examples_of_the_documentation_draw(drawing: Environment, tmp_path: Path) -> None:
    for example in examples(drawing.project):
        done = example.run(tmp_path, drawing.url, drawing.sandbox.token)
        assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in tmp_path.glob("*.png")} == {"hare.png", "hare-7.png"}


def test_callers_get_the_status_that_the_documentation_explains(drawing: Environment) -> None:
    for headers in ({}, {"Authorization": "Bearer of-somebody-else"}):
        assert requests.get(f"{drawing.url}/models", headers=headers, timeout=60).status_code == 403
    elsewhere = drawing.url.replace(drawing.run_name, "no-such-service")
    assert requests.get(f"{elsewhere}/models", headers=drawing.headers, timeout=60).status_code == 404


def test_the_smoke_test_looks_at_a_picture(drawing: Environment) -> None:
    done = drawing.inv("smoke", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["model"], report["text"]) == (ANSWERS["model_id"], "a picture of 512 x 512 pixels")
    assert drawing.inv("smoke").stdout.splitlines()[1].startswith("models ")


def test_a_second_deploy_changes_nothing_and_a_change_rolls_out(drawing: Environment) -> None:
    before = drawing.sandbox.calls(writes=True)
    drawing.deploy()
    assert drawing.sandbox.calls(writes=True) == before
    drawing.write(service={"env": {"ROLLOUT": 2}})
    drawing.deploy()
    assert drawing.status()["deployment"] == 1
