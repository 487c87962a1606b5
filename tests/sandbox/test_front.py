"""The proxy before the dstack server: what passes it unchanged, and the faults that it shows."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from aiohttp import web

from sandbox import Sandbox, SandboxError
from sandbox.world.calls import CallLog, read
from sandbox.world.faults import Fault, Faults
from sandbox.world.front import Front
from tests.sandbox.deployment import Deployment, wait_for
from tests.sandbox.test_command_line import command


class Upstream:
    """A server that notes what it carries out, and a front before it with `faults`; both in a thread of their own."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[str] = []
        self.faults = Faults()
        self.log = folder / "calls.jsonl"
        self.url = ""
        self.gate = threading.Event()  # the second half of a stream waits for it
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    @contextmanager
    def running(self) -> Iterator[Upstream]:
        self._thread.start()
        assert self._ready.wait(10)
        try:
            yield self
        finally:
            self.gate.set()
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()
            self._loop.close()

    def post(self, path: str, body: str = "") -> requests.Response:
        return requests.post(self.url + path, data=body, timeout=10, allow_redirects=False)

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner, log = web.AppRunner(app, shutdown_timeout=0), CallLog(self.log)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        front = Front(self.faults, log)
        self.url = await front.start(f"http://127.0.0.1:{runner.addresses[0][1]}")
        self._ready.set()
        await self._end.wait()
        await front.stop()
        await runner.cleanup()
        log.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.heard.append(f"{request.method} {request.raw_path} {await request.text()}".rstrip())
        if request.path == "/die" and request.transport:
            request.transport.abort()
        if request.path == "/stream":
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(b"data: 1\n\n")
            await asyncio.to_thread(self.gate.wait, 10)
            await response.write(b"data: [DONE]\n\n")
            return response
        return web.json_response({"token": request.headers.get("Authorization")}, status=201, headers={"X-Kept": "yes"})


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    with Upstream(tmp_path).running() as running:
        yield running


def test_calls_pass_unchanged_and_are_logged_as_reads_and_writes(upstream: Upstream) -> None:
    headers = {"Authorization": "Bearer secret"}
    answer = requests.post(f"{upstream.url}/api/project/a%2Fb/runs/apply?x=1", "body", headers=headers, timeout=10)
    assert (answer.status_code, answer.json(), answer.headers["X-Kept"]) == (201, {"token": "Bearer secret"}, "yes")
    upstream.post("/api/project/main/runs/get_plan")
    upstream.post("/proxy/services/main/chat/v1/chat/completions")
    assert upstream.heard[0] == "POST /api/project/a%2Fb/runs/apply?x=1 body"
    wait_for(lambda: len(list(read(upstream.log))) == 3, 5)  # a call is logged after it was answered
    logged = list(read(upstream.log))
    assert [(call.cloud, call.status, call.write) for call in logged] == [
        ("dstack", 201, True),
        ("dstack", 201, False),
        ("dstack", 201, False),
    ]


def test_a_stream_passes_piece_by_piece(upstream: Upstream) -> None:
    with requests.get(f"{upstream.url}/stream", stream=True, timeout=5) as answer:
        pieces = answer.iter_content(None)
        assert next(pieces) == b"data: 1\n\n"  # the rest is not even written yet
        upstream.gate.set()
        assert b"".join(pieces) == b"data: [DONE]\n\n"


def test_a_server_that_closes_the_connection_is_not_made_an_answer_of(upstream: Upstream) -> None:
    with pytest.raises(requests.ConnectionError):
        upstream.post("/die")


def test_an_error_is_answered_in_place_of_the_call_after_as_many_as_it_says(upstream: Upstream) -> None:
    upstream.faults.add(Fault("error", "dstack", "POST */runs/get", after=2, times=1, body='{"detail": "locked"}'))
    calls = ["/api/runs/get", "/api/runs/list", "/api/runs/get", "/api/runs/get", "/api/runs/get"]
    answers = [upstream.post(path) for path in calls]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 500, 201]
    assert answers[3].json() == {"detail": "locked"}
    assert len(upstream.heard) == 4
    assert list(upstream.faults) == []
    wait_for(lambda: len(list(read(upstream.log))) == 5, 5)  # a call is logged after it was answered
    assert [call.fault for call in read(upstream.log)] == [None, None, None, "error", None]


def test_a_lost_answer_is_that_of_a_call_that_was_carried_out(upstream: Upstream) -> None:
    upstream.faults.add(Fault("lost", "dstack", "POST /api/runs/apply", times=1))
    with pytest.raises(requests.ConnectionError):
        upstream.post("/api/runs/apply", "once")
    assert upstream.heard == ["POST /api/runs/apply once"]
    assert upstream.post("/api/runs/apply").status_code == 201


def test_a_slow_server_answers_later(upstream: Upstream) -> None:
    upstream.faults.add(Fault("slow", "dstack", seconds=0.3, times=1))
    started = time.monotonic()
    assert upstream.post("/api/runs/get").status_code == 201
    assert time.monotonic() - started > 0.3


@pytest.mark.parametrize(
    ("fault", "status", "text", "kind"),
    [
        (Fault("answer", "dstack", body="null"), 200, "null", "application/json"),
        (Fault("answer", "dstack", status=204), 204, "", "application/json"),
        (Fault("answer", "dstack", body="<html>Sign in</html>"), 200, "<html>Sign in</html>", "text/html"),
        (Fault("answer", "dstack", status=301, headers={"Location": "https://x.y/"}), 301, "", "application/json"),
        (
            Fault("error", "dstack", status=502, body="<html>", headers={"Content-Type": "text/x"}),
            502,
            "<html>",
            "text/x",
        ),
    ],
    ids=["null", "empty", "HTML", "redirect", "a proxy's error"],
)
def test_an_answer_of_the_wrong_shape_is_what_it_was_told_to_be(
    upstream: Upstream, fault: Fault, status: int, text: str, kind: str
) -> None:
    upstream.faults.add(fault)
    answer = upstream.post("/api/runs/get")
    assert (answer.status_code, answer.text, answer.headers["Content-Type"]) == (status, text, kind)
    assert answer.headers.get("Location") == (fault.headers or {}).get("Location")
    assert upstream.heard == []


def test_a_fault_on_every_cloud_is_not_on_the_dstack_server(upstream: Upstream) -> None:
    upstream.faults.add(Fault("error"))
    assert upstream.post("/api/runs/get").status_code == 201


def test_a_sandbox_without_the_proxy_says_how_to_get_one(clouds: Sandbox) -> None:
    with pytest.raises(SandboxError, match="start the sandbox with `python -m sandbox up --front`"):
        clouds.faults.add("error", "dstack")


@pytest.mark.server
def test_the_command_line_breaks_answers_of_a_real_server_that_dstack_and_services_are_reached_through(
    tmp_path: Path,
) -> None:
    with Sandbox(load_seconds=0.5, front=True) as sandbox:
        args = ("error", "--cloud", "dstack", "--route", "POST */runs/get_plan", "--status", "418", "--times", "1")
        assert command("fault", *args, folder=sandbox.folder).returncode == 0
        answer = (
            "answer",
            "--cloud",
            "dstack",
            "--header",
            "Location: https://x.y/",
            "--status",
            "302",
            "--after",
            "9",
        )
        assert command("fault", *answer, folder=sandbox.folder).returncode == 0
        found = [(fault.kind, fault.status, fault.after, fault.headers) for fault in sandbox.faults.in_force()]
        assert found == [("error", 418, 0, None), ("answer", 302, 9, {"Location": "https://x.y/"})]
        assert command("fault", *answer[:3], "--header", "nonsense", folder=sandbox.folder).returncode == 1
        sandbox.faults.clear("answer")
        deployment = Deployment(sandbox, tmp_path / "dstack")
        assert deployment.apply().returncode != 0
        sandbox.faults.add("lost", "dstack", route="POST */runs/apply", times=1)
        deployment.apply()
        wait_for(deployment.pod)
        assert deployment.answer()
        writes = sandbox.calls(cloud="dstack", writes=True)
        assert any(call.path.endswith("/fleets/apply") for call in writes)
        # the first was carried out, and dstack's command line asks again when it hears nothing
        assert next(call.fault for call in writes if call.path.endswith("/runs/apply")) == "lost"
        deployment.delete()
