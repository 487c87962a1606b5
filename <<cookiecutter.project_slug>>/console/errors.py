"""Everything that can go wrong in a way that a person treats differently, each with its exit code.

1 and 2 are left to invoke and Python. README.md has the same table for people; a test compares the two.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of `inv`."""

    CHANGES = 10  # inv plan --detailed-exitcode: there is something to deploy
    INTERRUPTING_CHANGES = 11  # the same, and it would interrupt the service
    SETTINGS_INVALID = 20  # a file or variable of this repository is wrong; nothing was changed
    SERVER_UNREACHABLE = 21  # the dstack server does not answer
    TOKEN_REFUSED = 22  # the dstack server does not know the token, or its user may not do this
    PROJECT_MISSING = 23  # the dstack server has no such project
    SECRET_MISSING = 24  # the project lacks a secret of the service; nothing was rented
    RESTART_REFUSED = 25  # it would interrupt or end a protected service; nothing was changed
    NO_CAPACITY = 26  # no GPU to be had: no offer, or none that a cloud fulfilled in time
    NO_FLEET = 27  # the run has no fleet to take machines from
    CRASHED = 28  # the container of a new replica ended by itself, twice
    NOT_READY = 29  # new replicas run, but did not pass their probes within timeouts.ready
    SMOKE_FAILED = 30  # the endpoint did not answer as a model should
    PLAN_OUTDATED = 31  # somebody else changed the service meanwhile
    SERVER_REFUSED = 32  # the dstack server refused for a reason of its own, which the message quotes
    NOT_DEPLOYED = 33  # there is no such run
    DECLINED = 34  # nobody said yes
    CLOUD_MISSING = 35  # the project has no key for a cloud that the service rents from
    GATEWAY_FAILED = 36  # the gateway did not come to run, or dstack has given it up
    GATEWAY_RECREATION_REFUSED = 37  # the change takes a new gateway; nothing was changed
    DNS_REFUSED = 38  # the records could not be read or written, or belong to somebody else
    NOT_VERIFIED = 39  # deployed, but the endpoint can't be reached from this machine
    BENCH_FAILED = 40  # the load test's tool is not to be had, or ended without numbers
    STILL_THERE = 41  # what was stopped or deleted is not gone within timeouts.stop, and may be billed on
    REMOVAL_REFUSED = 42  # deploying would remove something in a protected environment; nothing was changed
    INTERRUPTED = 130  # Ctrl-C; nothing was rolled back, running it again continues
    TERMINATED = 143  # SIGTERM, as a shell counts it: 128 + 15; as after Ctrl-C, nothing was rolled back


class Failure(Exception):  # noqa: N818
    """Ends a task with `code` and one line: the problem, with its place, and what to type or change."""

    def __init__(self, code: ExitCode, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}; {remedy}" if remedy else problem)
        self.code, self.problem, self.remedy = code, problem, remedy


class Terminated(KeyboardInterrupt):
    """A task was told to end by SIGTERM. Ends it like Ctrl-C does, with another exit code."""
