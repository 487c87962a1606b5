"""gpuhunt's price catalogue, from which dstack takes RunPod's offers.

gpuhunt downloads one zip with one CSV for every provider of its list; all but RunPod's hold no row here.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from sandbox.clouds.inventory import Inventory

HOST = "dstack-gpu-pricing.s3.eu-west-1.amazonaws.com"
VERSION = "20251101-1"
COLUMNS = (
    *("instance_name", "location", "price", "cpu", "memory", "gpu_count", "gpu_name", "gpu_memory", "spot"),
    *("disk_size", "gpu_vendor", "flags", "cpu_arch", "provider_data"),
)


def app(inventory: Inventory) -> web.Application:
    """What the catalogue's host serves."""

    async def version(_: web.Request) -> web.Response:
        return web.Response(text=VERSION)

    async def catalog(request: web.Request) -> web.Response:
        provider = request.match_info["provider"]
        rows = runpod_rows(inventory) if provider == "runpod" else ()
        return web.Response(body=_zip(f"{provider}.csv", _csv(rows)), content_type="application/zip")

    application = web.Application()
    application.add_routes([web.get("/v3/{provider}/version", version)])
    application.add_routes([web.get(f"/v3/{{provider}}/{VERSION}/catalog.zip", catalog)])
    return application


def runpod_rows(inventory: Inventory) -> Iterator[dict[str, Any]]:
    """RunPod's offers, cheapest first; a location with a dash is secure cloud, the only one sold here."""
    offers = [(gpu, region, count) for gpu in inventory.runpod for region, count in gpu.offers()]
    for gpu, region, count in sorted(offers, key=lambda offer: offer[0].price * offer[2]):
        yield {
            "instance_name": gpu.id,
            "location": region,
            "price": round(gpu.price * count, 5),
            "cpu": gpu.cpus * count,
            "memory": float(gpu.memory * count),
            "gpu_count": count,
            "gpu_name": gpu.name,
            "gpu_memory": float(gpu.gpu_memory),
            "spot": False,
            "disk_size": "",  # the customer chooses
            "gpu_vendor": "nvidia",
            "flags": "",
            "cpu_arch": "x86",
            "provider_data": "{}",
        }


def _csv(rows: Any) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _zip(name: str, content: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()
