"""The process inside a pod: dstack's runner API on port 10999, for the real dstack server.

`python -m sandbox.pods.runner FOLDER DESCRIPTOR`, started by pod.py in namespaces of its own where they are permitted.
Elsewhere the API and the job's application listen on ports that happen to be free, and whoever asks for port 10999 or
for any other one is led there: such a pod has one application port, which the stand-in engine finds in SANDBOX_PORT.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from aiohttp import BodyPartReader, web

from sandbox.pods import isolation, ports
from sandbox.pods.container import Container
from sandbox.pods.history import History
from sandbox.pods.job import Job
from sandbox.pods.metrics import Activity, Meter
from sandbox.pods.spec import PodSpec
from sandbox.world import processes

API_PORT = 10999
_FOLLOW_SECONDS = 0.1
_MAX_UPLOAD_BYTES = 64 * 1024**2


class Runner:
    """The API of a pod, for one job from /api/submit to the pod's end."""

    def __init__(self, spec: PodSpec, application_port: int | None) -> None:
        self._container = Container(spec, application_port)
        self._history = History()
        self._meter = Meter(spec)
        self._submitted: dict[str, Any] | None = None
        self._job: Job | None = None
        self._running: asyncio.Task[None] | None = None

    def application(self) -> web.Application:
        """The routes that dstack calls, with its response models' shapes."""
        application = web.Application(client_max_size=_MAX_UPLOAD_BYTES)
        application.add_routes(
            [
                web.get("/api/healthcheck", self._healthcheck),
                web.get("/api/metrics", self._metrics),
                web.post("/api/submit", self._submit),
                web.post("/api/upload_archive", self._upload_archive),
                web.post("/api/upload_code", self._upload_code),
                web.post("/api/run", self._run),
                web.get("/api/pull", self._pull),
                web.post("/api/stop", self._stop),
                web.get("/logs_ws", self._follow),
            ]
        )
        return application

    async def _healthcheck(self, request: web.Request) -> web.Response:
        return web.json_response({"service": "dstack-runner", "version": version("dstack")})

    async def _metrics(self, request: web.Request) -> web.Response:
        active = self._running is not None and not self._running.done()
        return web.json_response(self._meter.read(Activity.load(self._container.activity) if active else None))

    async def _submit(self, request: web.Request) -> web.Response:
        if self._submitted is not None:
            raise web.HTTPConflict
        self._submitted = await request.json()
        return web.json_response(None)

    async def _upload_archive(self, request: web.Request) -> web.Response:
        if self._submitted is None or self._job is not None:
            raise web.HTTPConflict
        part = await (await request.multipart()).next()
        if not isinstance(part, BodyPartReader) or part.name != "archive" or part.filename is None:
            raise web.HTTPBadRequest(text="a form with one file named archive is expected")
        self._container.save_archive(part.filename, bytes(await part.read()))
        return web.json_response(None)

    async def _upload_code(self, request: web.Request) -> web.Response:
        raise web.HTTPNotImplemented(text="the sandbox's pods take no repo; use `files` in the configuration")

    async def _run(self, request: web.Request) -> web.Response:
        if self._submitted is None or self._job is not None:
            raise web.HTTPConflict
        job_spec, container = self._submitted["job_spec"], self._container
        folder = container.place(job_spec.get("working_dir") or "~", container.home)
        folder.mkdir(parents=True, exist_ok=True)
        for archive in job_spec.get("file_archives") or ():
            container.extract_archive(archive["id"], container.place(archive["path"], folder))
        self._job = Job(self._history)
        self._running = asyncio.create_task(
            self._job.run(
                job_spec["commands"],
                container.environ(self._submitted, folder),
                folder,
                job_spec.get("max_duration"),
            )
        )
        return web.json_response({"username": pwd.getpwuid(os.getuid()).pw_name, "working_dir": str(folder)})

    async def _pull(self, request: web.Request) -> web.Response:
        return web.json_response(self._history.since(int(request.query.get("timestamp", "0"))))

    async def _stop(self, request: web.Request) -> web.Response:
        if self._job is not None:
            self._job.stop()
        return web.json_response(None)

    async def _follow(self, request: web.Request) -> web.WebSocketResponse:
        """The job's output from its beginning, for `dstack attach` and an attached `dstack apply`."""
        follower = web.WebSocketResponse()
        await follower.prepare(request)
        sent = 0
        while not follower.closed:
            finished = self._history.finished  # looked at first: what was said before that is sent still
            for output in self._history.output[sent:]:
                await follower.send_bytes(output)
                sent += 1
            if finished:
                break
            with suppress(TimeoutError):
                await follower.receive(_FOLLOW_SECONDS)
        await follower.close()
        return follower


async def serve(folder: Path, control: socket.socket) -> None:
    """Be the pod whose spec is in `folder` until the other end of `control` is closed; then end the job, if any."""
    isolated = isolation.inside()
    application_port = None
    if isolated:
        isolation.raise_loopback()
    else:
        reserved = _reserve_port()
        application_port = reserved.getsockname()[1]
        processes.adopt_orphans()  # what the job detaches from itself stays this process's to end
    server = web.AppRunner(Runner(PodSpec.load(folder), application_port).application(), access_log=None)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", API_PORT if isolated else 0)
    await site.start()
    api_port = server.addresses[0][1]
    await ports.serve(control, lambda port: api_port if port == API_PORT else application_port or port)
    isolation.kill_descendants(psutil.Process())


def _reserve_port() -> socket.socket:
    """A port that is taken for as long as the socket is open, yet free to an application that reuses it on purpose."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


def main() -> None:
    folder, descriptor = sys.argv[1:]
    asyncio.run(serve(Path(folder), socket.socket(fileno=int(descriptor))))


if __name__ == "__main__":
    main()
