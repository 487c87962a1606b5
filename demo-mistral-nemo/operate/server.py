"""Runs a dstack server on this machine, for evaluation. Its state is in .dstack/. The clouds' keys come from .env.

The server gets the keys through its API and keeps them only in its database, .dstack/data/sqlite.db.
"""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies

from console.connection import quoted
from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.dstack.client import Notify
from deploy.dstack.polling import poll
from deploy.environments import ROOT, Environment, variables_of
from deploy.existing import existing_resources

FOLDER = ROOT / ".dstack"
LOG = FOLDER / "server.log"  # errors and warnings
DATABASE = FOLDER / "data" / "sqlite.db"
HOSTS = {"runpod": "api.runpod.io", "vastai": "console.vast.ai"}  # where dstack checks the keys
# The last line of the traceback that the server logs. It reaches both clouds through the package requests.
UNREACHED = re.compile(r"^requests\.exceptions\.\w+: HTTPS?ConnectionPool\(host='(?P<host>[^']+)'")
MOST_REFUSALS = 3  # bad answers of a server that takes connections, before waiting ends
START_SECONDS = 180  # a first start migrates an empty database: 20-50 s on two cores


def run(environment: Environment, notify: Notify) -> None:
    """Serve until Ctrl-C or SIGTERM. Then report what keeps running, and is billed, without the server."""
    keys, api, known = _cloud_keys(environment), Api(environment), DATABASE.exists()
    with suppress(OSError), socket.create_connection(_address(environment), timeout=2):
        problem = f"another server is at {environment.server_url} already"
        remedy = f"use it, stop it, or change server.url in {environment.file}"
        raise Failure(ExitCode.SETTINGS_INVALID, problem, remedy)
    process = _start(environment)
    try:
        first = "" if known else "; the first start makes its database, which takes up to a minute"
        notify(f"starting; errors and warnings go to {LOG.relative_to(ROOT)}{first}")
        _wait_until_ready(environment, api, process)
        if process.poll() is None:
            _configure(api, keys, known=known)
            notify(f"{environment.server_url} is ready, project {environment.project}; in another terminal: inv deploy")
            notify("GPUs keep running, and are billed, when this stops or the laptop closes; `inv destroy` ends them")
        process.wait()
        problem = f"`dstack server` exited with {process.returncode}: {_last_line()}"
        raise Failure(ExitCode.SERVER_UNREACHABLE, problem, f"see {LOG.relative_to(ROOT)}")
    except KeyboardInterrupt:
        with suppress(Failure):  # the server may not have started yet
            for resource in existing_resources(api, environment):
                notify(f"still there: {resource}; to end it, run inv server again and then inv destroy")
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(environment: Environment, api: Api, process: subprocess.Popen[bytes]) -> None:
    """Return when the server answers or has exited. Fails with its answer when more waiting won't change it."""
    refusals = 0
    for _ in poll(START_SECONDS):
        if process.poll() is not None:
            return
        try:
            socket.create_connection(_address(environment), timeout=2).close()
        except OSError:
            continue  # it takes connections when its database is ready
        try:
            api.server_version()
            return
        except Failure as failure:
            refusals += 1
            if refusals == MOST_REFUSALS:
                problem = f"`dstack server` runs at {environment.server_url}, but calls to it fail: {failure.problem}"
                remedy = _proxy_remedy(environment.server_url) or failure.remedy
                raise Failure(failure.code, problem, remedy) from None
    problem = f"`dstack server` takes no connections after {START_SECONDS} s"
    raise Failure(ExitCode.SERVER_UNREACHABLE, problem, f"see {LOG.relative_to(ROOT)}")


def _proxy_remedy(url: str) -> str:
    """Return what to set when a proxy would be asked for an address of this machine."""
    proxy = get_environ_proxies(url).get("http")
    return f"set NO_PROXY=127.0.0.1,localhost, because {proxy} is set as the proxy" if proxy else ""


def _configure(api: Api, keys: dict[str, str], *, known: bool) -> None:
    """Make the project with the clouds' keys. Fails with a reason that can be found on this machine, if there is one.

    `known`: the server's database existed before this start.
    """
    try:
        api.configure(keys)
    except Failure as failure:
        if failure.code == ExitCode.TOKEN_REFUSED and known:
            problem = f"{DATABASE.relative_to(ROOT)} has the token of the first start, and DSTACK_TOKEN differs from it"
            remedy = "put the earlier token back, in .env or the shell; if it is lost, end what runs in the clouds'"
            raise Failure(failure.code, problem, f"{remedy} consoles, then remove {FOLDER.name}/") from None
        if failure.code == ExitCode.SERVER_REFUSED:
            raise _explained(failure, _unresolved(keys), _unreached()) from None
        raise


def _explained(failure: Failure, absent: list[str], unreached: str) -> Failure:
    """Return why a server of this machine could not check the clouds' keys, if this machine's network is the reason.

    `absent`: names that do not resolve here; `unreached`: the host that the server could not connect to.
    """
    if absent:
        names = f"the name {absent[0]} does" if len(absent) == 1 else f"the names {' and '.join(absent)} do"
        problem = f"dstack checks each cloud's key, and {names} not resolve here"
        return Failure(failure.code, problem, "check this machine's network and DNS")
    if unreached:
        problem = f"dstack checks each cloud's key, and this machine can't connect to {unreached}"
        remedy = f"check its network, its firewall and its proxy; {LOG.relative_to(ROOT)} has the error"
        return Failure(failure.code, problem, remedy)
    return failure


def _unresolved(clouds: Iterable[str]) -> list[str]:
    """Return the hosts of the clouds' APIs whose names do not resolve here, except those that a proxy resolves."""
    hosts = [HOSTS[cloud] for cloud in clouds if cloud in HOSTS]
    return [host for host in hosts if not get_environ_proxies(f"https://{host}") and not _resolves(host)]


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, 443))
    except OSError:
        return False


def _cloud_keys(environment: Environment) -> dict[str, str]:
    """Return the API keys of the service's clouds, by cloud. Fails with SETTINGS_INVALID for a missing one."""
    variables = variables_of(environment.name)
    found = {cloud: variables.get(f"{cloud.upper()}_API_KEY", "") for cloud in environment.service.get("backends", [])}
    absent = [f"{cloud.upper()}_API_KEY" for cloud, key in found.items() if not key]
    if absent := absent + ["DSTACK_TOKEN"] * (not environment.token):
        remedy = "copy .env.example to .env and fill it in"
        raise Failure(ExitCode.SETTINGS_INVALID, f".env lacks {', '.join(absent)}", remedy)
    return found


def _address(environment: Environment) -> tuple[str, int]:
    """Return the host and port of the environment's server. Fails with SETTINGS_INVALID if it is another machine's."""
    address = urlsplit(environment.server_url)
    if address.scheme != "http" or address.hostname not in ("127.0.0.1", "localhost"):
        problem = f"{environment.file} uses {environment.server_url}, which is not on this machine"
        raise Failure(ExitCode.SETTINGS_INVALID, problem, "for a local server write server.url: http://127.0.0.1:3000")
    return address.hostname, address.port or 80


def _start(environment: Environment) -> subprocess.Popen[bytes]:
    """Start the server. Fails with SETTINGS_INVALID when it is not installed."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    try:
        with LOG.open("wb") as log:
            return subprocess.Popen(
                [Path(sys.executable).with_name("dstack"), "server"],
                env={**os.environ, **_variables(environment)},
                stdout=subprocess.DEVNULL,  # it prints the token
                stderr=log,
                start_new_session=True,  # Ctrl-C is for `inv server`, which reports before it ends
            )
    except OSError as error:
        problem = f"`dstack server` can't be started, {error.filename}: {error.strerror}"
        raise Failure(ExitCode.SETTINGS_INVALID, problem, "install the packages of requirements.txt") from None


def _variables(environment: Environment) -> dict[str, str]:
    """Return the variables that the server reads its settings from."""
    host, port = _address(environment)
    return {
        "DSTACK_SERVER_DIR": str(FOLDER),
        "DSTACK_SERVER_HOST": host,
        "DSTACK_SERVER_PORT": str(port),
        "DSTACK_SERVER_ADMIN_TOKEN": environment.token,
        "DSTACK_SERVER_CONFIG_DISABLED": "1",  # a config.yml would remove the clouds again
        "DSTACK_DO_NOT_UPDATE_DEFAULT_PROJECT": "1",  # leave ~/.dstack/config.yml alone
    }


def _unreached() -> str:
    """Return the host that the server's last error says it could not connect to; "" for another error."""
    found = UNREACHED.search(_last_line()) if LOG.exists() else None
    return found["host"] if found else ""


def _last_line() -> str:
    """Return the last line that the server wrote."""
    lines = LOG.read_text(encoding="utf-8", errors="replace").split("\n")
    return quoted(next((line for line in reversed(lines) if line.strip()), "it wrote nothing"))
