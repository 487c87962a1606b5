"""The world's own API: what the `Sandbox` class and the command line ask of it. On loopback, with a token."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from sandbox.clouds.rentals import Rentals
from sandbox.errors import SandboxError
from sandbox.world.dstack_server import DstackServer
from sandbox.world.faults import Fault, Faults


class Control:
    """Errors are answered with status 400 or 404 and `{"error": text}`."""

    def __init__(self, rentals: Rentals, faults: Faults, server: DstackServer, token: str) -> None:
        self._rentals = rentals
        self._server = server
        self._faults = faults
        self._token = token
        app = web.Application(middlewares=[self._authorize])
        app.add_routes(
            [
                web.get("/pods", self._pods),
                web.post("/pods/{id}/kill", self._kill),
                web.post("/pods/{id}/hang", self._hang),
                web.post("/server/restart", self._restart_server),
                web.get("/faults", self._list_faults),
                web.post("/faults", self._add_fault),
                web.delete("/faults", self._clear_faults),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)

    async def start(self) -> str:
        """Listen on a free port of the loopback interface, and return the URL."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    @web.middleware
    async def _authorize(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return web.json_response({"error": "wrong token"}, status=401)
        response: web.StreamResponse = await handler(request)
        return response

    async def _pods(self, _: web.Request) -> web.Response:
        return web.json_response(self._rentals.infos())

    async def _kill(self, request: web.Request) -> web.Response:
        rental = self._rentals.find(request.match_info["id"])
        if rental is None:
            return web.json_response({"error": f"no pod {request.match_info['id']}"}, status=404)
        await rental.kill()
        return web.json_response(None)

    async def _hang(self, request: web.Request) -> web.Response:
        rental = self._rentals.find(request.match_info["id"])
        if rental is None:
            return web.json_response({"error": f"no pod {request.match_info['id']}"}, status=404)
        try:
            rental.hang()
        except ValueError as e:
            return web.json_response({"error": str(e)}, status=400)
        return web.json_response(None)

    async def _restart_server(self, _: web.Request) -> web.Response:
        try:
            await self._server.restart()
        except SandboxError as e:
            return web.json_response({"error": str(e)}, status=400)
        return web.json_response(None)

    async def _list_faults(self, _: web.Request) -> web.Response:
        return web.json_response([fault.to_json() for fault in self._faults])

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            self._faults.add(Fault(**await request.json()))
        except ValueError as e:
            return web.json_response({"error": str(e)}, status=400)
        return web.json_response(None)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        return web.json_response(self._faults.clear(request.query.get("kind"), request.query.get("cloud")))
