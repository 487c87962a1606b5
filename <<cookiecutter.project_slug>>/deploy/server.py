"""A dstack server on this machine, for evaluation: its state in .dstack/, the clouds' keys from .env.

Keys go to the server through its API and are in no file of this repository but .env; the server keeps them in its
database, .dstack/data/sqlite.db.
"""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from deploy.api import Api, during
from deploy.client import Say
from deploy.environments import ROOT, Environment, variables_of
from deploy.errors import ExitCode, Failure
from deploy.existing import everything

FOLDER = ROOT / ".dstack"
START_SECONDS = 180  # a first start migrates an empty database: 20-50 s on two cores


def run(environment: Environment, say: Say) -> None:
    """Serve until Ctrl-C or SIGTERM, then say what goes on without the server."""
    keys, api = _cloud_keys(environment), Api(environment)
    with suppress(OSError), socket.create_connection(_address(environment), timeout=2):
        why = f"another server is at {environment.server_url} already"
        raise Failure(ExitCode.SETTINGS_INVALID, f"{why}; use or end it, or change server.url in {_file(environment)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    process = _start(environment)
    try:
        for _ in during(START_SECONDS):
            with suppress(Failure):
                if process.poll() is None:
                    api.server_version()
                break
        if process.poll() is None:
            api.configure(keys)
            say(f"{environment.server_url} is ready, project {environment.project}; in another terminal: inv deploy")
            say("GPUs go on running, and billing, when this stops or the laptop closes; inv destroy ends them")
        process.wait()
        message = f"`dstack server` ended by itself, exit code {process.returncode}; its last words are above"
        raise Failure(ExitCode.SERVER_UNREACHABLE, message)
    except KeyboardInterrupt:
        with suppress(Failure):  # it may not have come up yet
            for remaining in everything(api, environment):
                say(f"still there: {remaining}; to end it, run inv server again and then inv destroy")
    finally:
        process.terminate()
        process.wait()


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
    return subprocess.Popen(
        [Path(sys.executable).with_name("dstack"), "server"],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,  # it prints the token
        start_new_session=True,  # Ctrl-C is for `inv server`, which has something to say first
    )
