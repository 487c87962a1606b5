"""Reads and writes the service's records in Route 53, in the hosted zone of its gateway's domain.

records.py decides which records belong to which service. Reading takes the same few calls however large the zone is.
Nothing is written when nothing differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from console.errors import ExitCode, Failure
from console.prompts import ask_code
from deploy.documents.files import Document
from deploy.dstack.client import Notify
from deploy.environments import Environment
from deploy.records import (
    OWNER_PREFIX,
    RecordChange,
    RecordPlan,
    RecordSet,
    changes_between,
    chosen_zone,
    owned,
    records_for,
    refuse_foreign,
)

ATTEMPTS = 8  # of a call; Route 53 takes 5 requests a second and account
PASSING = (ConnectionError, HTTPClientError)  # other errors of boto3 itself are about credentials
INSYNC = {"Delay": 5, "MaxAttempts": 36}  # seconds, polls; Route 53 propagates within 60 s as a rule


@dataclass(frozen=True)
class Zone:
    """A hosted zone, and the service's name in it. Methods fail with DNS_REFUSED and quote AWS."""

    client: Any
    id: str
    host: str
    owner: str

    def read(self) -> frozenset[RecordSet]:
        """Return the record sets of the service's two names: the address and the owner.

        A name has few record sets, so one page holds them all. Other types at the name, e.g. CAA, are not ours.
        """
        found = set()
        for name, types in ((f"{self.host}.", {"A", "CNAME"}), (f"{OWNER_PREFIX}.{self.host}.", {"TXT"})):
            with explained(f"reading {name}"):
                page = self.client.list_resource_record_sets(HostedZoneId=self.id, StartRecordName=name, MaxItems="20")
            sets = page["ResourceRecordSets"]
            found |= {RecordSet.of_aws(one) for one in sets if one["Name"] == name and one["Type"] in types}
        return frozenset(found)

    def write(self, changes: Sequence[RecordChange], read: frozenset[RecordSet], wanted: frozenset[RecordSet]) -> None:
        """Apply the batch that leads from `read` to `wanted`, and wait until all servers of Route 53 answer with it.

        Fails with PLAN_OUTDATED and writes nothing when somebody changed the records since they were read.
        """
        batch = {"Changes": [change.to_aws() for change in changes]}
        with explained(f"changing {self.host}"):
            try:
                answer = self.client.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch=batch)
            except ClientError as error:
                if error.response["Error"]["Code"] != "InvalidChangeBatch":
                    raise
                now = self.read()
                if now == wanted:  # an answer was lost, and boto3 sent the same batch again
                    return
                if now == read:
                    raise
                why = f"somebody changed the records of {self.host} after they were read"
                raise Failure(ExitCode.PLAN_OUTDATED, why, "run `inv plan` and decide again") from None
            waiter = self.client.get_waiter("resource_record_sets_changed")
            waiter.wait(Id=answer["ChangeInfo"]["Id"], WaiterConfig=INSYNC)


def zone_of(environment: Environment, attempts: int = ATTEMPTS) -> Zone:
    """Return the zone of the gateway's domain: the private zone of dns.vpc_id, or the public zone without a VPC.

    `attempts`: how often a call is sent to a Route 53 that is busy. 8 take about a minute.
    """
    if environment.gateway is None:
        why = f"{environment.file} has no gateway, so the service has no records"
        raise Failure(ExitCode.SETTINGS_INVALID, why, "add a gateway to it, or choose another environment with --env")
    domain, region = environment.gateway["domain"], environment.gateway["region"]
    vpc = environment.dns.vpc_id if environment.dns else None
    where = f" of {vpc} in {region}" if vpc else ""
    with explained(f"looking for the zone {domain}{where}"):
        client = client_of("route53", region, attempts)
        named, of_vpc = listed_zones(client, domain, region, vpc)
    chosen = chosen_zone(named, of_vpc, f"{domain}.", vpc)
    return Zone(client, chosen, environment.host, f"{environment.project}/{environment.run_name}")


def holding(domain: str, region: str, run_name: str, project: str) -> list[Zone]:
    """Return the zones named `domain`, of any VPC, that have records of that run which this project owns.

    Leaves out zones that these credentials may not read: they did not write the records there.
    """
    with explained(f"looking for zones {domain}"):
        client = client_of("route53", region)
        ids = [zone["Id"].rsplit("/", 1)[-1] for zone in _named(client, domain)]
    zones = [Zone(client, found, f"{run_name}.{domain}", f"{project}/{run_name}") for found in ids]
    found = []
    for zone in zones:
        with suppress(Failure):
            found += [zone] if owned(zone.read(), zone.host, zone.owner) else []
    return found


def plan(environment: Environment, targets: Sequence[str], *, adopt: bool = False) -> RecordPlan:
    """Plan the records for the gateway's addresses `targets`. Without targets, the addresses are not known yet.

    Checks zone and owner in both cases. `adopt`: take over records that have another owner, or none.
    """
    zone = zone_of(environment)
    read = zone.read()
    if not adopt:
        refuse_foreign(read, zone.host, zone.owner)
    return RecordPlan(zone, read, records_for(zone.host, targets, zone.owner) if targets else None)


def apply(planned: RecordPlan, targets: Sequence[str], notify: Notify) -> None:
    """Apply exactly that plan, now that the gateway runs at `targets`. Wait until Route 53 answers with them."""
    planned = planned.pointing_at(targets)
    if planned.changes and planned.wanted is not None:
        planned.zone.write(planned.changes, planned.read, planned.wanted)
    done = "written" if planned.changes else "unchanged"
    notify(f"record {planned.zone.host} -> {' '.join(targets)}: {done}")


def delete(zone: Zone, notify: Notify) -> None:
    """Delete the service's records. A second call does nothing."""
    read = zone.read()
    refuse_foreign(read, zone.host, zone.owner)
    if read:
        zone.write(changes_between(read, frozenset()), read, frozenset())
        notify(f"record {zone.host}: deleted")


@cache
def client_of(service: str, region: str, attempts: int = ATTEMPTS) -> Any:
    """Return the client of an AWS service, the same one each time: making one takes long."""
    return session(region).client(service, config=Config(retries={"mode": "adaptive", "max_attempts": attempts}))


@cache
def session(region: str) -> boto3.Session:
    """Return the session of all clients in a region.

    A profile that needs an MFA code asks for it on the terminal, once for all clients: AWS takes a code only once.
    """
    made = boto3.Session(region_name=region)
    providers = made._session.get_component("credential_provider")
    providers.get_provider("assume-role")._prompter = ask_code
    return made


def listed_zones(client: Any, domain: str, region: str, vpc: str | None) -> tuple[list[Document], list[Document]]:
    """Return the zones named `domain`, and the zones of the VPC. They are answers of AWS to two kinds of lists."""
    named, of_vpc = _named(client, domain), []
    more = {"VPCId": vpc, "VPCRegion": region} if vpc else {}
    while more:  # the list includes zones that AWS made for endpoints and service discovery: it can be long
        page = client.list_hosted_zones_by_vpc(**more)
        of_vpc += page["HostedZoneSummaries"]
        more = more | {"NextToken": page["NextToken"]} if "NextToken" in page else {}
    return named, of_vpc


def _named(client: Any, domain: str) -> list[Document]:
    page = client.list_hosted_zones_by_name(DNSName=domain, MaxItems="100")  # those of this name first
    return [zone for zone in page["HostedZones"] if zone["Name"] == f"{domain}."]


@contextmanager
def explained(doing: str, code: ExitCode = ExitCode.DNS_REFUSED, policy: str = "dns") -> Iterator[None]:
    """Turn what boto3 raises inside the block into a Failure that names the step `doing` and policies/<policy>.json."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        answer = getattr(error, "response", None) or getattr(error, "last_response", {})  # the latter: while waiting
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        remedy = "fix it or wait, then run it again"
        if status == 403 or not (status or isinstance(error, PASSING)):
            remedy = f"set valid AWS credentials that have policies/{policy}.json: AWS_PROFILE, a role or a key"
        raise Failure(code, f"AWS refused {doing}: {error}", remedy) from None
