"""What dstack would refuse at the last moment, or accept to everybody's regret: refused before it is asked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploy.environments import Dns, Document


def first_problem(service: Document, fleet: Document, gateway: Document | None, dns: Dns | None) -> str | None:
    """What dstack would refuse at the last moment, or accept to everybody's regret; None when all is well.

    Keys and values that dstack does not take at all are left to the server, which says so when it is asked for a plan.
    """
    documents = {"service": service, "fleet": fleet} | ({} if gateway is None else {"gateway": gateway})
    for kind, document in documents.items():
        if document.get("type") != kind:
            return f"{kind}.type: must be {kind}, is {document.get('type')!r}"
    for key, form in {"env": dict, "backends": list}.items():
        if not isinstance(service.get(key, form()), form):
            return f"service.{key}: must be a {'mapping' if form is dict else 'list'}, is {service[key]!r}"
    try:
        (fewest, most), (kept, room) = bounds(service.get("replicas", 1)), bounds(fleet.get("nodes"))
    except ValueError as error:
        return f"service.replicas or fleet.nodes: {error}"
    if kept != 0:
        return f"fleet.nodes: must begin with 0 (is {fleet['nodes']}): RunPod and Vast.ai rent out nothing in advance"
    if room < most + 1:
        return (
            f"fleet.nodes: {fleet['nodes']} is too small for service.replicas {service.get('replicas', 1)}: a rolling"
            f" update needs one more, and a full fleet fails the whole service; write 0..{most + 1}"
        )
    if fewest != most and "scaling" not in service:
        return "service.scaling: a range of replicas needs it, e.g. {metric: rps, target: 5}"
    if not service.get("gateway"):
        if fewest != most:
            return f"service.replicas: {service['replicas']}: replicas scale behind a gateway only; write one number"
        if service.get("rate_limits"):
            return "service.rate_limits: dstack limits rates behind a gateway only; remove it or name a gateway"
        if service.get("https", "auto") != "auto":
            return "service.https: means something behind a gateway only; remove it or write auto"
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


def bounds(value: Any) -> tuple[int, int]:
    """Smallest and largest of a dstack range: `2`, `"1..4"` or `{min: 1, max: 4}`. Raises ValueError."""
    if isinstance(value, dict):
        value = f"{value.get('min', 0)}..{value.get('max', '')}"
    found = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", str(value))
    if isinstance(value, bool) or not found or int(found[2] or found[1]) < int(found[1]):
        raise ValueError(f"{value!r} is not a number or a range such as 1..4")
    return int(found[1]), int(found[2] or found[1])
