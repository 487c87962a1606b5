"""The life and death of a sandbox: what it leaves behind, whoever runs it and however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from sandbox import Sandbox, SandboxError
from sandbox.world.dstack_server import DstackServer
from tests.sandbox.deployment import ROOT, Deployment, dstack_server_of, processes_of, wait_for

NOBODY = 65534
AS_NOBODY = f"exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups"


@contextmanager
def up(*prefix: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`python -m sandbox up --json` started by the command `prefix`, and the variables that it printed."""
    command = [*prefix, sys.executable, "-m", "sandbox", "up", "--json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        process.stdout.close()


def sockets_folder(temporary: Path) -> Path:
    """The one thing outside of `temporary` that a sandbox has while it runs: its server's TMPDIR."""
    return Path(wait_for(lambda: dstack_server_of(temporary)).environ()["TMPDIR"])


def as_nobody(scratch: Path) -> list[str]:
    """What makes root's command an ordinary user's.

    Where Python, its packages or this repository lie in a folder that only root can read, an overlay opens that folder,
    in a mount namespace of the command's own.
    """
    roots = {Path(path).resolve() for path in (sys.base_prefix, sys.prefix, ROOT, sys.executable)}
    closed = {folder for root in roots for folder in (root, *root.parents) if not folder.stat().st_mode & 0o001}
    script = [f"mount -t tmpfs tmpfs {scratch}"]
    for number, folder in enumerate(sorted(path for path in closed if path.is_dir())):
        upper, work = scratch / f"upper{number}", scratch / f"work{number}"
        layers = f"lowerdir={folder},upperdir={upper},workdir={work}"
        script += [f"mkdir {upper} {work}", f"mount -t overlay overlay -o {layers} {folder}", f"chmod o+rx {folder}"]
    script.append(f'{AS_NOBODY} "$@"')
    return ["unshare", "--mount", "--", "sh", "-ec", "\n".join(script), "sh"]


@pytest.mark.server
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_however_its_owner_ends_nothing_is_left(end: signal.Signals, temporary: Path) -> None:
    with up() as (process, environ):
        assert requests.get(environ["DSTACK_SERVER_URL"], timeout=10).ok
        sockets = sockets_folder(temporary)
        process.send_signal(end)
        process.wait(30)
    wait_for(lambda: not processes_of(temporary) and not list(temporary.iterdir()) and not sockets.exists(), 10)


@pytest.mark.server
def test_nothing_keeps_running_when_its_own_process_is_killed(temporary: Path) -> None:
    with up() as (process, _):
        world = next(p for p in psutil.Process(process.pid).children() if "sandbox.world" in p.cmdline())
        sockets = sockets_folder(temporary)
        world.kill()
        assert process.wait(30) == 1  # `up` notices
    wait_for(lambda: not processes_of(temporary) and not list(temporary.iterdir()) and not sockets.exists(), 10)


@pytest.mark.server
def test_an_interrupted_start_leaves_nothing(temporary: Path) -> None:
    process = subprocess.Popen([sys.executable, "-m", "sandbox", "up"], cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_for(lambda: dstack_server_of(temporary))
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert processes_of(temporary) == []
    assert list(temporary.iterdir()) == []


@pytest.mark.server
def test_a_server_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    broken = DstackServer(tmp_path, tmp_path, token="t", keys={"nosuchcloud": "key"})
    with pytest.raises(SandboxError) as error:
        asyncio.run(broken.start({}))
    first, *rest = str(error.value).splitlines()
    assert first.startswith("the dstack server ended with code 3; its log")
    assert "nosuchcloud" in "".join(rest)


@pytest.mark.server
@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs all the other tests")
def test_an_ordinary_user_can_deploy(temporary: Path, tmp_path: Path) -> None:
    os.chown(temporary, NOBODY, NOBODY)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with up(*as_nobody(scratch)) as (_, environ):
        assert {process.uids().effective for process in processes_of(temporary)} == {NOBODY}
        deployment = Deployment(Sandbox.attach(Path(environ["SANDBOX_FOLDER"])), tmp_path)
        deployment.apply()
        assert "stand-in" in deployment.answer()
    assert list(temporary.iterdir()) == []


def test_a_named_folder_keeps_the_logs_and_can_be_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "box"
    for _ in range(2):
        with Sandbox(folder, server=False) as sandbox:
            assert sandbox.calls() == []  # the first one's are gone
            environ = sandbox.cloud_environ
            proxies = {"https": environ["HTTPS_PROXY"]}
            requests.get("https://api.runpod.io/", proxies=proxies, verify=environ["SSL_CERT_FILE"], timeout=5).close()
            with pytest.raises(SandboxError, match="already runs in"):
                Sandbox(folder, server=False).start()
    assert len((folder / "calls.jsonl").read_text().splitlines()) == 1
    with pytest.raises(SandboxError, match="no sandbox runs in"):
        Sandbox.attach(folder)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(SandboxError, match="isn't empty"):
        Sandbox(tmp_path, server=False).start()
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_missing_system_package_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "git").symlink_to(shutil.which("git") or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="ssh, unshare; run `sudo apt-get install -y openssh-client util-linux`"):
        Sandbox(server=False).start()
