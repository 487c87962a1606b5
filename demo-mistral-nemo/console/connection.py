"""HTTP sessions that send one token to one host.

requests itself replaces a token by what ~/.netrc has for the host or as its default, also after each redirect.
Proxies and certificates come from the environment's variables, as usual.
"""

import html
import re
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import requests

CONNECT_SECONDS = 5


class Session(requests.Session):
    """A session that sends `token`, if it is not empty, to the host that was asked for and to no other."""

    def __init__(self, token: str = "") -> None:
        super().__init__()
        self._token = token
        self.auth = self._authorize

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Drop the token when a redirect leads to another host. Do not read ~/.netrc."""
        if urlsplit(str(response.request.url))[:2] != urlsplit(str(prepared_request.url))[:2]:  # scheme, host and port
            prepared_request.headers.pop("Authorization", None)

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """Take proxies and certificates from the environment's variables, but no proxy for this machine."""
        settings: Any = super().merge_environment_settings(url, proxies, stream, verify, cert)
        if is_loopback(str(url)):
            settings["proxies"] = {}
        return settings


def is_loopback(url: str) -> bool:
    """Return whether the URL's host is this machine, which a proxy elsewhere could not reach."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def quoted(answer: str, most: int = 200) -> str:
    """Return a server's answer as one line of at most `most` characters; of a web page, only the visible words."""
    if re.search(r"<(!doctype|html|head|body)\b", answer[:1000], re.IGNORECASE):
        answer = re.sub(r"(?is)<(script|style)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", " ", answer)
        answer = html.unescape(answer)
    line = " ".join("".join(character if character.isprintable() else " " for character in answer).split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"
