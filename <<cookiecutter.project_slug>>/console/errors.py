"""The exit codes of `inv`, and the exception that carries one.

Each failure that a person would treat differently has a code of its own. 1 and 2 are those of invoke and Python.
docs/reference.md has the same table for people, and a test compares the two.
"""

from collections.abc import Callable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of `inv`."""

    CHANGES = 10  # inv plan --detailed-exitcode: there is something to deploy
    INTERRUPTING_CHANGES = 11  # as 10, and a deploy would interrupt the service
    SETTINGS_INVALID = 20  # a file or variable of this repository is wrong; nothing was changed
    SERVER_UNREACHABLE = 21  # the dstack server does not answer
    TOKEN_REFUSED = 22  # the dstack server does not know the token, or its user may not do this
    PROJECT_MISSING = 23  # the dstack server has no such project
    SECRET_MISSING = 24  # the project lacks a secret of the service; nothing was rented
    RESTART_REFUSED = 25  # it would interrupt or end a protected service; nothing was changed
    NO_CAPACITY = 26  # no offer of a GPU, or no cloud handed out a machine in time
    NO_FLEET = 27  # the run has no fleet to take machines from
    CRASHED = 28  # the container of a new replica exited twice
    NOT_READY = 29  # new replicas run, but did not pass their probes within timeouts.ready
    SMOKE_FAILED = 30  # the endpoint did not answer as a model should
    PLAN_OUTDATED = 31  # somebody else changed service, fleet, gateway, records or alarms after the plan was made
    SERVER_REFUSED = 32  # the dstack server refused for a reason of its own, which the message quotes
    NOT_DEPLOYED = 33  # there is no such run
    DECLINED = 34  # nobody said yes
    CLOUD_MISSING = 35  # the project has no key for a cloud that the service rents from
    GATEWAY_FAILED = 36  # the gateway did not start, dstack gave it up, or it is dead
    GATEWAY_RECREATION_REFUSED = 37  # callers would get no answer while the gateway is replaced; nothing was changed
    DNS_REFUSED = 38  # the records could not be read or written, or have another owner
    NOT_VERIFIED = 39  # deployed, but the endpoint can't be reached from this machine
    BENCH_FAILED = 40  # the load test's tool is missing, or ended without numbers
    STILL_THERE = 41  # what was stopped or deleted still exists after timeouts.stop, and may still be billed
    REMOVAL_REFUSED = 42  # deploying would remove something in a protected environment; nothing was changed
    ACCOUNT_INCOMPLETE = 43  # something that the service needs is missing in AWS or on GitHub
    ACCOUNT_REFUSED = 44  # AWS or GitHub refused, or did not answer: for `inv setup`, about alarms or instances
    UNCOMMITTED_CHANGES = 45  # a protected environment deploys only what is committed; nothing was changed
    NOT_SERVING = 46  # inv status: deployed, and no replica serves, although one should
    GATEWAY_DEGRADED = 47  # a part of the gateway, or its record, is broken; the other part serves
    GATEWAY_DEAD = 48  # nothing of the gateway serves, or it was recovered within the last hour already
    SERVICE_AT_FAULT = 49  # the gateway answers, and the service behind it does not
    ROLLBACK_REFUSED = 50  # the files of that deployment are not to be had, or belong elsewhere; nothing was changed
    INTERRUPTED = 130  # Ctrl-C; nothing was rolled back, running it again continues
    TERMINATED = 143  # SIGTERM, as a shell counts it: 128 + 15; as after Ctrl-C, nothing was rolled back


class Failure(Exception):  # noqa: N818
    """Ends a task with an exit code and one line: the problem, with its place, and what to type or change."""

    def __init__(self, code: ExitCode, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}; {remedy}" if remedy else problem)
        self.code, self.problem, self.remedy = code, problem, remedy

    def reword(self, change: Callable[[str], str]) -> None:
        """Change the texts of problem, remedy and notes."""
        self.problem, self.remedy = change(self.problem), change(self.remedy)
        self.args = tuple(change(text) for text in self.args)
        if notes := getattr(self, "__notes__", []):
            notes[:] = map(change, notes)


class Terminated(KeyboardInterrupt):
    """Ends a task after SIGTERM. It is handled like Ctrl-C, with another exit code."""
