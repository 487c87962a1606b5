"""Rules over the merged documents that take no import of dstack; deploy/schema.py has those of dstack's own models.

`first_problem` holds for every task. `undeployable` holds before a deploy alone, so that `inv destroy` still ends what
an earlier version of a file deployed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from capacity.errors import SizingError
from capacity.served import served_model

if TYPE_CHECKING:
    from deploy.documents.files import Document
    from deploy.environments import Dns

RANGE = re.compile(r"([0-9]{0,9})(?:\.\.([0-9]{1,9}))?")


def first_problem(service: Document, fleet: Document, gateway: Document | None, dns: Dns | None) -> str | None:
    """Return what dstack would refuse late, or accept with damage, with its key; None if all is well."""
    documents = {"service": service, "fleet": fleet} | ({} if gateway is None else {"gateway": gateway})
    for kind, document in documents.items():
        if document.get("type") != kind:
            return f"{kind}.type: must be {kind}, is {document.get('type')!r}"
    for key, form in {"env": dict, "backends": list}.items():
        if not isinstance(service.get(key, form()), form):
            return f"service.{key}: must be a {'mapping' if form is dict else 'list'}, is {service[key]!r}"
    try:
        kept, room = bounds(fleet.get("nodes"))
        problem = None if _grouped(service) else _replicas(service, room, fleet["nodes"])
    except ValueError as error:
        return f"service.replicas or fleet.nodes: {error}"
    if kept != 0:
        return f"fleet.nodes: must begin with 0 (is {fleet['nodes']}): RunPod and Vast.ai rent out nothing in advance"
    return problem or _alone(service) or _behind(service, gateway, dns)


def undeployable(service: Document, fleet: Document, gateway: Document | None) -> str | None:
    """Return what a deploy would rent machines for in vain, with its key; None if all is well.

    The documents have to be such as dstack's models take.
    """
    if problem := _model(service):
        return problem
    if gateway is not None and "https" not in service and gateway.get("certificate") is None:
        return "service.https: null means true, and the gateway has no certificate; remove the line or write auto"
    try:
        return _groups(service, fleet) if _grouped(service) else None
    except ValueError as error:  # a form that dstack takes, such as true
        return f"service.groups: {error}"


def replica_bounds(service: Document) -> tuple[int, int]:
    """Return the smallest and the largest number of replicas, over all groups. Raises ValueError.

    A service without `replicas` and `groups` has one.
    """
    if not _grouped(service):
        return bounds(_count(service))
    each = [bounds(_count(group)) for group in groups(service)]
    return sum(fewest for fewest, _ in each), sum(most for _, most in each)


def groups(service: Document) -> list[Document]:
    """Return the groups of replicas, also as they were written before dstack 0.20; none without. Raises ValueError."""
    found = service.get("groups") if service.get("groups") is not None else service.get("replicas")
    if not _grouped(service):
        return []
    if not isinstance(found, list) or not all(isinstance(group, dict) for group in found):
        raise ValueError(f"{found!r} is not a list of groups such as {{name: small, replicas: 2}}")
    return found


def bounds(value: Any) -> tuple[int, int]:
    """Return smallest and largest of a dstack range: `2`, `"1..4"` or `{min: 1, max: 4}`. Raises ValueError."""
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


def _model(service: Document) -> str | None:
    """Return that a chat model's name is missing. dstack has the key `model` for chats alone."""
    if service.get("model"):
        return None
    try:
        kind = served_model().kind
    except SizingError as error:
        return str(error)
    if kind != "chat":
        return None
    return "service.model: is missing: a deploy asks the endpoint for it; write the name of the model"


def _grouped(service: Document) -> bool:
    return service.get("groups") is not None or isinstance(service.get("replicas"), list)


def _count(part: Document) -> Any:
    """Return how many replicas a service or a group says it has; `count` is a group's older name for it."""
    count = part["replicas"] if "replicas" in part else part.get("count")
    return 1 if count is None else count


def _too_small(nodes: Any, room: int, replicas: str, most: int) -> str | None:
    """Return that a rolling update has no room in the fleet; None if it has."""
    if room >= most + 1:
        return None
    return (
        f"fleet.nodes: {nodes} is too small for {replicas}: a rolling update needs one more, and a full fleet fails the"
        f" whole service; write 0..{most + 1}"
    )


def _replicas(service: Document, room: int, nodes: Any) -> str | None:
    """Return what is wrong with the number of replicas of a service without groups."""
    fewest, most = replica_bounds(service)
    if problem := _too_small(nodes, room, f"service.replicas {_count(service)}", most):
        return problem
    if fewest != most and "scaling" not in service:
        return "service.scaling: a range of replicas needs it, e.g. {metric: rps, target: 5}"
    if fewest != most and not service.get("gateway"):
        return f"service.replicas: {service['replicas']}: replicas scale behind a gateway only; write one number"
    return None


def _groups(service: Document, fleet: Document) -> str | None:
    """Return what is wrong with the number of replicas of a service of groups. Raises ValueError."""
    scaled = next((group for group in groups(service) if len(set(bounds(_count(group)))) == 2), None)
    if scaled and not service.get("gateway"):
        return f"service.groups: {_count(scaled)}: replicas scale behind a gateway only; write one number"
    most, room = replica_bounds(service)[1], bounds(fleet["nodes"])[1]
    return _too_small(fleet["nodes"], room, f"the {most} replicas of service.groups", most)


def _alone(service: Document) -> str | None:
    """Return what a service without a gateway can't have."""
    if service.get("gateway"):
        return None
    if service.get("rate_limits"):
        return "service.rate_limits: dstack limits rates behind a gateway only; remove it or name a gateway"
    if service.get("https", "auto") != "auto":
        return "service.https: means something behind a gateway only; remove it or write auto"
    return None


def _behind(service: Document, gateway: Document | None, dns: Dns | None) -> str | None:
    """Return what is wrong with the gateway, or with the service behind it."""
    if gateway is None:
        return "dns: there is nothing to point a record at; add `gateway: {}`" if dns else None
    https, certificate = service.get("https", "auto"), gateway.get("certificate")
    if https is True and certificate is None:
        return "service.https: true takes a gateway with a certificate; write auto"
    if https is False and isinstance(certificate, dict) and certificate.get("type") == "acm":
        return "service.https: behind a load balancer with a certificate all is https; write auto"
    if not re.fullmatch(r"(?=.{1,100}$)[a-z0-9-]+(\.[a-z0-9-]+)+", str(gateway.get("domain"))):
        return f"gateway.domain: must be the hosted zone, is {gateway.get('domain')!r}"
    if absent := next((key for key in ("backend", "region", "certificate") if key not in gateway), None):
        return f"gateway.{absent}: null takes away the line of dstack/gateway.dstack.yml; remove it or write it there"
    if gateway.get("default") is not False:
        return "gateway.default: must be false, or services that name no gateway would use this one"
    if gateway.get("public_ip") is False and dns and dns.vpc_id is None:
        return "dns.vpc_id: a private gateway's record belongs into the private zone of its VPC; write the VPC's id"
    return None
