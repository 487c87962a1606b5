"""JSON over HTTP to the servers of a running sandbox, without a library that takes longer to import than to use."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any

from sandbox.errors import SandboxError
from sandbox.world.world_state import WorldState

_SECONDS = 60.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the caller's proxies don't lead to loopback


def ask_world(state: WorldState, method: str, path: str, body: Any = None) -> Any:
    """Call the API of a sandbox's world, see control.py. Raises SandboxError with what it says is wrong."""
    return request(method, f"{state.control_url}/{path}", state.control_token, body)


def request(method: str, url: str, token: str, body: Any = None) -> Any:
    """Send `body` as JSON and return the answer's. Raises SandboxError with what the server says is wrong."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with _DIRECT.open(urllib.request.Request(url, data, headers, method=method), timeout=_SECONDS) as answer:
            return json.loads(answer.read() or "null")
    except urllib.error.HTTPError as e:
        raise SandboxError(_reason(e)) from None
    except urllib.error.URLError as e:
        raise SandboxError(f"the sandbox doesn't answer at {url}: {e.reason}") from None


def _reason(error: urllib.error.HTTPError) -> str:
    """The text in an error of the world (`error`) or of the dstack server (`detail`)."""
    body = error.read().decode(errors="replace")
    with suppress(ValueError, LookupError, TypeError):
        answer = json.loads(body)
        return str(answer["error"] if "error" in answer else answer["detail"][0]["msg"])
    return f"{error.code}: {body}"
