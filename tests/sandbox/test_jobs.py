"""Jobs in a pod: how they run, end and are stopped, as the dstack server reads it from the runner's API."""

from __future__ import annotations

import io
import tarfile
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from dstack._internal.core.models.files import FileArchiveMapping
from dstack._internal.core.models.runs import JobStatus
from dstack._internal.server.services.runner.client import RunnerClient, RunnerResponseStatusError

from sandbox.pods.pod import Pod
from tests.sandbox.server_view import Cloud, application, finished, output, pull_until, runner, serving, states, submit

SERVE = "vllm serve mistralai/Mistral-Nemo-Instruct-2407 --port 8000 --served-model-name nemo"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path)
    yield cloud
    cloud.close()


@pytest.fixture
def pod(cloud: Cloud) -> Pod:
    return cloud.start()


@pytest.fixture
def client(cloud: Cloud, pod: Pod) -> Iterator[RunnerClient]:
    with runner(pod, cloud.private_key) as client:
        yield client


@pytest.mark.parametrize(
    ("command", "state", "status"),
    [("echo done", JobStatus.DONE, 0), ("exit 3", JobStatus.FAILED, 3), ("kill -9 $$", JobStatus.FAILED, -1)],
)
def test_how_a_job_ended_is_reported(client: RunnerClient, command: str, state: JobStatus, status: int) -> None:
    submit(client, command)
    client.run_job()
    answer = pull_until(client, finished)
    assert (states(answer), answer.job_states[-1].exit_status) == ([JobStatus.RUNNING, state], status)


def test_a_command_that_does_not_exist_fails_the_job(client: RunnerClient) -> None:
    submit(client, "", commands=["/no/such/shell"])
    client.run_job()
    assert states(pull_until(client, finished)) == [JobStatus.FAILED]


def test_an_engine_that_crashes_fails_the_job_and_says_why(client: RunnerClient) -> None:
    submit(client, SERVE, env={"SANDBOX_CRASH": "1"})
    client.run_job()
    answer = pull_until(client, finished)
    assert (answer.job_states[-1].state, answer.job_states[-1].exit_status) == (JobStatus.FAILED, 1)
    assert "CUDA out of memory" in output(answer)


def test_a_flag_that_vllm_does_not_have_fails_the_job(client: RunnerClient) -> None:
    submit(client, f"{SERVE} --swap-space 4")
    client.run_job()
    answer = pull_until(client, finished)
    assert answer.job_states[-1].exit_status == 2
    assert "unrecognized arguments: --swap-space 4" in output(answer)


def test_calls_out_of_order_are_refused(client: RunnerClient) -> None:
    with pytest.raises(RunnerResponseStatusError, match="409"):
        client.run_job()
    submit(client, "sleep 60")
    with pytest.raises(RunnerResponseStatusError, match="409"):
        submit(client, "sleep 60")
    client.run_job()
    with pytest.raises(RunnerResponseStatusError, match="409"):
        client.run_job()
    with pytest.raises(RunnerResponseStatusError, match="take no repo"):
        client.upload_code(b"diff")


def test_a_job_sees_its_own_variables_and_none_of_the_starters(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with runner(cloud.start(), cloud.private_key) as client:
        submit(client, "env", env={"HF_TOKEN": "hf_x", "SANDBOX_LOAD_SECONDS": "7"})
        client.run_job()
        said = output(pull_until(client, finished)).splitlines()
    assert {"HF_TOKEN=hf_x", "DSTACK_RUN_NAME=chat", "DSTACK_GPUS_NUM=1", "SANDBOX_LOAD_SECONDS=7"} <= set(said)
    assert not any(line.startswith(("HTTPS_PROXY=", "PYTHONPATH=")) for line in said)


def test_files_and_folders_stay_in_the_pods_own(client: RunnerClient, pod: Pod) -> None:
    id, archive = uuid.uuid4(), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("local.txt")
        member.size = len(b"content")
        tar.addfile(member, io.BytesIO(b"content"))
    archives = [FileArchiveMapping(id=id, path="conf/chat.txt")]
    submit(client, "pwd; cat conf/chat.txt", working_dir="/etc/sandbox-test", file_archives=archives)
    client.upload_archive(id, archive.getvalue())
    client.run_job()
    assert output(pull_until(client, finished)) == f"{pod.spec.folder}/root/etc/sandbox-test\ncontent"
    assert not Path("/etc/sandbox-test").exists()


BESIDE_THE_SHELL = '{} & trap "kill -TERM $!; wait $!" INT; wait $!'  # as generated services have it


@pytest.mark.parametrize(
    ("around", "seconds", "finishes"),
    [
        ("{}", 2, False),
        (BESIDE_THE_SHELL, 3, True),
        (BESIDE_THE_SHELL, 7, False),
        (f"trap '' HUP; {BESIDE_THE_SHELL}", 7, True),
        (f"trap '' HUP; {BESIDE_THE_SHELL}", 12, False),
    ],
    ids=["Ctrl-C reaches the engine", "3 s", "7 s, hang-up", "7 s, no hang-up", "12 s, killed"],
)
def test_how_long_a_stream_has_after_a_stop(
    client: RunnerClient, cloud: Cloud, pod: Pod, around: str, seconds: int, finishes: bool
) -> None:
    submit(client, around.format(f"{SERVE} --shutdown-timeout 60"), env={"SANDBOX_TOKEN_SECONDS": "0.5"})
    client.run_job()
    pull_until(client, serving)
    hello = [{"role": "user", "content": "hello"}]
    body = {"stream": True, "messages": hello, "max_tokens": 2 * seconds, "ignore_eos": True}
    said: list[str] = []
    with (
        application(pod, cloud.private_key) as http,
        http.stream("POST", "/v1/chat/completions", json=body) as response,
    ):
        client.stop()
        with suppress(httpx.RemoteProtocolError):  # the stream may break off
            said.extend(response.iter_lines())
    assert ("data: [DONE]" in said and '"error"' not in "".join(said)) == finishes
    assert states(pull_until(client, finished)) == [JobStatus.RUNNING, JobStatus.TERMINATED]


def test_stopping_interrupts_hangs_up_and_kills_as_dstacks_runner_does(client: RunnerClient) -> None:
    submit(client, "trap 'echo interrupted' INT; trap 'echo hung up' HUP; echo ready; while :; do sleep 0.2; done")
    client.run_job()
    pull_until(client, lambda answer: "ready" in output(answer))
    asked = time.monotonic()
    client.stop()
    pull_until(client, lambda answer: "interrupted" in output(answer), seconds=3)
    pull_until(client, lambda answer: "hung up" in output(answer))
    assert 4 < time.monotonic() - asked < 8
    answer = pull_until(client, finished)
    assert 9 < time.monotonic() - asked < 15
    assert answer.job_states[-1].state == JobStatus.TERMINATED


def test_a_job_is_stopped_at_its_maximum_duration(client: RunnerClient) -> None:
    submit(client, "sleep 60", max_duration=1)
    client.run_job()
    last = pull_until(client, finished).job_states[-1]
    assert (last.state, last.termination_reason) == (JobStatus.TERMINATED, "max_duration_exceeded")
