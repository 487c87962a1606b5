"""The sandbox as Python sees it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from sandbox.aws.aws_account import AwsAccount
from sandbox.clouds.pod_info import PodInfo
from sandbox.errors import SandboxError
from sandbox.world import calls
from sandbox.world.calls import Call
from sandbox.world.client import ask_world, request
from sandbox.world.fault_injection import FaultInjection
from sandbox.world.world_process import WorldProcess
from sandbox.world.world_state import CALLS_FILE, WorldSettings, WorldState


class Sandbox:
    """Emulated clouds with a real dstack server on them; a context manager, or start() and stop().

    It ends with the process that started it, however that ends. Methods raise SandboxError, whose first line is an
    instruction.
    """

    project = "sandbox"  # the dstack project that has the backends runpod and vastai

    def __init__(
        self,
        folder: Path | None = None,
        *,
        load_seconds: float = 2.0,
        server: bool = True,
        aws: bool = False,
        zone: str = "ai.internal",
        alarm_speed: float = 1.0,
        engine: Mapping[str, str] | None = None,
        front: bool = False,
    ) -> None:
        """`folder` holds state and logs; without one, a temporary folder is made and removed at the end.

        `load_seconds` is how long the stand-in engine in a pod "loads weights"; `server` False leaves the dstack server
        out, for tests of only the clouds; `aws` adds an AWS account with the private hosted zone `zone`, in which a
        minute of CloudWatch's alarms takes 60 / `alarm_speed` seconds;
        `engine` is the stand-in, or sandbox.vllm.install.get().variables(); `front` leads callers to the dstack server
        through a proxy, whose calls are logged and can have faults, on the cloud `dstack`.
        """
        self.folder = folder
        self._temporary = folder is None
        self._load_seconds = load_seconds
        self._server = server
        if alarm_speed <= 0:
            raise SandboxError(f"the speed of alarms is above 0, not {alarm_speed:g}")
        self._zone = zone if aws else None
        self._alarm_speed = alarm_speed
        self._engine = dict(engine or {})
        self._front = front
        self._made: list[str] = []  # folders to remove in the end
        self._state: WorldState | None = None
        self._world: WorldProcess | None = None

    @classmethod
    def attach(cls, folder: Path) -> Self:
        """Return the sandbox that another process started in `folder`; stop() does not end it."""
        sandbox = cls(folder)
        try:
            sandbox._state = WorldState.load(folder)
            sandbox.faults.in_force()
        except (FileNotFoundError, SandboxError):
            raise SandboxError(f"no sandbox runs in {folder}; start one with `python -m sandbox up`") from None
        return sandbox

    def start(self) -> None:
        """Start all processes, and return when the dstack server answers and has both backends: 5-10 s."""
        try:
            settings = self._settings()
            self._world = WorldProcess(settings)
            self._world.start()
            self._state = WorldState.load(Path(settings.folder))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all processes and remove the temporary folder. A second call does nothing."""
        self._state = None
        world, self._world = self._world, None
        if world is not None:
            world.stop()
        if self._temporary and self._made:
            self.folder = None
        while self._made:
            shutil.rmtree(self._made.pop(), ignore_errors=True)  # in case the world was killed and couldn't

    def wait(self) -> None:
        """Block until the sandbox exits without stop(), which is an error: raises SandboxError with the reason."""
        assert self._world
        self._world.hear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Of the dstack server, or of the proxy before it."""
        return self._running.url

    @property
    def token(self) -> str:
        """Of the dstack server's admin."""
        return self._running.token

    @property
    def environ(self) -> dict[str, str]:
        """The variables that lead dstack's CLI and API clients here, and `python -m sandbox` too."""
        return {
            "DSTACK_SERVER_URL": self.url,
            "DSTACK_TOKEN": self.token,
            "DSTACK_PROJECT": self.project,
            "SANDBOX_FOLDER": str(self.folder),
            **(self._running.aws.environ if self._running.aws else {}),
        }

    @property
    def keys(self) -> dict[str, str]:
        """The clouds' API keys that the server has: runpod, vastai."""
        return self._running.keys

    @property
    def cloud_environ(self) -> dict[str, str]:
        """The variables that make any process take the emulated clouds for the real ones."""
        return self._running.cloud_environ

    @property
    def faults(self) -> FaultInjection:
        """What is to fail: in the GPU clouds, in the AWS account, in the dstack server's answers."""
        return FaultInjection(self._running)

    @property
    def aws(self) -> AwsAccount:
        """The AWS account. Raises SandboxError without `aws=True`."""
        return AwsAccount(self._running.aws)

    def add_user(self, name: str, project_role: str = "user") -> str:
        """Add a dstack user who is a member of the project, and return the user's token.

        `project_role` is user, manager or admin.
        """
        self._dstack("users/create", username=name, global_role="user")
        member = {"username": name, "project_role": project_role}
        self._dstack(f"projects/{self.project}/add_members", members=[member])
        token: str = self._dstack("users/get_user", username=name)["creds"]["token"]
        return token

    def pods(self) -> list[PodInfo]:
        """All pods that were ever rented here, oldest first."""
        return [PodInfo(**pod) for pod in ask_world(self._running, "GET", "pods")]

    def kill_pod(self, pod_id: str) -> None:
        """Let a pod's host die: without a warning to anything in it or to dstack."""
        ask_world(self._running, "POST", f"pods/{quote(pod_id)}/kill")

    def hang_engine(self, pod_id: str) -> None:
        """Let a pod's stand-in engine hang: requests get no answer, nothing is counted, and /health stays 200."""
        ask_world(self._running, "POST", f"pods/{quote(pod_id)}/hang")

    def restart_server(self) -> None:
        """Kill the dstack server and start it again, with the same database: 5-10 s."""
        ask_world(self._running, "POST", "server/restart")

    def calls(self, *, cloud: str | None = None, writes: bool = False) -> list[Call]:
        """The calls that the emulated hosts received, oldest first; of one cloud, or those that ask for a change.

        The cloud `unknown` has those that the sandbox refused, because their host isn't emulated.
        """
        if self.folder is None:
            raise SandboxError("the sandbox isn't running; call start() first")
        logged = calls.read(self.folder / CALLS_FILE)
        return [call for call in logged if cloud in (None, call.cloud) and (call.write or not writes)]

    @property
    def _running(self) -> WorldState:
        if self._state is None:
            raise SandboxError("the sandbox isn't running; call start() first")
        return self._state

    def _settings(self) -> WorldSettings:
        """What to tell the world, with the folders made that are temporary."""
        self._made.append(tempfile.mkdtemp(prefix="sandbox-", dir="/tmp"))  # sockets' paths must be short, unix(7)
        sockets = self._made[0]
        if self.folder is None:
            self._made.append(tempfile.mkdtemp(prefix="sandbox-"))
            self.folder = Path(self._made[1])
        folder = str(self.folder.resolve())
        return WorldSettings(
            folder=folder,
            sockets=sockets,
            load_seconds=self._load_seconds,
            server=self._server,
            temporary=self._temporary,
            engine=self._engine,
            zone=self._zone,
            alarm_speed=self._alarm_speed,
            front=self._front,
        )

    def _dstack(self, path: str, **body: Any) -> Any:
        return request("POST", f"{self._running.server_url}/api/{path}", self.token, body)
