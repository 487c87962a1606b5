"""What dstack's server refuses of documents that its models take.

Its own functions for that are in modules that take three seconds to import, with a database; tests/test_documents.py of
the template compares the two. Limits that a server's owner can change are read where dstack reads them.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from deploy.documents.models import parse
from deploy.documents.references import replica_addresses

if TYPE_CHECKING:
    from deploy.documents.files import Document

GATEWAY_CLOUDS, PRIVATE_GATEWAY_CLOUDS = ("aws", "azure", "gcp", "kubernetes"), ("aws", "gcp")
IMAGE_VENDORS = {"nvidia", "google"}  # whose accelerators dstack's default image is for


def first_problem(kind: str, document: Document) -> str | None:
    """Return what the server would refuse of a document that dstack's models take, with its key; None if nothing."""
    spec = parse(kind, document)
    if kind == "service":
        sizes = [group.replicas.min or 0 for group in spec.configuration.replica_groups]
        problems = (*(rule(spec) for rule in RULES), replica_addresses(document, sizes))
        return next((problem for problem in problems if problem), None)
    return _fleet(spec.configuration) if kind == "fleet" else _gateway(spec.configuration)


def _retry(spec: Any) -> str | None:
    duration = getattr(spec.merged_profile.retry, "duration", None)
    return "service.retry.duration: must not be negative" if duration is not None and duration < 0 else None


def _volumes(spec: Any) -> str | None:
    names: list[str] = []
    for volume in spec.configuration.volumes:
        name = getattr(volume, "name", [])
        names += [name] if isinstance(name, str) else name
    if twice := next((name for name in names if names.count(name) > 1), None):
        return f"service.volumes: {twice} is mounted twice, and dstack mounts a volume once; remove one"
    return None


def _probes(spec: Any) -> str | None:
    from dstack._internal.server import settings

    probes = spec.configuration.probes or []
    if len(probes) > settings.MAX_PROBES_PER_JOB:
        return f"service.probes: there are {len(probes)}, and dstack takes {settings.MAX_PROBES_PER_JOB}; remove some"
    for index, probe in enumerate(probes):
        if probe.timeout is not None and probe.timeout > settings.MAX_PROBE_TIMEOUT:
            longest = settings.MAX_PROBE_TIMEOUT
            return f"service.probes[{index}].timeout: is {probe.timeout} s, and dstack takes {longest} s at most"
    return None


def _utilization(spec: Any) -> str | None:
    from dstack._internal.server import settings

    policy, longest = spec.merged_profile.utilization_policy, settings.SERVER_METRICS_RUNNING_TTL_SECONDS
    if policy is not None and policy.time_window > longest:
        window = policy.time_window
        return f"service.utilization_policy.time_window: is {window} s, and dstack takes {longest} s at most"
    return None


def _schedule(spec: Any) -> str | None:
    groups = spec.configuration.replica_groups
    if spec.merged_profile.schedule and all(group.replicas.min == 0 for group in groups):
        return "service.schedule: dstack schedules no service that scales to zero; write 1 as the smallest replicas"
    return None


def _entrypoint(spec: Any) -> str | None:
    try:
        shlex.split(spec.configuration.entrypoint or "")
    except ValueError as error:
        return f"service.entrypoint: can't be split into words ({error}); close the quotation"
    return None


def _image(spec: Any) -> str | None:
    """dstack's default image is for NVIDIA's GPUs and x86; docker: true is for x86."""
    service = spec.configuration
    for index, group in enumerate(service.groups if service.groups is not None else [service]):
        where = f"service.groups[{index}]" if service.groups is not None else "service"
        image = group.image or service.image
        docker = service.docker if group.docker is None else group.docker
        arm = getattr(group.resources.cpu.arch, "value", None) == "arm"
        if arm and docker:
            return f"{where}.docker: dstack has Docker on x86 alone; remove it, or resources.cpu.arch"
        if image is None and (arm or (not docker and _vendors(group.resources.gpu) - IMAGE_VENDORS)):
            return f"{where}.image: is missing: dstack's default image is for NVIDIA's GPUs and x86 processors"
    return None


def _vendors(gpu: Any) -> set[str]:
    """Return the vendors of the GPUs that are asked for, by dstack's list of names; empty where it knows none."""
    from dstack._internal.utils.gpu import detect_gpu_vendors_by_gpu_name

    if gpu is None or gpu.count.max == 0:
        return set()
    if gpu.vendor is not None:
        return {gpu.vendor.value}
    return {vendor.value for name in gpu.name or [] for vendor in detect_gpu_vendors_by_gpu_name(name)}


RULES: list[Callable[[Any], str | None]] = [_retry, _volumes, _probes, _utilization, _schedule, _entrypoint, _image]


def _fleet(fleet: Any) -> str | None:
    if fleet.ssh_config is not None:
        return "fleet.ssh_config: a fleet with nodes is one of clouds' machines; remove it"
    if fleet.nodes.target:
        return "fleet.nodes.target: must be 0: RunPod and Vast.ai rent out nothing in advance; remove it"
    if fleet.env:
        return "fleet.env: means something for hosts of your own alone; remove it, or write it into the service's env"
    return None


def _gateway(gateway: Any) -> str | None:
    from dstack._internal.server import settings

    cloud, replicas = gateway.backend.value, gateway.replicas or 1
    certificate = gateway.certificate.type if gateway.certificate else None
    balanced = gateway.load_balancer is not None
    own = {"aws": "acm", "gcp": "gcp-cm"}  # the certificates of a cloud's own load balancer
    rules = {
        f"backend: dstack has no gateways on {cloud}; write one of {', '.join(GATEWAY_CLOUDS)}": (
            cloud not in GATEWAY_CLOUDS
        ),
        f"public_ip: dstack has no private gateways on {cloud}; write true": (
            not gateway.public_ip and cloud not in PRIVATE_GATEWAY_CLOUDS
        ),
        f"replicas: there are {replicas}, and dstack takes {settings.GATEWAY_MAX_REPLICAS} at most": (
            replicas > settings.GATEWAY_MAX_REPLICAS
        ),
        f"load_balancer: dstack has none on {cloud}; remove it": balanced and cloud not in own,
        f"certificate: behind a load balancer write null or type: {own.get(cloud)}": (
            balanced and cloud in own and certificate not in (None, own[cloud])
        ),
        "certificate: lets-encrypt needs a public address; write null, or public_ip: true": (
            certificate == "lets-encrypt" and not gateway.public_ip
        ),
        "certificate: acm is for backend aws alone": certificate == "acm" and cloud != "aws",
        "certificate: gcp-cm is for backend gcp, with load_balancer: {type: alb}": (
            certificate == "gcp-cm" and (cloud != "gcp" or not balanced)
        ),
        "certificate: lets-encrypt takes one replica; write null, or replicas: 1": (
            certificate == "lets-encrypt" and replicas > 1
        ),
    }
    return next((f"gateway.{problem}" for problem, broken in rules.items() if broken), None)
