"""Rules for the merged documents that need no import of dstack.

`first_problem` holds for every task. `first_undeployable` holds only before a deploy, so that `inv destroy` can still
end what an earlier version of a file deployed. schema.py has the rules of dstack's own models.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from capacity.errors import SizingError
from capacity.served import served_model
from deploy.documents.problems import Problem

if TYPE_CHECKING:
    from deploy.documents.files import Document
    from deploy.settings import Alarms, Dns

TOPIC = re.compile(r"arn:aws[a-z-]*:sns:(?P<region>[a-z0-9-]+):\d{12}:[\w-]{1,256}(\.fifo)?")
RANGE = re.compile(r"([0-9]{0,9})(?:\.\.([0-9]{1,9}))?")


def first_problem(
    service: Document, fleet: Document, gateway: Document | None, dns: Dns | None, alarms: Alarms | None = None
) -> Problem | None:
    """Return what dstack would refuse too late, or accept to the service's harm; None if nothing is wrong."""
    documents = {"service": service, "fleet": fleet} | ({} if gateway is None else {"gateway": gateway})
    for kind, document in documents.items():
        if document.get("type") != kind:
            return Problem(f"{kind}.type", f"must be {kind}, is {document.get('type')!r}")
    for key, form in {"env": dict, "backends": list}.items():
        if not isinstance(service.get(key, form()), form):
            return Problem(f"service.{key}", f"must be a {'mapping' if form is dict else 'list'}, is {service[key]!r}")
    try:
        kept, room = bounds(fleet.get("nodes"))
        problem = None if _has_groups(service) else _replicas(service, room, fleet["nodes"])
    except ValueError as error:
        return Problem("service.replicas or fleet.nodes", str(error))
    if kept != 0:
        why = f"must begin with 0, is {fleet['nodes']}: GPU clouds rent out no machines in advance"
        return Problem("fleet.nodes", why, f"write 0..{room}")
    return problem or _without_gateway(service) or _with_gateway(service, gateway, dns) or _alarms(gateway, alarms)


def first_undeployable(service: Document, fleet: Document, gateway: Document | None) -> Problem | None:
    """Return why machines would be rented in vain; None if nothing is wrong.

    The documents must have the form that dstack's models take.
    """
    if problem := _model(service):
        return problem
    if gateway is not None and "https" not in service and gateway.get("certificate") is None:
        why = "null means true, and the gateway has no certificate"
        return Problem("service.https", why, "remove the line or write auto")
    try:
        return _groups(service, fleet) if _has_groups(service) else None
    except ValueError as error:  # a form that dstack takes, such as true
        return Problem("service.groups", str(error))


def replica_bounds(service: Document) -> tuple[int, int]:
    """Return the smallest and the largest number of replicas, summed over all groups. Raises ValueError.

    A service without `replicas` and `groups` has one replica.
    """
    if not _has_groups(service):
        return bounds(_count(service))
    each = [bounds(_count(group)) for group in groups(service)]
    return sum(fewest for fewest, _ in each), sum(most for _, most in each)


def groups(service: Document) -> list[Document]:
    """Return the groups of replicas, [] for a service without groups. Raises ValueError.

    Before dstack 0.20, groups were written as the list `replicas`.
    """
    found = service.get("groups") if service.get("groups") is not None else service.get("replicas")
    if not _has_groups(service):
        return []
    if not isinstance(found, list) or not all(isinstance(group, dict) for group in found):
        raise ValueError(f"{found!r} is not a list of groups such as {{name: small, replicas: 2}}")
    return found


def bounds(value: Any) -> tuple[int, int]:
    """Return the smallest and the largest number of a dstack range: `2`, `"1..4"` or `{min: 1, max: 4}`.

    Raises ValueError.
    """
    text = value
    if isinstance(value, dict):
        text = f"{value.get('min') or 0}..{value.get('max', '')}"
    found = RANGE.fullmatch(str(text).replace(" ", ""))
    if isinstance(value, bool) or not found or not (found[1] or found[2]):
        raise ValueError(f"{value!r} is not a number or a range such as 1..4")
    fewest = int(found[1] or 0)
    most = int(found[2] or found[1])
    if most < fewest:
        raise ValueError(f"{value!r} is not a number or a range such as 1..4")
    return fewest, most


def _model(service: Document) -> Problem | None:
    """Return that a chat model's name is missing. dstack uses the key `model` only for chats."""
    if service.get("model"):
        return None
    try:
        kind = served_model().kind
    except SizingError as error:
        return Problem("capacity/model.json", str(error))
    if kind != "chat":
        return None
    why = "is missing, and the test after the deploy asks the endpoint for it"
    return Problem("service.model", why, "write the name of the model")


def _has_groups(service: Document) -> bool:
    return service.get("groups") is not None or isinstance(service.get("replicas"), list)


def _count(part: Document) -> Any:
    """Return the number of replicas that a service or a group has. `count` is a group's older name for it."""
    count = part["replicas"] if "replicas" in part else part.get("count")
    return 1 if count is None else count


def _too_small(nodes: Any, room: int, replicas: str, most: int) -> Problem | None:
    """Return a problem when the fleet has no room for a rolling update."""
    if room >= most + 1:
        return None
    why = f"{nodes} is too small for {replicas}: a rolling update needs one more, and a full fleet fails the service"
    return Problem("fleet.nodes", why, f"write 0..{most + 1}")


def _replicas(service: Document, room: int, nodes: Any) -> Problem | None:
    """Return what is wrong with the number of replicas of a service without groups."""
    fewest, most = replica_bounds(service)
    if problem := _too_small(nodes, room, f"service.replicas {_count(service)}", most):
        return problem
    if fewest != most and "scaling" not in service:
        why = "is missing: a range of replicas needs it"
        return Problem("service.scaling", why, "write e.g. {metric: rps, target: 5}")
    if fewest != most and not service.get("gateway"):
        why = f"{service['replicas']}: replicas scale behind a gateway only"
        return Problem("service.replicas", why, "write one number")
    return None


def _groups(service: Document, fleet: Document) -> Problem | None:
    """Return what is wrong with the number of replicas of a service with groups. Raises ValueError."""
    scaled = next((group for group in groups(service) if len(set(bounds(_count(group)))) == 2), None)
    if scaled and not service.get("gateway"):
        why = f"{_count(scaled)}: replicas scale behind a gateway only"
        return Problem("service.groups", why, "write one number")
    most, room = replica_bounds(service)[1], bounds(fleet["nodes"])[1]
    return _too_small(fleet["nodes"], room, f"the {most} replicas of service.groups", most)


def _without_gateway(service: Document) -> Problem | None:
    """Return which key of a service needs a gateway that it does not have."""
    if service.get("gateway"):
        return None
    if service.get("rate_limits"):
        why = "dstack limits rates behind a gateway only"
        return Problem("service.rate_limits", why, "remove it or name a gateway")
    if service.get("https", "auto") != "auto":
        return Problem("service.https", "has an effect behind a gateway only", "remove it or write auto")
    return None


def _with_gateway(service: Document, gateway: Document | None, dns: Dns | None) -> Problem | None:
    """Return what is wrong with the gateway, or with the service behind it."""
    if gateway is None:
        why = "without a gateway there is no address for a record"
        return Problem("dns", why, "add `gateway: {}`") if dns else None
    return _https(service, gateway) or _gateway(gateway, dns)


def _https(service: Document, gateway: Document) -> Problem | None:
    """Return a problem when `https` does not fit the gateway's certificate."""
    https, certificate = service.get("https", "auto"), gateway.get("certificate")
    if https is True and certificate is None:
        return Problem("service.https", "true needs a gateway with a certificate", "write auto")
    if https is False and isinstance(certificate, dict) and certificate.get("type") == "acm":
        why = "false is impossible: a load balancer with a certificate answers https only"
        return Problem("service.https", why, "write auto")
    return None


def _gateway(gateway: Document, dns: Dns | None) -> Problem | None:
    """Return what is wrong with the gateway itself, or with its place in DNS."""
    if not re.fullmatch(r"(?=.{1,100}$)[a-z0-9-]+(\.[a-z0-9-]+)+", str(gateway.get("domain"))):
        why = f"must be the name of the hosted zone, is {gateway.get('domain')!r}"
        return Problem("gateway.domain", why, "write e.g. ai.internal")
    if absent := next((key for key in ("backend", "region", "certificate") if key not in gateway), None):
        why = "null removes the line of dstack/gateway.dstack.yml, and dstack needs it"
        return Problem(f"gateway.{absent}", why, "remove the null, or write the value")
    if gateway.get("default") is not False:
        why = "must be false, or services that name no gateway would use this one"
        return Problem("gateway.default", why, "write false")
    if gateway.get("public_ip") is False and dns and dns.vpc_id is None:
        why = "is missing: the record of a private gateway belongs into the private zone of its VPC"
        return Problem("dns.vpc_id", why, "write the VPC's id")
    return None


def _alarms(gateway: Document | None, alarms: Alarms | None) -> Problem | None:
    """Return why there can't be alarms: they watch the gateway's instances, in CloudWatch."""
    if alarms is None:
        return None
    if gateway is None:
        return Problem("alarms", "without a gateway there is no instance to watch", "remove it, or add `gateway: {}`")
    if gateway["backend"] != "aws":
        return Problem("alarms", f"are for gateways on aws, and this one is on {gateway['backend']}", "remove it")
    topic = alarms.topic and TOPIC.fullmatch(alarms.topic)
    if alarms.topic is not None and not topic:
        why = f"is {alarms.topic!r}, which is not the ARN of an SNS topic"
        return Problem("alarms.topic", why, "write e.g. arn:aws:sns:us-east-1:123456789012:pages")
    if topic and topic["region"] != gateway["region"]:
        why = f"is in {topic['region']}, and alarms in {gateway['region']} reach only a topic there"
        return Problem("alarms.topic", why, f"write a topic in {gateway['region']}")
    return None
