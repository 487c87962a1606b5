"""RunPod's API v2 at https://api.runpod.io/v2, as far as dstack calls it for pods.

Shapes are those of `dstack._internal.core.backends.runpod.api_client`; the tests drive that client against this module.
"""

from __future__ import annotations

import secrets
import string
from typing import Any

from aiohttp import web

from sandbox.clouds.inventory import GpuType, Inventory
from sandbox.clouds.rentals import Hardware, Order, Rental, Rentals
from sandbox.world.faults import Faults

HOST = "api.runpod.io"
SSH_PORT = 10022  # the port inside the container that dstack asks to publish
_ID_LENGTH = 14
_TITLES = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


def problem(status: int, detail: str) -> web.Response:
    """An error in the form (RFC 9457) that API v2 uses."""
    body = {"title": _TITLES.get(status, "Error"), "status": status, "detail": detail}
    return web.json_response(body, status=status, content_type="application/problem+json")


CREDIT = 12.5  # USD, of the account


class RunPod:
    """The cloud; `app` is what its host serves."""

    def __init__(self, inventory: Inventory, rentals: Rentals, faults: Faults, key: str) -> None:
        self._gpu_types = {gpu.id: gpu for gpu in inventory.runpod}
        self._rentals = rentals
        self._faults = faults
        self._key = key
        self._registries: dict[str, str] = {}  # id: name of the stored registry credentials
        self.app = web.Application(middlewares=[self._authorize])
        self.app.add_routes(
            [
                web.get("/v2/account/ssh-keys", self._ssh_keys),
                web.post("/graphql", self._account),
                web.post("/v2/pods", self._create),
                web.get("/v2/pods/{id}", self._get),
                web.delete("/v2/pods/{id}", self._delete),
                web.get("/v2/registries", self._list_registries),
                web.post("/v2/registries", self._create_registry),
                web.delete("/v2/registries/{id}", self._delete_registry),
            ]
        )

    @web.middleware
    async def _authorize(self, request: web.Request, handler: Any) -> web.StreamResponse:
        known = request.headers.get("Authorization") == f"Bearer {self._key}"
        if not known or self._faults.active("key", "runpod"):
            return problem(401, "Invalid API key")
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPNotFound:
            return problem(404, f"No such endpoint: {request.method} {request.path}")
        return response

    async def _ssh_keys(self, _: web.Request) -> web.Response:
        return web.json_response({"sshKeys": []})

    async def _account(self, _: web.Request) -> web.Response:
        """The account behind the key; nobody else asks for anything in GraphQL."""
        return web.json_response({"data": {"myself": {"clientBalance": CREDIT}}})

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        try:
            order = self._order(body)
            if order is None:
                return problem(400, "There are no longer any instances available with the requested specifications")
            rental = self._rentals.rent(order)
        except (KeyError, ValueError) as e:
            return problem(400, f"Invalid request body: {e}")
        return web.json_response(_pod(rental), status=201)

    def _order(self, body: dict[str, Any]) -> Order | None:
        """What `body` asks for; None when the shelf is empty. Raises KeyError for a field that RunPod requires."""
        wanted, count = body["gpu"], body["gpu"].get("count", 1)
        gpu = self._gpu_types.get(wanted["id"])
        regions = body.get("dataCenterIds") or (gpu.regions if gpu else ())
        region = next((region for region in regions if gpu and (region, count) in gpu.offers()), None)
        if gpu is None or region is None or not _fits(gpu, wanted) or self._faults.active("capacity", "runpod"):
            return None
        return Order(
            id="".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(_ID_LENGTH)),
            cloud="runpod",
            label=body["name"],
            region=region,
            hardware=Hardware(gpu.name, count, gpu.gpu_memory, gpu.cpus * count, gpu.memory * count),
            price=gpu.price * count,
            spot=False,
            command=body["cmd"][-1],
        )

    async def _get(self, request: web.Request) -> web.Response:
        rental = self._rentals.find(request.match_info["id"])
        return problem(404, "Pod not found") if rental is None else web.json_response(_pod(rental))

    async def _delete(self, request: web.Request) -> web.Response:
        rental = self._rentals.find(request.match_info["id"])
        if rental is None:
            return problem(404, "Pod not found")
        await self._rentals.give_back(rental)
        return web.Response(status=204)

    async def _list_registries(self, _: web.Request) -> web.Response:
        return web.json_response({"registries": [{"id": id, "name": name} for id, name in self._registries.items()]})

    async def _create_registry(self, request: web.Request) -> web.Response:
        body = await request.json()
        id = secrets.token_hex(8)
        self._registries[id] = body["name"]
        return web.json_response({"id": id, "name": body["name"]}, status=201)

    async def _delete_registry(self, request: web.Request) -> web.Response:
        if self._registries.pop(request.match_info["id"], None) is None:
            return problem(400, "Registry auth not found")  # 400 is what RunPod answers, dstack's client notes
        return web.Response(status=204)


def _fits(gpu: GpuType, wanted: dict[str, Any]) -> bool:
    cpus: int = wanted.get("minVcpuCountPerGpu", 0)
    memory: int = wanted.get("minRamPerGpu", 0)
    return gpu.cpus >= cpus and gpu.memory >= memory


def _pod(rental: Rental) -> dict[str, Any]:
    status, runtime = "PROVISIONING", None
    if rental.error is not None:
        status = "ERROR"
    elif rental.ended is not None:
        status = "EXITED"
    elif rental.address is not None:
        host, port = rental.address
        status, runtime = "RUNNING", {"ports": [{"private": SSH_PORT, "public": port, "ip": host, "type": "tcp"}]}
    return {"id": rental.order.id, "name": rental.order.label, "status": status, "runtime": runtime, "mounts": {}}
