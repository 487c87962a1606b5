"""Rules that dstack's server has beyond its models.

Its own functions for these rules are in modules that take three seconds to import and need a database. A test of the
template compares the two. Limits that a server's owner can change are read where dstack reads them.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from deploy.documents.models import parse
from deploy.documents.problems import Problem
from deploy.documents.references import replica_addresses

if TYPE_CHECKING:
    from deploy.documents.files import Document

GATEWAY_CLOUDS, PRIVATE_GATEWAY_CLOUDS = ("aws", "azure", "gcp", "kubernetes"), ("aws", "gcp")
IMAGE_VENDORS = {"nvidia", "google"}  # the vendors whose accelerators dstack's default image supports
LOAD_BALANCER_CERTIFICATES = {"aws": "acm", "gcp": "gcp-cm"}  # by cloud


def first_problem(kind: str, document: Document) -> Problem | None:
    """Return what the server refuses of a document that dstack's models take; None if nothing is wrong."""
    spec = parse(kind, document)
    if kind == "service":
        sizes = [group.replicas.min or 0 for group in spec.configuration.replica_groups]
        problems = (*(rule(spec) for rule in SERVICE_RULES), replica_addresses(document, sizes))
        return next((problem for problem in problems if problem), None)
    return _fleet(spec.configuration) if kind == "fleet" else _gateway(spec.configuration)


def _retry(spec: Any) -> Problem | None:
    duration = getattr(spec.merged_profile.retry, "duration", None)
    if duration is not None and duration < 0:
        return Problem("service.retry.duration", "must not be negative", "write e.g. 3650d")
    return None


def _volumes(spec: Any) -> Problem | None:
    names: list[str] = []
    for volume in spec.configuration.volumes:
        name = getattr(volume, "name", [])
        names += [name] if isinstance(name, str) else name
    if twice := next((name for name in names if names.count(name) > 1), None):
        return Problem("service.volumes", f"{twice} is mounted twice, and dstack mounts a volume once", "remove one")
    return None


def _probes(spec: Any) -> Problem | None:
    from dstack._internal.server import settings

    probes, most = spec.configuration.probes or [], settings.MAX_PROBES_PER_JOB
    if len(probes) > most:
        return Problem("service.probes", f"has {len(probes)} probes, and dstack takes at most {most}", "remove some")
    longest = settings.MAX_PROBE_TIMEOUT
    for index, probe in enumerate(probes):
        if probe.timeout is not None and probe.timeout > longest:
            why = f"is {probe.timeout} s, and dstack takes at most {longest} s"
            return Problem(f"service.probes[{index}].timeout", why, f"write {longest}s or less")
    return None


def _utilization(spec: Any) -> Problem | None:
    from dstack._internal.server import settings

    policy, longest = spec.merged_profile.utilization_policy, settings.SERVER_METRICS_RUNNING_TTL_SECONDS
    if policy is not None and policy.time_window > longest:
        why = f"is {policy.time_window} s, and dstack takes at most {longest} s"
        return Problem("service.utilization_policy.time_window", why, f"write {longest}s or less")
    return None


def _schedule(spec: Any) -> Problem | None:
    groups = spec.configuration.replica_groups
    if spec.merged_profile.schedule and all(group.replicas.min == 0 for group in groups):
        why = "dstack does not schedule a service that scales to zero"
        return Problem("service.schedule", why, "write replicas whose smallest number is 1")
    return None


def _entrypoint(spec: Any) -> Problem | None:
    try:
        shlex.split(spec.configuration.entrypoint or "")
    except ValueError as error:
        return Problem("service.entrypoint", f"can't be split into words ({error})", "close the quotation")
    return None


def _image(spec: Any) -> Problem | None:
    """dstack's default image is for NVIDIA's GPUs and x86. `docker: true` is for x86."""
    service = spec.configuration
    for index, group in enumerate(service.groups if service.groups is not None else [service]):
        where = f"service.groups[{index}]" if service.groups is not None else "service"
        image = group.image or service.image
        docker = service.docker if group.docker is None else group.docker
        arm = getattr(group.resources.cpu.arch, "value", None) == "arm"
        if arm and docker:
            return Problem(f"{where}.docker", "dstack has Docker on x86 only", "remove it, or resources.cpu.arch")
        if image is None and (arm or (not docker and _vendors(group.resources.gpu) - IMAGE_VENDORS)):
            why = "is missing: dstack's default image is for NVIDIA's GPUs and x86 processors"
            return Problem(f"{where}.image", why, "write the image of your GPUs or processors")
    return None


def _vendors(gpu: Any) -> set[str]:
    """Return the vendors of the GPUs that are asked for, by dstack's list of names. Empty for unknown names."""
    from dstack._internal.utils.gpu import detect_gpu_vendors_by_gpu_name

    if gpu is None or gpu.count.max == 0:
        return set()
    if gpu.vendor is not None:
        return {gpu.vendor.value}
    return {vendor.value for name in gpu.name or [] for vendor in detect_gpu_vendors_by_gpu_name(name)}


SERVICE_RULES: list[Callable[[Any], Problem | None]] = [
    _retry,
    _volumes,
    _probes,
    _utilization,
    _schedule,
    _entrypoint,
    _image,
]


def _fleet(fleet: Any) -> Problem | None:
    if fleet.ssh_config is not None:
        why = "is for machines of your own, and a fleet with nodes rents them"
        return Problem("fleet.ssh_config", why, "remove it")
    if fleet.nodes.target:
        return Problem("fleet.nodes.target", "must be 0: GPU clouds rent out no machines in advance", "remove it")
    if fleet.env:
        why = "has an effect on machines of your own only"
        return Problem("fleet.env", why, "remove it, or write it into the service's env")
    return None


def _gateway(gateway: Any) -> Problem | None:
    rules = (_gateway_cloud, _gateway_replicas, _gateway_certificate)
    return next((problem for rule in rules if (problem := rule(gateway))), None)


def _gateway_cloud(gateway: Any) -> Problem | None:
    cloud = gateway.backend.value
    if cloud not in GATEWAY_CLOUDS:
        remedy = f"write one of {', '.join(GATEWAY_CLOUDS)}"
        return Problem("gateway.backend", f"dstack has no gateways on {cloud}", remedy)
    if not gateway.public_ip and cloud not in PRIVATE_GATEWAY_CLOUDS:
        return Problem("gateway.public_ip", f"dstack has no private gateways on {cloud}", "write true")
    if gateway.load_balancer is not None and cloud not in LOAD_BALANCER_CERTIFICATES:
        return Problem("gateway.load_balancer", f"dstack has no load balancers on {cloud}", "remove it")
    return None


def _gateway_replicas(gateway: Any) -> Problem | None:
    from dstack._internal.server import settings

    replicas, most = gateway.replicas or 1, settings.GATEWAY_MAX_REPLICAS
    if replicas > most:
        return Problem("gateway.replicas", f"is {replicas}, and dstack takes at most {most}", f"write {most} or less")
    return None


def _gateway_certificate(gateway: Any) -> Problem | None:
    cloud, certificate = gateway.backend.value, gateway.certificate.type if gateway.certificate else None
    balanced, own = gateway.load_balancer is not None, LOAD_BALANCER_CERTIFICATES.get(gateway.backend.value)
    why, remedy = "", ""
    if balanced and certificate not in (None, own):
        why, remedy = f"a load balancer on {cloud} does not take {certificate}", f"write null or type: {own}"
    elif certificate == "lets-encrypt" and not gateway.public_ip:
        why, remedy = "lets-encrypt needs a public address", "write null, or public_ip: true"
    elif certificate == "acm" and cloud != "aws":
        why, remedy = f"acm is for backend aws, and the backend is {cloud}", "write null"
    elif certificate == "gcp-cm" and (cloud != "gcp" or not balanced):
        why, remedy = "gcp-cm is for backend gcp, with load_balancer: {type: alb}", "write null"
    elif certificate == "lets-encrypt" and (gateway.replicas or 1) > 1:
        why, remedy = "lets-encrypt works with one replica", "write null, or replicas: 1"
    return Problem("gateway.certificate", why, remedy) if why else None
