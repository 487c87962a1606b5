"""First deploys: with less capacity than one would like, interrupted, and taken down again."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from sandbox import Sandbox
from sandbox.engine.reply import NOTICE
from tests.end_to_end.conftest import Make
from tests.end_to_end.project import refused
from tests.examples import examples
from tests.sandbox.deployment import wait_for


def test_without_capacity_on_one_cloud_the_replica_goes_to_the_other(make: Make, sandbox: Sandbox) -> None:
    environment = make("other-cloud")
    sandbox.faults.set_capacity("runpod", available=False)
    environment.deploy()
    assert [replica["cloud"] for replica in environment.status()["replicas"]] == ["vastai"]


def test_without_capacity_anywhere_a_first_deploy_ends_and_leaves_nothing(make: Make, sandbox: Sandbox) -> None:
    environment = make("nowhere", timeouts={"capacity": 15, "ready": 60})
    for cloud in ("runpod", "vastai"):
        sandbox.faults.set_capacity(cloud, available=False)
    refused(environment.inv("deploy", "--yes"), 26, "within 15 s", "not billed any more")
    assert environment.inv("status").returncode == 33
    assert environment.machines() == []


def test_an_interrupted_deploy_is_continued_by_the_next(make: Make, sandbox: Sandbox, tmp_path: Path) -> None:
    environment = make("interrupted")
    process = environment.start("deploy", "--yes")
    [machine] = wait_for(environment.machines)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "running it again continues" in errors
    assert "Traceback" not in errors
    environment.deploy()
    assert environment.machines() == [machine]
    [example] = [one for one in examples(environment.project) if one.heading == "Streaming"]
    done = example.run(tmp_path, environment.url, sandbox.token)
    assert (done.returncode, done.stderr) == (0, "")
    assert NOTICE in done.stdout


def test_destroy_lets_a_stream_end_leaves_nothing_and_again_does_nothing(make: Make, sandbox: Sandbox) -> None:
    environment = make("destroyed", service={"env": {"SANDBOX_TOKEN_SECONDS": "0.3"}})
    environment.deploy()
    refused(environment.inv("destroy"), 34, "--yes")
    assert environment.inv("destroy", "--dry-run").returncode == 0
    assert environment.machines() != []
    with environment.ask(stream=True, max_tokens=20, stream_options={"include_usage": True}) as answer:
        lines = answer.iter_lines(chunk_size=None)
        assert next(lines).startswith(b"data: ")
        began = time.monotonic()
        destroying = environment.start("destroy", "--yes")
        received = [line.decode() for line in lines if line]
    assert time.monotonic() - began > 3
    assert received[-1] == "data: [DONE]"
    _, errors = destroying.communicate(timeout=120)
    assert destroying.returncode == 0, errors
    assert environment.machines() == []
    before = sandbox.calls(writes=True)
    again = environment.inv("destroy", "--yes")
    nothing = "nothing to destroy, and dstack knows of nothing that is billed for it"
    assert (again.returncode, again.stdout) == (0, f"mistral-nemo-destroyed: {nothing}\n")
    assert sandbox.calls(writes=True) == before
