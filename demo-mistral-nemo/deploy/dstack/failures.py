"""Turns an answer of the dstack server that is not the expected one into a Failure with a remedy."""

from urllib.parse import urljoin, urlsplit

import requests

from console.connection import quoted
from console.errors import ExitCode, Failure
from deploy.dstack.refusals import BUSY, REFUSALS, Asked, Foreign, Passing

WRAPPERS = {"body", "run_spec", "spec", "configuration"}  # keys of a request around the content of a file


def from_answer(asked: Asked, response: requests.Response) -> Failure:
    """Return what a complete HTTP answer means that is not the success that was expected."""
    status, refused = response.status_code, _refused(response)
    if 300 <= status < 400:
        return _redirected(asked, response)
    if refused is None:
        return _not_from_dstack(asked, response)
    reason, error = refused
    found = next(refusal for refusal in REFUSALS if refusal.fits(asked, status, reason, error))
    return found.failure(asked, status, reason)


def from_shape(asked: Asked, text: str) -> Failure:
    """Return what a successful answer means that does not have the shape of dstack's answer to this call."""
    shown = f"answers {quoted(text)!r}" if text.strip() else "answers nothing"
    problem = f"{asked.url} is no dstack server of a version that these tasks know: it {shown} to {asked.path}"
    return Foreign(ExitCode.SERVER_UNREACHABLE, problem, _check_address(asked))


def from_exception(asked: Asked, error: Exception) -> Failure:
    """Return what it means that there is no complete answer."""
    text = str(error)
    if isinstance(error, requests.exceptions.InvalidJSONError):
        problem = f"{asked.file} over dstack/: a value can't be sent as JSON: {error}"
        return Failure(ExitCode.SETTINGS_INVALID, problem, "write it in quotes")
    problem, remedy = f"no dstack server answers at {asked.url} ({type(error).__name__})", asked.hint
    if "Connection aborted" in text:
        problem = f"the answer of {asked.url} was lost ({_innermost(error)})"
        remedy = "" if asked.known or asked.url.startswith("https:") else "does it want https://?"
    elif "CERTIFICATE_VERIFY_FAILED" in text:
        problem = f"the certificate of {asked.url} is not trusted here"
        remedy = "set REQUESTS_CA_BUNDLE to the file of the authority that signed it"
    elif "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
        problem, remedy = f"{asked.url} does not speak https", f"write http:// in {_address_keys(asked)}"
    elif isinstance(error, requests.exceptions.ProxyError):
        problem = f"the proxy in HTTP_PROXY or HTTPS_PROXY does not lead to {asked.url}"
        remedy = f"correct it, or add NO_PROXY={urlsplit(asked.url).hostname}"
    return Passing(ExitCode.SERVER_UNREACHABLE, problem, remedy)


def _redirected(asked: Asked, response: requests.Response) -> Failure:
    target = urljoin(asked.url + asked.path, response.headers.get("Location", ""))
    address = "{0.scheme}://{0.netloc}".format(urlsplit(target))
    if urlsplit(target).path == asked.path and address != asked.url:
        problem, remedy = f"{asked.url} redirects to {address}", f"write {address} in {_address_keys(asked)}"
        return Foreign(ExitCode.SERVER_UNREACHABLE, problem, remedy)
    problem = f"{asked.url} is no dstack server: it redirects to {quoted(target)}"
    return Foreign(ExitCode.SERVER_UNREACHABLE, problem, _check_address(asked))


def _not_from_dstack(asked: Asked, response: requests.Response) -> Failure:
    """Return what an error means whose body is not dstack's but that of a proxy, a firewall or another web server."""
    status, reason = response.status_code, response.reason or "no reason given"
    if status in (500, 413, *BUSY):
        kind = Failure if status == 413 else Passing
        problem = f"the dstack server refused ({status}): {reason}"
        return kind(ExitCode.SERVER_REFUSED, problem, "try again in a minute")
    if status > 501:  # a proxy before a server that restarts
        return Passing(ExitCode.SERVER_UNREACHABLE, f"{asked.url} answers {status}", asked.hint)
    if status == 400 and "HTTPS port" in response.text:
        remedy = f"write https:// in {_address_keys(asked)}"
        return Foreign(ExitCode.SERVER_UNREACHABLE, f"{asked.url} wants https", remedy)
    problem = f"{asked.url} answers {status} ({reason}) and is no dstack server"
    return Foreign(ExitCode.SERVER_UNREACHABLE, problem, _check_address(asked))


def _innermost(error: Exception) -> str:
    """Return the name of the innermost error. requests wraps it in several others."""
    while isinstance(inner := next((one for one in error.args[::-1] if isinstance(one, Exception)), None), Exception):
        error = inner
    return type(error).__name__


def _address_keys(asked: Asked) -> str:
    return f"server.url of {asked.file}, or in DSTACK_SERVER_URL"


def _check_address(asked: Asked) -> str:
    return f"check server.url in {asked.file} or DSTACK_SERVER_URL, and that no login page is in front of the server"


def _refused(response: requests.Response) -> tuple[str, str | None] | None:
    """Return dstack's message and error code; None for a body that is not dstack's."""
    try:
        answer = response.json()
    except ValueError:
        return None
    if not isinstance(answer, dict) or "detail" not in answer or answer["detail"] == "Not Found":
        return None  # "Not Found" comes from any server made with FastAPI
    detail = answer["detail"]
    first = detail[0] if isinstance(detail, list) and detail else detail
    if not isinstance(first, dict):
        return quoted(str(first)), None
    where = ".".join(str(part) for part in first.get("loc", ()) if part not in WRAPPERS)
    words = quoted(str(first.get("msg", first)))
    return f"{where}: {words}" if where else words, first.get("code")
