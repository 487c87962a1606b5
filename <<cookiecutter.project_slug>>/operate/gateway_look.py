"""Looks at a gateway from all sides: dstack, EC2, Route 53, each address and the name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from console.errors import Failure
from deploy import instances, reaching
from deploy.api import Api
from deploy.dstack.answers import Run
from deploy.dstack.gateway import Gateway
from deploy.environments import Environment
from deploy.gateway_choice import gateway_in_use, gateways_of, has_certificate, used_by
from deploy.instances import State
from operate.health import Seen

ATTEMPTS = 2  # of a call to Route 53: a recovery looks again by itself


@dataclass(frozen=True)
class Look:
    """What dstack, EC2 and Route 53 say about a gateway.

    `name`: the gateway that the service uses, whether it exists or not. `gateways`: those that exist. `states`: of all
    their instances, by address. `recorded`: the addresses in the record; None without a dns section, and when Route 53
    did not say it. `refusals`: what AWS said instead, of EC2 only when the look was not strict.
    """

    environment: Environment
    name: str
    gateways: dict[str, Gateway]
    run: Run | None
    states: dict[str, State]
    recorded: frozenset[str] | None
    refusals: tuple[Failure, ...] = ()

    @property
    def gateway(self) -> Gateway | None:
        return self.gateways.get(self.name)

    @property
    def other(self) -> Gateway | None:
        """The environment's other gateway, which exists beside it or instead of it."""
        return next((gateway for name, gateway in self.gateways.items() if name != self.name), None)

    @property
    def wanted(self) -> int:
        """How many replicas the file asks for."""
        return int((self.environment.gateway or {}).get("replicas") or 1)


def look(api: Api, environment: Environment, *, strict: bool) -> Look:
    """Ask dstack, EC2 and Route 53. When EC2 gives no answer, fail if `strict`; otherwise its states are unknown."""
    run, existing = api.run(environment.run_name), gateways_of(api, environment)
    name = used_by(run, environment) or gateway_in_use(run, environment, existing) or environment.run_name
    states, recorded, refusals = dict[str, State](), None, list[Failure]()
    for called, gateway in existing.items():
        addresses = [str(replica["hostname"]) for replica in gateway.running]
        states |= dict.fromkeys(addresses, State.UNKNOWN)
        try:
            if gateway.configuration.get("backend") == "aws":
                region = str(gateway.configuration["region"])
                states |= instances.states(instances.look(called, api.project, region), addresses)
        except Failure as failure:
            if strict:
                raise
            refusals.append(failure)
    try:
        recorded = _recorded(environment)
    except Failure as failure:
        refusals.append(failure)
    return Look(environment.behind(name), name, existing, run, states, recorded, tuple(refusals))


def reached(found: Look) -> Seen:
    """Ask each address of the gateway, and the name, and return all that was seen."""
    environment, run, gateway = found.environment, found.run, found.gateway
    states = {str(one["hostname"]): found.states[str(one["hostname"])] for one in gateway.running} if gateway else {}
    host = (run.host if run else None) or environment.host
    url = f"{'https' if has_certificate(environment) else 'http'}://{host}/v1"
    asked = [host, *([] if gateway and gateway.hostname else states)]
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        named, *answers = pool.map(lambda address: reaching.ask(address, url, environment.token), asked)
    return Seen(
        env=environment.name,
        gateway=found.name,
        status=gateway.status if gateway else "",
        states=states,
        reached={one.address: one.verdict for one in answers},
        named=named.verdict,
        resolves=bool(reaching.resolve(host)),
        recorded=found.recorded,
        run=run.status if run else "",
        ready=sum(job.ready for job in run.replicas) if run else 0,
        asleep=bool(run and run.asleep),
        notes=tuple(map(str, found.refusals)),
    )


def _recorded(environment: Environment) -> frozenset[str] | None:
    if environment.dns is None:
        return None
    from deploy import route53  # boto3 takes longer to import than the rest takes to run

    read = route53.zone_of(environment, ATTEMPTS).read()
    return frozenset(value for one in read if one.type != "TXT" for value in one.values)
