"""Combines the limits of service and fleet: dstack rents for a replica only what both of them allow.

dstack's own functions combine the two. Its server uses the same ones for a fleet that exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from console.errors import ExitCode, Failure
from deploy.documents.models import parse
from deploy.documents.problems import Problem

if TYPE_CHECKING:
    from deploy.documents.files import Document

PROFILE = ("backends", "regions", "availability_zones", "instance_types", "reservation", "backend_options")
NARROWING = ("regions", "availability_zones", "instance_types", "reservation", "max_price")
DEFAULT_SPOT = "on-demand"  # dstack's default


def conflict(service: Document, fleet: Document) -> Problem | None:
    """Return the first field in which service and fleet have nothing in common, with both values; None without one."""
    run, rented = parse("service", service), parse("fleet", fleet)
    for field in PROFILE:
        if _is_empty(_profile(rented, run, field), field):
            return _disagree(("service", service), fleet, field)
    for where, document, group in _groups(run, service):
        wanted, allowed = _requirements(run, group), _fleet_requirements(rented)
        if key := _requirement(allowed, wanted):
            own = document if document.get(key) is not None else service
            return _disagree((where, own), fleet, key)
        if part := _resource(allowed.resources, wanted.resources):
            return _disagree((where, document), fleet, "resources", part)
    return None


def offered(service: Document, fleet: Document) -> Document:
    """Return the service with the fleet's limits in it.

    dstack lists the same offers for that document as for the service in the new fleet, except for what the fleet's
    `blocks` and `placement` exclude. Fails with SETTINGS_INVALID when service and fleet have nothing in common.
    """
    if problem := conflict(service, fleet):
        raise Failure(ExitCode.SETTINGS_INVALID, problem.place_and_text, problem.remedy)
    run, rented = parse("service", service), parse("fleet", fleet)
    document = deepcopy(service)
    if run.configuration.groups is not None and not document.get("groups"):
        document["groups"] = document.pop("replicas")  # an older way to write them
    profile = _profile(rented, run, *PROFILE, "max_price")
    document |= profile.model_dump(mode="json", include={*PROFILE, "max_price"}, exclude_none=True)
    for _, inner, group in _groups(run, document):
        both = _combine(_fleet_requirements(rented), _requirements(run, group))
        inner["resources"] = both.resources.model_dump(mode="json")
        inner["spot_policy"] = {None: "auto", True: "spot", False: "on-demand"}[both.spot]
        if both.reservation is not None:
            inner["reservation"] = both.reservation
    if run.configuration.groups is not None:  # dstack takes these at one level alone
        document = {key: value for key, value in document.items() if key not in ("spot_policy", "reservation")}
    return document


def narrowing(service: Document, fleet: Document) -> tuple[str, ...]:
    """Return the keys that narrow the offers beyond `service.resources`, such as `service.regions`."""
    found = [*_narrowing("service", service), *_narrowing("fleet", fleet)]
    groups = service.get("groups") or service.get("replicas")
    for index, group in enumerate(groups if isinstance(groups, list) else []):
        found += _narrowing(f"service.groups[{index}]", group if isinstance(group, dict) else {})
    volumes = service.get("volumes")
    if any(not (isinstance(one, dict) and one.get("optional")) for one in (volumes or [])):
        found.append("service.volumes")
    found += ["service.instances"] if service.get("instances") else []
    found += ["service.creation_policy"] if service.get("creation_policy") == "reuse" else []
    found += ["fleet.resources"] if fleet.get("resources") else []
    found += ["fleet.blocks"] if fleet.get("blocks", 1) != 1 else []
    found += ["fleet.placement"] if fleet.get("placement") == "cluster" else []
    return tuple(found)


def _narrowing(where: str, document: Document) -> Iterator[str]:
    """Yield the keys of one document that narrow the offers."""
    yield from (f"{where}.{key}" for key in NARROWING if document.get(key) is not None)
    yield from (f"{where}.{key}" for key in ("privileged", "docker") if document.get(key) is True)
    if document.get("spot_policy") == "spot":
        yield f"{where}.spot_policy"
    options = document.get("backend_options")
    if any(isinstance(one, dict) and one.keys() & {"min_reliability", "min_score"} for one in options or []):
        yield f"{where}.backend_options"


def _disagree(own: tuple[str, Document], fleet: Document, *keys: str) -> Problem:
    """Return the problem that names both values."""
    where, service = own
    key, values = ".".join(keys), [_written(document, keys) for document in (service, fleet)]
    why = f"{values[0]}, and fleet.{key}: {values[1]} have nothing in common, so no machine of the fleet fits"
    return Problem(f"{where}.{key}", why, "make the two agree")


def _written(document: Document, keys: tuple[str, ...]) -> str:
    value: Any = document
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return f"{DEFAULT_SPOT} (the default)" if value is None and keys == ("spot_policy",) else f"{value!r}"


def _groups(run: Any, service: Document) -> Iterator[tuple[str, Document, Any]]:
    """Yield the place, the document and dstack's model of each group of replicas, or of a service without groups."""
    groups = run.configuration.groups
    if groups is None:
        yield "service", service, run.configuration
        return
    documents = service.get("groups") or service["replicas"]
    for index, (document, group) in enumerate(zip(documents, groups, strict=True)):
        yield f"service.groups[{index}]", document, group


def _profile(rented: Any, run: Any, *fields: str) -> Any:
    """Return dstack's combination of these fields of two profiles; None where they can't be combined."""
    from dstack._internal.core.models.profiles import Profile
    from dstack._internal.server.services.requirements.combine import combine_fleet_and_run_profiles

    profiles = [Profile(**{name: getattr(one.merged_profile, name) for name in fields}) for one in (rented, run)]
    return combine_fleet_and_run_profiles(*profiles)


def _is_empty(combined: Any, field: str) -> bool:
    """Return whether a combined profile allows nothing in `field`."""
    return combined is None or getattr(combined, field) == []


def _requirements(run: Any, group: Any) -> Any:
    """Return what a replica of the group needs, in the form in which dstack's server looks for a fleet."""
    from dstack._internal.core.models.profiles import SpotPolicy
    from dstack._internal.core.models.resources import CPUSpec
    from dstack._internal.core.models.runs import Requirements, get_policy_map
    from dstack._internal.server.services.resources import set_default_gpu_spec, set_default_gpu_spec_vendor

    service, profile = run.configuration, run.merged_profile
    image, docker = group.image or service.image, service.docker if group.docker is None else group.docker
    resources = group.resources.model_copy(deep=True)
    set_default_gpu_spec_vendor(gpu_spec=set_default_gpu_spec(resources), image=image, docker=docker)
    if resources.cpu.arch is None and image is None:
        resources.cpu = CPUSpec(arch="x86", count=resources.cpu.count)  # of dstack's own images
    return Requirements(
        resources=resources,
        max_price=profile.max_price,
        spot=get_policy_map(group.spot_policy or profile.spot_policy, default=SpotPolicy.ONDEMAND),
        reservation=group.reservation or profile.reservation,
        backend_options=profile.backend_options,
    )


def _fleet_requirements(rented: Any) -> Any:
    """Return what the fleet rents. dstack's own function for that is in a module that takes three seconds to import."""
    from dstack._internal.core.models.profiles import SpotPolicy
    from dstack._internal.core.models.resources import ResourcesSpec
    from dstack._internal.core.models.runs import Requirements, get_policy_map
    from dstack._internal.server.services.resources import set_default_gpu_spec

    resources = rented.configuration.resources or ResourcesSpec.unconstrained()
    resources = resources.model_copy(deep=True)
    set_default_gpu_spec(resources)
    profile = rented.merged_profile
    return Requirements(
        resources=resources,
        max_price=profile.max_price,
        spot=get_policy_map(profile.spot_policy, default=SpotPolicy.ONDEMAND),
        reservation=rented.configuration.reservation,
        backend_options=profile.backend_options,
    )


def _combine(allowed: Any, wanted: Any) -> Any:
    from dstack._internal.server.services.requirements.combine import combine_fleet_and_run_requirements

    return combine_fleet_and_run_requirements(allowed, wanted)


def _requirement(allowed: Any, wanted: Any) -> str | None:
    """Return the first requirement other than resources that can't be combined."""
    from dstack._internal.core.models.resources import ResourcesSpec
    from dstack._internal.core.models.runs import Requirements

    for field in ("spot", "reservation", "backend_options"):
        one, other = (
            Requirements(resources=ResourcesSpec.unconstrained(), **{field: getattr(both, field)})
            for both in (allowed, wanted)
        )
        if _combine(one, other) is None:
            return {"spot": "spot_policy"}.get(field, field)
    return None


def _resource(allowed: Any, wanted: Any) -> str | None:
    """Return the first resource that can't be combined, or whose combination is empty."""
    from dstack._internal.core.models.resources import ResourcesSpec
    from dstack._internal.core.models.runs import Requirements

    for field in ("gpu", "cpu", "memory", "disk"):
        pair = (
            Requirements(resources=ResourcesSpec.unconstrained().model_copy(update={field: getattr(both, field)}))
            for both in (allowed, wanted)
        )
        both = _combine(*pair)
        if both is None or (field == "gpu" and both.resources.gpu.name == []):
            return field
    return None
