"""What an answer of the dstack server means when it is not the answer that was asked for: a Failure with a remedy.

Three kinds matter to who asked. `Missing`: the server says that the thing does not exist. `Passing`: nothing is known,
asking again may help. Everything else is the server's verdict.
"""

import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests

from console.connection import quoted
from console.errors import ExitCode, Failure

OUTER = {"body", "run_spec", "spec", "configuration"}  # where the content of a file is put when it is sent
BUSY = {408, 425, 429}  # of the answers below 500 those that pass


class Missing(Failure):
    """The run, fleet or gateway that was asked for does not exist."""


class Passing(Failure):
    """The answer says nothing about the question: the server restarts, is busy, or its answer was lost."""


class Foreign(Passing):
    """This is no answer of a dstack server. One that answered before may be hidden behind a page for a while."""


@dataclass(frozen=True)
class Asked:
    """Who was asked for what: the words of every refusal need them."""

    url: str
    path: str
    project: str
    environment: str
    hint: str  # what to try when the server is not reached
    known: bool  # it has answered as a dstack server does

    @property
    def file(self) -> str:
        return f"environments/{self.environment}.yml"


# dstack's own words, as a pattern; what they mean; what to do. The first that matches counts.
REFUSALS: tuple[tuple[str, ExitCode, str], ...] = (
    (
        r"is incompatible with the server version",
        ExitCode.SERVER_REFUSED,
        '{reason} upgrade the server first: "Upgrading dstack" in the CHANGELOG.md of the template',
    ),
    (r"is being deleted", ExitCode.STILL_THERE, "{reason} Run it again in a minute"),
    (
        r"is in FAILED status",
        ExitCode.GATEWAY_FAILED,
        "the gateway failed to come up earlier; look at `inv gateway.status`, then inv gateway.destroy and inv deploy",
    ),
    (
        r"Resource has been changed|Cannot override active run",
        ExitCode.PLAN_OUTDATED,
        "somebody changed it meanwhile ({reason}); run `inv plan` again",
    ),
)


def of_answer(asked: Asked, response: requests.Response) -> Failure:
    """Return what a complete HTTP answer means that is not the success that was expected."""
    status, said = response.status_code, _said(response)
    if 300 <= status < 400:
        return _redirected(asked, response)
    if said is None:
        return _not_from_dstack(asked, response)
    reason, code = said
    if status >= 500 or status in BUSY:
        return Passing(ExitCode.SERVER_REFUSED, f"the dstack server answers {status}: {reason}; try again in a minute")
    if status == 404:
        remedy = f"correct server.project in {asked.file}, or DSTACK_PROJECT"
        return Failure(ExitCode.PROJECT_MISSING, f"{asked.url} has no project {asked.project!r}; {remedy}")
    if status in (401, 403):
        unknown = "token" in reason.lower() or "authenticated" in reason.lower()
        remedy = "set DSTACK_TOKEN, in .env or the shell" if unknown else f"ask for a role in project {asked.project}"
        return Failure(ExitCode.TOKEN_REFUSED, f"{asked.url} answers {reason!r}; {remedy}")
    if status == 422 and (kind := re.search(r"(\w+)s/get_plan$", asked.path)):
        files = f"{asked.file} over dstack/{kind[1].replace('run', 'service')}.dstack.yml"
        return Failure(ExitCode.SETTINGS_INVALID, f"dstack does not take {files}: {reason}")
    if code == "resource_not_exists":
        return Missing(ExitCode.SERVER_REFUSED, reason)
    if "is being processed currently" in reason:
        return Passing(ExitCode.SERVER_REFUSED, f"the dstack server is busy: {reason}")
    for pattern, meaning, text in REFUSALS:
        if re.search(pattern, reason):
            return Failure(meaning, text.format(reason=reason))
    return Failure(ExitCode.SERVER_REFUSED, f"the dstack server refused ({status}): {reason}")


def of_shape(asked: Asked, text: str) -> Failure:
    """Return what a successful answer means that does not hold what dstack answers to this call."""
    shown = f"it answers {quoted(text)!r}" if text.strip() else "it answers nothing"
    message = f"{asked.url} is no dstack server that this repository understands: {shown} to {asked.path}"
    return Foreign(ExitCode.SERVER_UNREACHABLE, f"{message}; {_check(asked)}")


def of_exception(asked: Asked, error: Exception) -> Failure:
    """Return what it means that there is no complete answer."""
    why = f"no dstack server answers at {asked.url} ({type(error).__name__}); {asked.hint}"
    text = str(error)
    if "Connection aborted" in text:
        other = "" if asked.known or asked.url.startswith("https:") else "; does it want https://?"
        return Passing(ExitCode.SERVER_UNREACHABLE, f"the answer of {asked.url} was lost ({_reason(error)}){other}")
    if isinstance(error, requests.exceptions.InvalidJSONError):
        return Failure(ExitCode.SETTINGS_INVALID, f"{asked.file} over dstack/: a value can't be sent as JSON: {error}")
    if "CERTIFICATE_VERIFY_FAILED" in text:
        remedy = "set REQUESTS_CA_BUNDLE to the file of the authority that signed it"
        why = f"the certificate of {asked.url} is not trusted here; {remedy}"
    elif "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
        why = f"{asked.url} does not speak https; write http:// in server.url or DSTACK_SERVER_URL"
    elif isinstance(error, requests.exceptions.ProxyError):
        host = urlsplit(asked.url).hostname
        why = f"the proxy in HTTP_PROXY or HTTPS_PROXY does not lead to {asked.url}; correct it, or add NO_PROXY={host}"
    return Passing(ExitCode.SERVER_UNREACHABLE, why)


def _redirected(asked: Asked, response: requests.Response) -> Failure:
    target = urljoin(asked.url + asked.path, response.headers.get("Location", ""))
    address = "{0.scheme}://{0.netloc}".format(urlsplit(target))
    if urlsplit(target).path == asked.path and address != asked.url:
        remedy = f"write {address} in server.url of {asked.file}, or in DSTACK_SERVER_URL"
        return Foreign(ExitCode.SERVER_UNREACHABLE, f"{asked.url} redirects to {address}; {remedy}")
    message = f"{asked.url} is no dstack server: it redirects to {quoted(target)}"
    return Foreign(ExitCode.SERVER_UNREACHABLE, f"{message}; {_check(asked)}")


def _not_from_dstack(asked: Asked, response: requests.Response) -> Failure:
    """Return what an error means whose body is not dstack's: that of a proxy, a firewall or another web server."""
    status, reason = response.status_code, response.reason or "no reason given"
    if status in (500, 413, *BUSY):
        kind = Failure if status == 413 else Passing
        return kind(ExitCode.SERVER_REFUSED, f"the dstack server refused ({status}): {reason}; try again in a minute")
    if status > 501:  # a proxy before a server that restarts
        return Passing(ExitCode.SERVER_UNREACHABLE, f"{asked.url} answers {status}; {asked.hint}")
    if status == 400 and "HTTPS port" in response.text:
        remedy = "write https:// in server.url or DSTACK_SERVER_URL"
        return Foreign(ExitCode.SERVER_UNREACHABLE, f"{asked.url} wants https; {remedy}")
    message = f"{asked.url} answers {status} ({reason}) and is no dstack server"
    return Foreign(ExitCode.SERVER_UNREACHABLE, f"{message}; {_check(asked)}")


def _reason(error: Exception) -> str:
    """Return the name of the innermost error: requests wraps it in several others."""
    while isinstance(inner := next((one for one in error.args[::-1] if isinstance(one, Exception)), None), Exception):
        error = inner
    return type(error).__name__


def _check(asked: Asked) -> str:
    return f"check server.url in {asked.file} or DSTACK_SERVER_URL, and that no login page is in front of it"


def _said(response: requests.Response) -> tuple[str, str | None] | None:
    """Return the server's own words and its error code; None for a body that is not dstack's."""
    try:
        answer = response.json()
    except ValueError:
        return None
    if not isinstance(answer, dict) or "detail" not in answer or answer["detail"] == "Not Found":
        return None  # the last is any server made with FastAPI
    detail = answer["detail"]
    first = detail[0] if isinstance(detail, list) and detail else detail
    if not isinstance(first, dict):
        return quoted(str(first)), None
    where = ".".join(str(part) for part in first.get("loc", ()) if part not in OUTER)
    words = quoted(str(first.get("msg", first)))
    return f"{where}: {words}" if where else words, first.get("code")
