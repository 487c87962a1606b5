"""Vast.ai's API at https://console.vast.ai/api, as far as gpuhunt and dstack call it.

Shapes are those that `gpuhunt.providers.vastai` and `dstack._internal.core.backends.vastai` read; the tests drive both.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

from aiohttp import web

from sandbox.clouds.inventory import Ask, Inventory
from sandbox.clouds.rentals import Hardware, Order, Rental, Rentals
from sandbox.world.faults import Faults

HOST = "console.vast.ai"
SSH_PORT = 10022  # the port inside the container that dstack asks to publish
CREDIT = 12.5  # USD, of the account
_HOURS_PER_MONTH = 30 * 24
_FIRST_CONTRACT = 28_100_001
_DEFAULT_LIMIT = 64  # how many offers a search returns unless it asks for more

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
    "gte": operator.ge,
    "gt": operator.gt,
    "in": lambda value, allowed: value in allowed,
    "notin": lambda value, refused: value not in refused,
}


def error(status: int, code: str, message: str) -> web.Response:
    """An error in Vast.ai's form."""
    return web.json_response({"success": False, "error": code, "msg": message}, status=status)


class VastAI:
    """The cloud; `app` is what its host serves."""

    def __init__(self, inventory: Inventory, rentals: Rentals, faults: Faults, key: str) -> None:
        self._asks = {str(ask.id): ask for ask in inventory.vastai}
        self._rented: dict[str, Rental] = {}  # by the ask's id
        self._contracts = itertools.count(_FIRST_CONTRACT)
        self._rentals = rentals
        self._faults = faults
        self._key = key
        self.app = web.Application(middlewares=[self._authorize])
        self.app.add_routes(
            [
                web.post("/api/v0/bundles/", self._search),
                web.put("/api/v0/asks/{ask}/", self._rent),
                web.get("/api/v1/instances/", self._list),
                web.get("/api/v0/users/current/", self._user),
                web.get("/api/v0/instances/{id}/", self._get),
                web.delete("/api/v0/instances/{id}/", self._delete),
            ]
        )

    @web.middleware
    async def _authorize(self, request: web.Request, handler: Any) -> web.StreamResponse:
        known = request.headers.get("Authorization") == f"Bearer {self._key}"
        public = request.path == "/api/v0/bundles/"  # a search needs no key
        if not public and (not known or self._faults.active("key", "vastai")):
            return error(401, "auth_error", "Invalid user key")
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPNotFound:
            return error(404, "not_found", f"no such endpoint: {request.method} {request.path}")
        return response

    async def _user(self, _: web.Request) -> web.Response:
        return web.json_response({"id": 1, "balance": 0, "credit": CREDIT})

    async def _search(self, request: web.Request) -> web.Response:
        query = await request.json()
        empty = self._faults.active("capacity", "vastai") is not None
        offers = [] if empty else [self._offer(ask) for ask in self._asks.values()]
        found = [offer for offer in offers if _satisfies(offer, query)]
        for field, direction in reversed(query.get("order", [])):
            found.sort(key=lambda offer: offer[field], reverse=direction == "desc")
        return web.json_response({"offers": found[: query.get("limit", _DEFAULT_LIMIT)]})

    async def _rent(self, request: web.Request) -> web.Response:
        id = request.match_info["ask"]
        body = await request.json()
        ask = self._asks.get(id)
        if ask is None or self._is_rented(ask) or self._faults.active("capacity", "vastai"):
            return error(400, "no_such_ask", f"error 404/3603: no_such_ask Instance type by id {id} is not available.")
        bid = body.get("price")
        if bid is not None and bid < ask.min_bid * ask.num_gpus:
            return error(400, "bid_too_low", f"the minimum bid for {id} is {ask.min_bid * ask.num_gpus:g}")
        order = Order(
            id=str(next(self._contracts)),
            cloud="vastai",
            label=body["label"],
            region=ask.geolocation,
            hardware=Hardware(ask.gpu_name, ask.num_gpus, ask.gpu_memory, ask.cpus, ask.memory),
            price=(bid or ask.price * ask.num_gpus) + body["disk"] * ask.storage_cost / _HOURS_PER_MONTH,
            spot=bid is not None,
            command=body["args"][-1],
        )
        try:
            self._rented[id] = self._rentals.rent(order)
        except ValueError as e:
            return error(400, "invalid_args", str(e))
        return web.json_response({"success": True, "new_contract": int(order.id)})

    async def _list(self, _: web.Request) -> web.Response:
        instances = [
            _instance(rental) for rental in self._rentals if rental.order.cloud == "vastai" and not rental.returned
        ]
        return web.json_response({"success": True, "instances_found": len(instances), "instances": instances})

    async def _get(self, request: web.Request) -> web.Response:
        rental = self._rentals.find(request.match_info["id"])
        return web.json_response({"instances": None if rental is None else _instance(rental)})

    async def _delete(self, request: web.Request) -> web.Response:
        rental = self._rentals.find(request.match_info["id"])
        if rental is None:
            return error(404, "no_such_instance", f"Instance {request.match_info['id']} not found.")
        await self._rentals.give_back(rental)
        return web.json_response({"success": True})

    def _is_rented(self, ask: Ask) -> bool:
        rental = self._rented.get(str(ask.id))
        return rental is not None and rental.ended is None

    def _offer(self, ask: Ask) -> dict[str, Any]:
        rented = self._is_rented(ask)
        return {
            "id": ask.id,
            "gpu_name": ask.gpu_name,
            "num_gpus": ask.num_gpus,
            "gpu_ram": ask.gpu_memory * 1024,
            "cpu_cores": ask.cpus,
            "cpu_cores_effective": float(ask.cpus),
            "cpu_ram": ask.memory * 1000,
            "disk_space": float(ask.disk),
            "dph_base": ask.price * ask.num_gpus,
            "dph_total": ask.price * ask.num_gpus,
            "min_bid": ask.min_bid * ask.num_gpus,
            "storage_cost": ask.storage_cost,
            "geolocation": ask.geolocation,
            "reliability2": ask.reliability,
            "direct_port_count": 16,
            "inet_down": 800.0,
            "verified": True,
            "datacenter": True,
            "cuda_max_good": 12.9,
            "compute_cap": ask.compute_cap,
            "score": ask.score,
            "rentable": not rented,
            "rented": rented,
        }


def _satisfies(offer: dict[str, Any], query: dict[str, Any]) -> bool:
    """Whether `offer` fulfils all conditions `{field: {operator: value}}`; `order` and `limit` aren't conditions."""
    conditions = ((offer[field], tests) for field, tests in query.items() if isinstance(tests, dict))
    return all(_OPERATORS[op](value, bound) for value, tests in conditions for op, bound in tests.items())


def _instance(rental: Rental) -> dict[str, Any]:
    order = rental.order
    actual, message = "loading", "pulling the image"
    if rental.error is not None:
        actual, message = "created", f"Error response from daemon: OCI runtime create failed: {rental.error}"
    elif rental.ended is not None:
        actual, message = "offline", "the host is offline"
    elif rental.address is not None:
        actual, message = "running", f"success, running {order.label}"
    host, port = rental.address or (None, None)
    return {
        "id": int(order.id),
        "label": order.label,
        "actual_status": actual,
        "intended_status": "running",
        "cur_state": "running",
        "next_state": "running",
        "status_msg": message,
        "public_ipaddr": host,
        "ports": {f"{SSH_PORT}/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(port)}]} if port else {},
        "gpu_name": order.hardware.gpu_name,
        "num_gpus": order.hardware.gpu_count,
        "dph_total": order.price,
        "is_bid": order.spot,
        "start_date": rental.started,
    }
