"""A dstack server on this machine, for evaluation: its state in .dstack/, the clouds' keys from .env.

Keys go to the server through its API and are in no file of this repository but .env; the server keeps them in its
database, .dstack/data/sqlite.db.
"""

import os
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
from deploy.dstack.client import Say
from deploy.dstack.polling import poll
from deploy.environments import ROOT, Environment, variables_of
from deploy.existing import everything

FOLDER = ROOT / ".dstack"
LOG = FOLDER / "server.log"  # errors and warnings alone
DATABASE = FOLDER / "data" / "sqlite.db"
HOSTS = {"runpod": "api.runpod.io", "vastai": "console.vast.ai"}  # where dstack tries the keys
REFUSALS = 3  # answers of a server that takes connections, until waiting longer is given up
START_SECONDS = 180  # a first start migrates an empty database: 20-50 s on two cores


def run(environment: Environment, say: Say) -> None:
    """Serve until Ctrl-C or SIGTERM, then say what keeps running, and is billed, without the server."""
    keys, api, known = _cloud_keys(environment), Api(environment), DATABASE.exists()
    with suppress(OSError), socket.create_connection(_address(environment), timeout=2):
        why = f"another server is at {environment.server_url} already"
        raise Failure(ExitCode.SETTINGS_INVALID, f"{why}; use or end it, or change server.url in {_file(environment)}")
    try:
        process = _start(environment)
    except OSError as error:
        why = f"`dstack server` can't be started, {error.filename}: {error.strerror}"
        raise Failure(ExitCode.SETTINGS_INVALID, f"{why}; are the packages of requirements.txt installed?") from None
    try:
        first = "" if known else "; a first start makes its database, which takes up to a minute"
        say(f"starting, what it has to say goes to {LOG.relative_to(ROOT)}{first}")
        _wait_until_ready(environment, api, process)
        if process.poll() is None:
            _configure(api, keys, known=known)
            say(f"{environment.server_url} is ready, project {environment.project}; in another terminal: inv deploy")
            say("GPUs go on running, and billing, when this stops or the laptop closes; inv destroy ends them")
        process.wait()
        message = f"`dstack server` exited with {process.returncode}: {_last_words()}"
        raise Failure(ExitCode.SERVER_UNREACHABLE, f"{message}; see {LOG.relative_to(ROOT)}")
    except KeyboardInterrupt:
        with suppress(Failure):  # it may not have come up yet
            for remaining in everything(api, environment):
                say(f"still there: {remaining}; to end it, run inv server again and then inv destroy")
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(environment: Environment, api: Api, process: subprocess.Popen[bytes]) -> None:
    """Return when the server answers, or has exited. Fails with its answer when waiting won't change that."""
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
            if refusals == REFUSALS:
                why = f"`dstack server` runs at {environment.server_url}, but calls to it fail: {failure}"
                raise Failure(failure.code, f"{why}{_proxy_hint(environment.server_url)}") from None
    why = f"`dstack server` takes no connections after {START_SECONDS} s"
    raise Failure(ExitCode.SERVER_UNREACHABLE, f"{why}; see {LOG.relative_to(ROOT)}")


def _proxy_hint(url: str) -> str:
    """What to type where a proxy is set that would be asked for this machine's own address."""
    proxy = get_environ_proxies(url).get("http")
    return f"; this machine needs no proxy, and {proxy} is set: set NO_PROXY=127.0.0.1,localhost" if proxy else ""


def _configure(api: Api, keys: dict[str, str], *, known: bool) -> None:
    """Make the project with the clouds' keys. Fails with the reason, where it is to be found on this machine.

    `known`: the server's database was there before this start.
    """
    try:
        api.configure(keys)
    except Failure as failure:
        if failure.code == ExitCode.TOKEN_REFUSED and known:
            why = f"{DATABASE.relative_to(ROOT)} has the token of the first start, and DSTACK_TOKEN is another now"
            fix = "put the earlier one back, in .env or the shell; without it: end what runs in the clouds' consoles"
            raise Failure(failure.code, f"{why}; {fix}, then remove {FOLDER.name}/") from None
        if failure.code == ExitCode.SERVER_REFUSED and (absent := _unresolved(keys)):
            why = f"dstack asks each cloud whether its key is valid, and {', '.join(absent)} can't be found from here"
            raise Failure(failure.code, f"{why}: is there a network? (the server: {failure})") from None
        raise


def _unresolved(clouds: Iterable[str]) -> list[str]:
    """Hosts of the clouds' APIs whose names don't resolve here; none where a proxy would resolve them."""
    hosts = [HOSTS[cloud] for cloud in clouds if cloud in HOSTS]
    return [host for host in hosts if not get_environ_proxies(f"https://{host}") and not _resolves(host)]


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, 443))
    except OSError:
        return False


def _cloud_keys(environment: Environment) -> dict[str, str]:
    """API key by cloud, for the clouds of the service. Fails with SETTINGS_INVALID, naming what .env lacks."""
    variables = variables_of(environment.name)
    found = {cloud: variables.get(f"{cloud.upper()}_API_KEY", "") for cloud in environment.service.get("backends", [])}
    absent = [f"{cloud.upper()}_API_KEY" for cloud, key in found.items() if not key]
    if absent := absent + ["DSTACK_TOKEN"] * (not environment.token):
        message = f".env lacks {', '.join(absent)}; copy .env.example to .env and fill it in"
        raise Failure(ExitCode.SETTINGS_INVALID, message)
    return found


def _file(environment: Environment) -> str:
    return f"environments/{environment.name}.yml"


def _address(environment: Environment) -> tuple[str, int]:
    """Host and port where the environment expects the server, which have to be this machine's."""
    address = urlsplit(environment.server_url)
    if address.scheme != "http" or address.hostname not in ("127.0.0.1", "localhost"):
        message = f"{_file(environment)} uses {environment.server_url}, which is not on this machine"
        raise Failure(ExitCode.SETTINGS_INVALID, f"{message}; for a local server write http://127.0.0.1:3000")
    return address.hostname, address.port or 80


def _start(environment: Environment) -> subprocess.Popen[bytes]:
    host, port = _address(environment)
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    settings = {
        "DSTACK_SERVER_DIR": str(FOLDER),
        "DSTACK_SERVER_HOST": host,
        "DSTACK_SERVER_PORT": str(port),
        "DSTACK_SERVER_ADMIN_TOKEN": environment.token,
        "DSTACK_SERVER_CONFIG_DISABLED": "1",  # a config.yml would take the clouds away again
        "DSTACK_DO_NOT_UPDATE_DEFAULT_PROJECT": "1",  # leave ~/.dstack/config.yml alone
    }
    with LOG.open("wb") as log:
        return subprocess.Popen(
            [Path(sys.executable).with_name("dstack"), "server"],
            env={**os.environ, **settings},
            stdout=subprocess.DEVNULL,  # it prints the token
            stderr=log,
            start_new_session=True,  # Ctrl-C is for `inv server`, which has something to say first
        )


def _last_words() -> str:
    """The last line that the server wrote."""
    lines = LOG.read_text(encoding="utf-8", errors="replace").split("\n")
    return quoted(next((line for line in reversed(lines) if line.strip()), "it said nothing"))
