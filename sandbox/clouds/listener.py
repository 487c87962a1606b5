"""The emulated hosts behind one TLS listener: who answers for which name, the faults they share, and the call log."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from pathlib import Path

import trustme
from aiohttp import web
from aiohttp.typedefs import Handler

from sandbox.clouds import catalogue, registry, runpod, vastai
from sandbox.clouds.inventory import Inventory
from sandbox.clouds.rentals import Rentals
from sandbox.world.calls import Call, CallLog
from sandbox.world.faults import Faults

logger = logging.getLogger(__name__)

_VERSIONS_HOST = "get.dstack.ai"  # the CLI and the server ask it for newer versions; it knows none here
CLOUD_OF_HOST = {
    runpod.HOST: "runpod",
    vastai.HOST: "vastai",
    catalogue.HOST: "catalogue",
    **dict.fromkeys(registry.HOSTS, "registry"),
    _VERSIONS_HOST: "versions",
}
_FAULT_TEXT = "The sandbox can't answer this call, or a fault is set for it"
_READS = {("vastai", "POST", "/api/v0/bundles/")}  # calls that change nothing though they aren't GETs


class CloudListener:
    """All emulated hosts, on one port of the loopback interface."""

    def __init__(
        self, inventory: Inventory, rentals: Rentals, faults: Faults, log: CallLog, keys: dict[str, str]
    ) -> None:
        self._faults = faults
        self._log = log
        app = web.Application(middlewares=[self._emulate])
        app.add_domain(runpod.HOST, runpod.RunPod(inventory, rentals, faults, keys["runpod"]).app)
        app.add_domain(vastai.HOST, vastai.VastAI(inventory, rentals, faults, keys["vastai"]).app)
        app.add_domain(catalogue.HOST, catalogue.app(inventory))
        for host in registry.HOSTS:
            app.add_domain(host, registry.app(faults))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)

    async def start(self, ca_file: Path) -> int:
        """Listen, write the authority that signed the listener's certificate to `ca_file`, and return the port."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(ca_file)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(*CLOUD_OF_HOST).configure_cert(context)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        await self._runner.cleanup()

    @web.middleware
    async def _emulate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        cloud = CLOUD_OF_HOST.get(request.url.host or "", "unknown")
        started = time.monotonic()
        fault, route = None, f"{request.method} {request.path}"
        if slow := self._faults.strike("slow", cloud, route):
            fault = "slow"
            await asyncio.sleep(slow.seconds)
        if broken := self._faults.strike("error", cloud, route):
            fault = "error"
            response = _error(cloud, broken.status)
        else:
            try:
                response = await handler(request)
            except web.HTTPException as e:
                response = e
            except Exception:  # what a client sent that this doesn't know; it is logged as a call, too
                logger.exception("%s %s on %s", request.method, request.path, cloud)
                response = _error(cloud, 500)
        if self._faults.strike("lost", cloud, route):
            fault = "lost"
            if request.transport is not None:
                request.transport.abort()  # what is returned below reaches nobody
        self._log.add(
            Call(
                time=time.time(),
                cloud=cloud,
                method=request.method,
                path=request.path,
                status=response.status,
                write=request.method not in ("GET", "HEAD") and (cloud, request.method, request.path) not in _READS,
                seconds=round(time.monotonic() - started, 3),
                fault=fault,
            )
        )
        return response


def _error(cloud: str, status: int) -> web.StreamResponse:
    """A fault's answer, in the form of `cloud`."""
    if cloud == "runpod":
        return runpod.problem(status, _FAULT_TEXT)
    if cloud == "vastai":
        return vastai.error(status, "sandbox_fault", _FAULT_TEXT)
    return web.Response(status=status, text=_FAULT_TEXT)
