"""A job on a terminal, as dstack's runner runs and stops it.

Stopping follows dstack-runner 0.22.5 (runner/internal/runner/executor): Ctrl-C through the terminal, which is SIGINT
for the command in the foreground; SIGHUP for all of the session that is left after 5 seconds; SIGKILL after 10. What a
job does on SIGINT therefore has 5 seconds, or 10 when it ignores SIGHUP, however long its own grace period is.
"""

from __future__ import annotations

import asyncio
import os
import signal
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from sandbox.pods.history import History

HANG_UP_SECONDS = 5.0
KILL_SECONDS = 10.0
_POLL_SECONDS = 0.1
_FLUSH_SECONDS = 0.1  # output is passed on in pieces of this length, not in single writes


class Job:
    """Runs once; everything it says and becomes goes to its history."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._terminal = -1
        self._session = 0  # id of the job's session, which is the process id of its shell
        self._pending = b""
        self._stopping: asyncio.Task[None] | None = None
        self._reason: str | None = None

    async def run(
        self, commands: Sequence[str], environ: Mapping[str, str], folder: Path, max_seconds: float | None
    ) -> None:
        """Run `commands` in `folder` to its end; after `max_seconds` it is stopped."""
        loop = asyncio.get_running_loop()
        self._terminal, theirs = os.openpty()
        _plain_newlines(theirs)
        os.set_blocking(self._terminal, False)
        loop.add_reader(self._terminal, self._read)
        try:
            process = await asyncio.create_subprocess_exec(
                *commands,
                cwd=folder,
                env=environ,
                preexec_fn=lambda: os.login_tty(theirs),  # a session, with the terminal as its controlling one
            )
        except OSError as error:
            self._history.add_note(f"Exec failed err={error}")
            self._finish("failed", None)
            return
        finally:
            os.close(theirs)
        self._session = process.pid
        self._history.add_state("running")
        timeout = loop.call_later(max_seconds, self.stop, "max_duration_exceeded") if max_seconds else None
        status = await process.wait()
        if timeout:
            timeout.cancel()
        if self._stopping:
            await self._stopping
        while self._read():
            continue
        self._finish("done" if status == 0 else "failed", status)

    def stop(self, reason: str | None = None) -> None:
        """Begin to stop the job; `reason` is one of dstack's JobTerminationReason. Stopping it again does nothing."""
        if self._stopping or not self._session:
            return
        self._reason = reason
        self._stopping = asyncio.create_task(self._stop())

    async def _stop(self) -> None:
        with suppress(OSError):  # a job that reads nothing has filled its terminal's buffer, or it has just ended
            os.write(self._terminal, b"\x03")
        if await self._empty_within(HANG_UP_SECONDS):
            return
        self._signal_session(signal.SIGHUP, signal.SIGCONT)  # a stopped process acts on one only when it continues
        if not await self._empty_within(KILL_SECONDS - HANG_UP_SECONDS):
            self._signal_session(signal.SIGKILL)

    async def _empty_within(self, seconds: float) -> bool:
        deadline = asyncio.get_running_loop().time() + seconds
        while _session_members(self._session):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    def _signal_session(self, *signals: signal.Signals) -> None:
        members = _session_members(self._session)
        self._history.add_note(f"Processes still running, sent {signals[0].name} pids={members}")
        for pid in members:
            for number in signals:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def _read(self) -> bool:
        """Take what the terminal has to give; False when that is nothing."""
        loop = asyncio.get_running_loop()
        try:
            output = os.read(self._terminal, 65536)
        except BlockingIOError:
            return False
        except OSError:  # EIO: no process has the terminal open any more
            loop.remove_reader(self._terminal)
            return False
        if not self._pending:
            loop.call_later(_FLUSH_SECONDS, self._flush)
        self._pending += output
        return True

    def _flush(self) -> None:
        if self._pending:
            self._history.add_output(self._pending)
            self._pending = b""

    def _finish(self, state: str, status: int | None) -> None:
        asyncio.get_running_loop().remove_reader(self._terminal)
        os.close(self._terminal)
        self._flush()
        if self._stopping:
            self._history.add_state("terminated", termination_reason=self._reason)
        else:
            # Go's exit code of a process that a signal ended is -1
            self._history.add_state(state, exit_status=status if status is None else max(status, -1))
        self._history.finished = True


def _plain_newlines(terminal: int) -> None:
    """Leave newlines as the job writes them: logs are read in files and by other programs."""
    attributes = termios.tcgetattr(terminal)
    attributes[1] &= ~termios.ONLCR
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)


def _session_members(session: int) -> list[int]:
    """The session's living processes. Zombies have ended, and would keep it looking busy for ever."""
    members = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                members.append(pid)
    return members
