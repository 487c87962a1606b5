"""Carries out a recovery of a gateway, step by step. recovery.py decides each step."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

from console.errors import ExitCode, Failure
from deploy import gateways, observing, reaching
from deploy.api import PATIENCE_SECONDS, Api
from deploy.changes import Change
from deploy.dstack.client import Notify
from deploy.dstack.polling import poll
from deploy.environments import Environment
from deploy.gateway_choice import needs_record_first, used_by
from deploy.instances import State
from deploy.records import TTL_SECONDS
from operate.gateway_look import Look, look
from operate.recovery import Do, Scene, Step, next_step, recovered_lately

WAIT_SECONDS = 3.0  # more than poll waits between two looks: each one asks EC2 and Route 53


def refuse_by_itself(environment: Environment, *, person: bool) -> None:
    """Fail when nobody is at a terminal, and the environment's file does not allow automatic recovery."""
    if not person and environment.recovery != "automatic":
        why = f"{environment.file} does not say `recovery: automatic`, and there is no terminal"
        raise Failure(ExitCode.DECLINED, why, "run it on a terminal, or write that line")


def first_step(api: Api, environment: Environment) -> Step | None:
    """Return what a recovery would do first; None when there is nothing to do. Fails for gateways outside AWS."""
    backend = (environment.gateway or {}).get("backend")
    if backend != "aws":
        why = f"{environment.file} has {f'a gateway on {backend}' if backend else 'no gateway'}"
        raise Failure(ExitCode.SETTINGS_INVALID, why, "only gateways on AWS can be recovered: EC2 says what ended")
    found = look(api, environment, strict=True)
    return _step(found) or _of_alarms(found)


def recover(api: Api, environment: Environment, notify: Notify, *, person: bool) -> None:
    """Take the steps until none is left. Fails with GATEWAY_FAILED after twice timeouts.gateway.

    While Route 53 refuses, the steps that do not need the record are taken. When only the record is left, Route 53 gets
    PATIENCE_SECONDS more. Then its refusal ends the recovery.
    """
    blocked = None  # since when only the record is left
    for _ in poll(2 * environment.timeouts.gateway):
        found, step, refusal = _with_record(look(api, environment, strict=True), notify)
        if refusal and (step is None or step.needs_record):
            blocked = blocked or time.monotonic()
            if time.monotonic() - blocked > PATIENCE_SECONDS:
                raise refusal
            continue
        blocked = None
        if step is None:
            return _finish(api, found, notify)
        if step.do == Do.STOP:
            raise Failure(ExitCode.GATEWAY_DEAD, step.why, f"run `inv deploy --env {environment.name}`")
        if step.begins and not person:
            refuse_often(api, environment)
        notify(str(step))
        try:
            _take(api, environment, found, step, notify)
        except Failure as failure:
            if failure.code != ExitCode.PLAN_OUTDATED:
                raise
            notify(f"looking again: {failure.problem}")
    why = f"gateway {environment.run_name} was not recovered within {2 * environment.timeouts.gateway} s"
    raise Failure(ExitCode.GATEWAY_FAILED, why, "run it again, and it continues; `inv gateway.status` has the reason")


def refuse_often(api: Api, environment: Environment) -> None:
    """Fail with GATEWAY_DEAD when this gateway was recovered within the last hour: then it needs a person."""
    if recovered_lately(observing.gateway_events(api), environment.gateway_names, datetime.now(UTC)):
        why = f"gateway {environment.run_name} was recovered within the last hour already, so it needs a person"
        remedy = f"find out why, then run `inv gateway.recover --env {environment.name}` on a terminal"
        raise Failure(ExitCode.GATEWAY_DEAD, why, remedy)


def _step(found: Look) -> Step | None:
    """Return the next step. A run that is over, or that is behind another gateway, has nothing to recover."""
    if found.run is None or used_by(found.run, found.environment) is None:
        return None
    scene = Scene(
        gateway=found.gateway,
        states=found.states,
        recorded=found.recorded,
        wanted=found.wanted,
        other=found.other,
        unread=bool(found.refusals),
        record_first=needs_record_first(found.environment),
    )
    return next_step(scene)


def _with_record(found: Look, notify: Notify) -> tuple[Look, Step | None, Failure | None]:
    """Bring the record to what the next step says, and return the step after it, and what Route 53 refused."""
    refusal, step = next(iter(found.refusals), None), _step(found)
    if step and step.do == Do.PUBLISH:
        notify(str(step))
        try:
            _publish(found, step.targets, notify)
            recorded = frozenset(step.targets)
        except Failure as failure:
            if failure.code not in (ExitCode.DNS_REFUSED, ExitCode.PLAN_OUTDATED):
                raise
            refusal, recorded = failure, None
        found = replace(found, recorded=recorded, refusals=(refusal,) if refusal else ())
        step = _step(found)
    if refusal:
        notify(f"the record is not up to date, and the recovery goes on: {refusal.problem}")
    return found, step, refusal


def _of_alarms(found: Look) -> Step | None:
    """Return the step that brings the alarms to the gateway's instances, unless they are right."""
    if found.environment.alarms is None or found.gateway is None or not found.gateway.ready:
        return None
    from deploy import cloudwatch  # boto3 takes longer to import than the rest takes to run

    unchanged = cloudwatch.plan(found.environment, found.gateway).part.change == Change.UNCHANGED
    return None if unchanged else Step(Do.ALARMS, "the gateway has other instances now")


def _take(api: Api, environment: Environment, found: Look, step: Step, notify: Notify) -> None:
    gateway, other = found.gateway, found.other
    if step.drops:
        time.sleep(TTL_SECONDS)  # callers may use the addresses of replicas that go for so long
    match step.do:
        case Do.WAIT:
            time.sleep(WAIT_SECONDS)
        case Do.ADD | Do.REMOVE if gateway:
            # dstack's own configuration, so that nothing else of the file is deployed along
            planned = api.plan("gateway", gateway.configuration | {"replicas": step.replicas})
            api.apply("gateway", planned)
        case Do.CREATE:
            gateways.create_instead(api, environment, found.name, notify)
        case Do.REGISTER if other:
            gateways.register(api, environment.behind(other.name), other, notify)
        case Do.DELETE if other:
            api.delete("gateway", other.name, notify)


def _publish(found: Look, targets: tuple[str, ...], notify: Notify) -> None:
    """Point the record at `targets`: at once if it names nothing that serves, else when new ones know the service."""
    from deploy import route53  # boto3 takes longer to import than the rest takes to run

    recorded = found.recorded or frozenset()
    new = [address for address in targets if address not in recorded]
    serving = {address for address, state in found.states.items() if state == State.RUNNING}
    if new and recorded & serving and found.run:
        reaching.wait_for_answers(found.environment, new, found.run, notify)
    route53.apply(route53.plan(found.environment, targets), targets, notify)


def _finish(api: Api, found: Look, notify: Notify) -> None:
    """Let the alarms follow, and wait until the name leads to the new addresses, if it resolves here."""
    environment, targets = found.environment, set(found.gateway.targets if found.gateway else ())
    if _of_alarms(found):
        from deploy import cloudwatch

        cloudwatch.publish(api, environment, notify)
    if environment.dns is None:
        return notify(f"{environment.file} has no dns: point {environment.host} at {' '.join(sorted(targets))}")
    for _ in poll(0 if found.gateway and found.gateway.hostname else TTL_SECONDS):
        if reaching.resolve(environment.host) <= targets:
            return
