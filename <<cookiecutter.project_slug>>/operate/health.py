"""The verdict on a gateway: a table of rules over what was seen. The first rule that fits decides.

An address that can't be reached from here is never called dead: a hosted runner reaches none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from console.errors import ExitCode
from deploy.documents.files import Document
from deploy.instances import State
from deploy.reaching import KNOWING, LIVING, Verdict

HEALTHY = 0


@dataclass(frozen=True)
class Seen:
    """What was seen of a gateway. Replicas are known by their addresses.

    `status`: dstack's word, "" without a gateway. `states`: EC2's word on each replica. `reached`: what each replica
    answered; empty behind a load balancer. `named`: what the service's name answered. `resolves`: whether it has an
    address here. `recorded`: the addresses in its record; None where the records are not known. `run`: dstack's word,
    "" without a run. `ready`: replicas of the service whose probes pass.
    """

    env: str
    gateway: str
    status: str = ""
    states: dict[str, State] = field(default_factory=dict)
    reached: dict[str, Verdict] = field(default_factory=dict)
    named: Verdict = Verdict.UNREACHABLE
    resolves: bool = False
    recorded: frozenset[str] | None = None
    run: str = ""
    ready: int = 0
    asleep: bool = False
    notes: tuple[str, ...] = ()

    def at(self, *states: State) -> list[str]:
        """Return the addresses in these states."""
        return [address for address, state in self.states.items() if state in states]

    @property
    def answers(self) -> set[Verdict]:
        return set(self.reached.values())


@dataclass(frozen=True)
class Diagnosis:
    """The verdict. `code`: 0, or the exit code that says it."""

    code: int
    why: str
    remedy: str = ""

    def as_json(self, seen: Seen) -> Document:
        """Return the verdict as `inv gateway.check --json` prints it."""
        words = {"code": self.code, "why": self.why, "remedy": self.remedy, "gateway": seen.status or "absent"}
        addresses = [
            {"address": address, "ec2": state, "answer": seen.reached.get(address)}
            for address, state in seen.states.items()
        ]
        recorded = None if seen.recorded is None else sorted(seen.recorded)
        return words | {"run": seen.run, "name": seen.named, "recorded": recorded, "replicas": addresses}


def diagnose(seen: Seen) -> Diagnosis:
    """Return what the first rule says that fits."""
    return next(found for rule in RULES if (found := rule(seen)))


def _recover(seen: Seen) -> str:
    return f"run `inv gateway.recover --env {seen.env}`"


def _broken(seen: Seen, some: int, why: str, remedy: str) -> Diagnosis:
    """Return dead when all replicas are hit, and degraded when some are."""
    code = ExitCode.GATEWAY_DEAD if some == len(seen.states) else ExitCode.GATEWAY_DEGRADED
    return Diagnosis(code, why, remedy)


def _gone(seen: Seen) -> Diagnosis | None:
    if seen.status or not seen.run:
        return None
    return Diagnosis(ExitCode.GATEWAY_DEAD, f"dstack has no gateway {seen.gateway}", _recover(seen))


def _ended(seen: Seen) -> Diagnosis | None:
    if not (ended := seen.at(State.ENDED)):
        return None
    why = f"the instance of {' and '.join(ended)} has ended, and dstack does not notice"
    return _broken(seen, len(ended), why, _recover(seen))


def _impaired(seen: Seen) -> Diagnosis | None:
    if not (hit := seen.at(State.IMPAIRED, State.STARTING)):
        return None
    why = f"EC2's status checks of {' and '.join(hit)} have not passed"
    return _broken(seen, len(hit), why, f"wait: EC2 recovers it; see `inv gateway.check --env {seen.env}`")


def _no_replica(seen: Seen) -> Diagnosis | None:
    if seen.states or not seen.status:
        return None
    why = f"gateway {seen.gateway} is {seen.status} and has no replica that runs"
    return Diagnosis(ExitCode.GATEWAY_DEAD, why, f"see `inv gateway.status --env {seen.env}`")


def _misdirected(seen: Seen) -> Diagnosis | None:
    if seen.recorded is None or not seen.reached or not (wrong := seen.recorded ^ seen.states.keys()):
        return None
    some = len(seen.states) - len(seen.recorded & seen.states.keys())
    why = f"the record and the replicas differ: {' '.join(sorted(wrong))}"
    return _broken(seen, some, why, f"run `inv dns.update --env {seen.env}`")


def _no_run(seen: Seen) -> Diagnosis | None:
    if seen.run in ("", "terminated", "failed", "done"):
        why = f"the gateway is there, and the service is {seen.run or 'not deployed'}"
        return Diagnosis(ExitCode.SERVICE_AT_FAULT, why, f"run `inv deploy --env {seen.env}`")
    return None


def _well(seen: Seen) -> Diagnosis | None:
    if seen.named in KNOWING and seen.answers <= KNOWING:
        return Diagnosis(HEALTHY, "the name answers, and so does each replica of the gateway")
    asleep = seen.asleep and seen.answers <= LIVING and seen.answers
    return Diagnosis(HEALTHY, "the gateway answers, and the service is asleep") if asleep else None


def _unreachable(seen: Seen) -> Diagnosis | None:
    if {seen.named, *seen.answers} <= {Verdict.UNREACHABLE}:
        why = f"nothing of gateway {seen.gateway} can be reached from here"
        return Diagnosis(ExitCode.NOT_VERIFIED, why, f"run `inv gateway.check --env {seen.env}` inside the VPC")
    return None


def _unregistered(seen: Seen) -> Diagnosis | None:
    hit = [address for address, reach in seen.reached.items() if reach == Verdict.WRONG_BODY]
    if not hit:
        return None
    if not seen.ready:
        return _failing_service(seen)
    again = f"`inv gateway.destroy --env {seen.env} --allow-outage` and then `inv deploy --env {seen.env}`"
    remedy = f"wait a minute and check again; if it stays so, run {again}"
    return _broken(seen, len(hit), f"{' and '.join(hit)} does not know the service", remedy)


def _failing(seen: Seen) -> Diagnosis | None:
    return _failing_service(seen) if Verdict.FAILING in {seen.named, *seen.answers} else None


def _failing_service(seen: Seen) -> Diagnosis:
    why = f"the gateway answers, and the service behind it does not: {seen.ready} of its replicas are ready"
    return Diagnosis(ExitCode.SERVICE_AT_FAULT, why, f"see `inv status --env {seen.env}`, `inv logs --env {seen.env}`")


def _partly(seen: Seen) -> Diagnosis | None:
    hit = [address for address, reach in seen.reached.items() if reach not in KNOWING]
    if not hit:
        return None
    why = f"{' and '.join(f'{address} {seen.reached[address]}' for address in hit)}, though its instance runs"
    some = 0 if seen.named in KNOWING else len(hit)
    return _broken(seen, some, why, "reboot its instance in EC2's console")


def _by_name(seen: Seen) -> Diagnosis:
    why = "each replica answers by its address, and the name "
    why += str(seen.named) if seen.resolves else "does not resolve here"
    if not seen.resolves and seen.recorded == seen.states.keys():
        remedy = f"run `inv gateway.check --env {seen.env}` on a machine that uses the VPC's resolver"
        return Diagnosis(ExitCode.NOT_VERIFIED, f"{why}, though its record is right", remedy)
    return Diagnosis(ExitCode.GATEWAY_DEGRADED, why, f"run `inv dns.update --env {seen.env}`, or look at your resolver")


RULES: tuple[Callable[[Seen], Diagnosis | None], ...] = (
    *(_gone, _ended, _impaired, _no_replica, _misdirected, _no_run, _well, _unreachable),
    *(_unregistered, _failing, _partly, _by_name),
)
