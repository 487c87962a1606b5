"""What stands in front of the replicas: the gateway's replicas, asked by address, the DNS records, and the alarms."""

from console.errors import Failure
from deploy import cloudwatch, route53
from deploy.api import Api
from deploy.documents.files import Document
from deploy.dstack.client import Notify
from deploy.dstack.gateway import Gateway
from deploy.environments import Environment
from deploy.gateway_choice import look
from deploy.reaching import Reached, ask_gateway


def gateway_replicas(api: Api, environment: Environment, url: str) -> tuple[tuple[Reached, ...], str]:
    """Return what each replica of the gateway answers for the service at `url`, and the state of the records.

    Both are empty without a gateway. The records are empty too when the environment does not keep them.
    """
    if environment.gateway is None:
        return (), ""
    gateway, _ = look(api, environment)
    if gateway is None:
        return (), "no gateway"
    return tuple(ask_gateway(environment, gateway, url)), _records(environment, gateway)


def alarms_gone_off(environment: Environment, notify: Notify) -> tuple[Document, ...] | None:
    """Return the alarms of the gateway's instances that have gone off. None: not known, and `notify` says why."""
    if environment.alarms is None:
        return ()
    try:
        return tuple(cloudwatch.store_of(environment).shown(StateValue="ALARM"))
    except Failure as failure:
        notify(f"alarms of {environment.run_name} are not verified: {failure}")
        return None


def _records(environment: Environment, gateway: Gateway) -> str:
    """Return in one line whether the records lead to the gateway. A refusal of AWS is no absence."""
    if environment.dns is None:
        return ""
    try:
        planned = route53.plan(environment, gateway.targets)
    except Failure as failure:
        return f"not verified: {failure.problem}"
    if planned.wanted is None:
        return "not verified: the gateway has no address"
    if planned.changes:
        return f"{environment.host} does not lead to the gateway; run `inv dns.update --env {environment.name}`"
    return f"{environment.host} -> {' '.join(gateway.targets)}"
