"""Finds the resources of a service, by owner and name, whatever its files say now. removal.py removes them.

Somebody removes a gateway or dns section from a file, changes its zone, or renames the service. The resources of the
old file still exist, and its runs and gateways are billed. They are found here. `inv plan` shows them as "remove",
`inv deploy` removes them after the service answers, and `inv destroy` removes them at any time.

Runs and fleets of an earlier name are known by the mark that is stored with them (Environment.marked), a gateway by the
names that go with its run's, records by the TXT beside them that names their owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from console.errors import Failure
from deploy.api import Api
from deploy.documents.files import Document
from deploy.dstack.answers import Run
from deploy.dstack.client import Notify
from deploy.dstack.gateway import Gateway
from deploy.environments import Environment
from deploy.gateway_choice import gateways_of

if TYPE_CHECKING:
    from deploy.cloudwatch import AlarmStore
    from deploy.route53 import Zone

# GPUs first; records before the address that they point at is freed, and alarms before the instances are gone
ORDER = ("run", "fleet", "records", "alarms", "gateway")


@dataclass(frozen=True)
class Resource:
    """Something that exists in dstack or AWS. `kind`: one of ORDER; `name`: the host for records."""

    kind: str
    name: str
    detail: str
    zone: Zone | None = field(default=None, compare=False)  # of the records; None: Route 53 gave no answer
    store: AlarmStore | None = field(default=None, compare=False)  # of the alarms; None: CloudWatch gave no answer

    def __str__(self) -> str:
        return f"{self.kind}{' of' if self.kind in ('records', 'alarms') else ''} {self.name} ({self.detail})"

    def as_json(self) -> Document:
        return {"kind": self.kind, "name": self.name, "detail": self.detail}


def existing_resources(api: Api, environment: Environment, notify: Notify = lambda line: None) -> list[Resource]:
    """Return the resources of the service, under its name and earlier ones, in the order in which they are removed."""
    return _in_order(resources_of(api, environment, notify, *ORDER) + earlier(api, environment, notify))


def resources_of(api: Api, environment: Environment, notify: Notify, *kinds: str) -> list[Resource]:
    """Return the resources of these kinds under the service's present name, in the order in which they are removed.

    Asks only who knows of these kinds: a key for the records has no right to look for alarms.
    """
    run, gateways, name = api.run(environment.run_name), gateways_of(api, environment), environment.run_name
    found = [one for one in _of_name(api, name, run, gateways) if one.kind in kinds]
    if "records" in kinds:
        found += _records(environment, run, gateways, notify)
    if "alarms" in kinds:
        found += _alarms(environment, name, gateways, notify)
    return _in_order(found)


def forgotten(
    api: Api, environment: Environment, run: Run | None, gateways: Mapping[str, Gateway], notify: Notify
) -> tuple[Resource, ...]:
    """Return the resources of the service that its files do not name any more."""
    found = []
    if environment.gateway is None:
        why = f"{environment.file} has no gateway"
        found += [Resource("gateway", name, f"{gateway.summary}; {why}") for name, gateway in gateways.items()]
    found += _alarms(environment, environment.run_name, gateways, notify, stale=True)
    return tuple(_in_order(found + _stale(environment, run, gateways, notify) + earlier(api, environment, notify)))


def _in_order(found: list[Resource]) -> list[Resource]:
    return sorted(found, key=lambda resource: ORDER.index(resource.kind))


def earlier(api: Api, environment: Environment, notify: Notify) -> list[Resource]:
    """Return the resources under earlier names of the service."""
    runs = {str(run.run_spec["run_name"]): run for run in api.active_runs() if _marked(environment, run.run_spec)}
    names = {*runs, *(fleet.name for fleet in api.fleets() if _marked(environment, fleet.spec))}
    found: list[Resource] = []
    for name in sorted(names - {environment.run_name}):
        run, gateways = api.run(name), gateways_of(api, replace(environment, run_name=name))
        found += [*_of_name(api, name, run, gateways), *_alarms(environment, name, gateways, notify)]
        found += [
            records for domain in _domains(run, gateways) for records in _held(environment, name, *domain, notify)
        ]
    return found


def _marked(environment: Environment, spec: Document) -> bool:
    return environment.owns(spec.get("configuration_path"))


def _of_name(api: Api, name: str, run: Run | None, gateways: Mapping[str, Gateway]) -> Iterator[Resource]:
    if run and run.active:
        yield Resource("run", name, f"{run.status}, ${run.price:.2f} an hour")
    if api.exists("fleet", name):
        yield Resource("fleet", name, "rents nothing by itself")
    for called, gateway in gateways.items():
        cloud = gateway.configuration.get("backend", "its cloud")
        yield Resource("gateway", called, f"{gateway.summary}, billed by {cloud}")


def _records(
    environment: Environment, run: Run | None, gateways: Mapping[str, Gateway], notify: Notify
) -> list[Resource]:
    """Return the records of the service's present name: those that its file asks for, and stale ones."""
    found: list[Resource] = []
    if environment.dns is not None:
        from deploy import route53  # boto3 takes longer to import than the rest takes to run

        try:
            zone = route53.zone_of(environment)
            found += [Resource("records", environment.host, "in Route 53", zone)] if zone.read() else []
        except Failure as failure:  # the GPUs go first: by the time of the records the reason is shown
            found.append(Resource("records", environment.host, f"not known whether they exist: {failure.problem}"))
    return found + _stale(environment, run, gateways, notify)


def _stale(
    environment: Environment, run: Run | None, gateways: Mapping[str, Gateway], notify: Notify
) -> list[Resource]:
    """Return records of the service in zones that its file does not name, found by their owner."""
    wanted = environment.gateway["domain"] if environment.gateway and environment.dns else None
    domains = [found for found in _domains(run, gateways) if found[0] != wanted]
    return [records for domain in domains for records in _held(environment, environment.run_name, *domain, notify)]


def _domains(run: Run | None, gateways: Mapping[str, Gateway]) -> list[tuple[str, str]]:
    """Return domain and region of each zone in which a run may have records: its gateways', and its own address's."""
    found: dict[str, str] = {}
    for gateway in gateways.values():
        domains = [str(gateway.configuration.get("domain") or "")]
        domains += [run.host.partition(".")[2]] if run and run.active and run.gateway and run.host else []
        for domain in domains:
            found.setdefault(domain, str(gateway.configuration["region"]))
    return [(domain, region) for domain, region in found.items() if "." in domain]


def _held(environment: Environment, name: str, domain: str, region: str, notify: Notify) -> Iterable[Resource]:
    from deploy import route53

    try:
        zones = route53.holding(domain, region, name, environment.project)
    except Failure as failure:  # who keeps the records elsewhere may have no access to Route 53 at all
        notify(f"records of {name}.{domain} were not looked for: {failure}")
        return []
    return [Resource("records", zone.host, f"in a zone {domain} that no file names", zone) for zone in zones]


def _alarms(
    environment: Environment, name: str, gateways: Mapping[str, Gateway], notify: Notify, *, stale: bool = False
) -> Iterator[Resource]:
    """Yield the alarms of the service called `name`, by the regions of the file's gateway and of the existing ones.

    `stale`: only those that the file does not ask for.
    """
    file = environment.gateway or {}
    asked = file.get("region") if environment.alarms and name == environment.run_name else None
    documents = [file, *(gateway.configuration for gateway in gateways.values())]
    regions = {str(one["region"]) for one in documents if one.get("backend") == "aws"}
    for region in sorted(regions - {asked} if stale else regions):
        from deploy import cloudwatch

        try:
            store = cloudwatch.store_of(environment, region, name)
            if found := store.read():
                yield Resource("alarms", name, f"{len(found)} in {region}", store=store)
        except Failure as failure:  # who has no alarms may have no access to CloudWatch at all
            if region == asked:
                yield Resource("alarms", name, f"not known whether they exist: {failure.problem}")
            else:
                notify(f"alarms of {name} in {region} were not looked for: {failure}")
