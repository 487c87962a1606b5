"""Container registries: every image exists, for linux/amd64, unless a fault hides it.

dstack reads an image's configuration as soon as a run names an image. Nothing is pulled: a pod runs on this machine.
"""

from __future__ import annotations

import hashlib
import json

from aiohttp import web

from sandbox.world.faults import Faults

HOSTS = ("index.docker.io", "registry-1.docker.io", "ghcr.io", "quay.io", "nvcr.io", "public.ecr.aws")
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"

# vLLM's images have this entrypoint; a dstack service with `commands` replaces it
_CONFIG = json.dumps(
    {"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["vllm", "serve"], "Cmd": None, "User": ""}}
).encode()
_CONFIG_DIGEST = f"sha256:{hashlib.sha256(_CONFIG).hexdigest()}"
_MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "config": {"mediaType": _CONFIG_TYPE, "digest": _CONFIG_DIGEST, "size": len(_CONFIG)},
        "layers": [],
    }
).encode()
_MANIFEST_DIGEST = f"sha256:{hashlib.sha256(_MANIFEST).hexdigest()}"


def app(faults: Faults) -> web.Application:
    """What the registries' hosts serve."""

    async def manifest(request: web.Request) -> web.Response:
        repository, reference = request.match_info["repository"], request.match_info["reference"]
        image = f"{repository.removeprefix('library/')}:{reference}"
        if faults.unknown_image(image):
            return _error("MANIFEST_UNKNOWN", f"manifest unknown: {image}")
        headers = {"Docker-Content-Digest": _MANIFEST_DIGEST}
        return web.Response(body=_MANIFEST, content_type=_MANIFEST_TYPE, headers=headers)

    async def blob(request: web.Request) -> web.Response:
        if request.match_info["digest"] != _CONFIG_DIGEST:
            return _error("BLOB_UNKNOWN", "blob unknown to registry")
        return web.Response(body=_CONFIG, content_type="application/octet-stream")

    application = web.Application()
    application.add_routes([web.get("/v2/{repository:.+}/manifests/{reference}", manifest)])
    application.add_routes([web.get("/v2/{repository:.+}/blobs/{digest}", blob)])
    return application


def _error(code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=404)
