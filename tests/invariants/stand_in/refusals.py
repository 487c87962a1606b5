"""How the dstack server refuses: dstack's own errors, and the answers that its server makes of them."""

from __future__ import annotations

from typing import Any

from dstack._internal.core.errors import ResourceExistsError, ResourceNotExistsError, ServerClientError
from dstack._internal.server.utils.routers import get_server_client_error_details
from pydantic import ValidationError

STALE = "Failed to apply plan. Resource has been changed. Try again or use force apply."

__all__ = ["STALE", "ResourceExistsError", "ResourceNotExistsError", "ServerClientError", "answer_of"]


def answer_of(error: Exception) -> tuple[int, Any]:
    """Status and body. Raises errors again that are none of dstack's."""
    if isinstance(error, ServerClientError):
        return 400, {"detail": get_server_client_error_details(error)}
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_context=False)
        return 422, {"detail": [{**one, "loc": ["body", *one["loc"]]} for one in found]}
    raise error
