"""The service's record in Route 53, in the hosted zone that its gateway serves.

Two record sets are ours: `<run>.<zone>`, which points at the gateway's running replicas, and a TXT beside it that names
the service that owns it, `<project>/<run>`. Many services share a zone; the TXT keeps one from overwriting another.
Reading takes the same few calls however large the zone is, and nothing is written when nothing differs.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from console.errors import ExitCode, Failure
from console.prompts import ask_code
from deploy.api import Api
from deploy.changes import Change, Difference, Part
from deploy.documents.files import Document
from deploy.dstack.client import Say
from deploy.environments import Environment

TTL_SECONDS = 30  # how long a caller may go on using the address of a replaced gateway
OWNER_PREFIX = "_owner"
RETRIES = Config(retries={"mode": "adaptive", "max_attempts": 8})  # Route 53 takes 5 requests a second and account
PASSING = (ConnectionError, HTTPClientError)  # other errors of boto3 itself are about credentials
INSYNC = {"Delay": 5, "MaxAttempts": 36}  # seconds, polls; Route 53 propagates within 60 s as a rule


@dataclass(frozen=True, order=True)
class RecordSet:
    """One record set; `values` are sorted, so equal sets compare equal. `routed`: JSON of an alias or weighted one."""

    name: str
    type: str
    values: tuple[str, ...]
    ttl: int = TTL_SECONDS
    routed: str = ""

    @classmethod
    def of_aws(cls, found: Document) -> "RecordSet":
        values = tuple(sorted(value["Value"] for value in found.get("ResourceRecords", [])))
        plain = found.keys() == {"Name", "Type", "TTL", "ResourceRecords"}
        routed = "" if plain else json.dumps(found, sort_keys=True)
        return cls(found["Name"], found["Type"], values, found.get("TTL", 0), routed)

    def to_aws(self) -> Document:
        if self.routed:
            return dict(json.loads(self.routed))
        values = [{"Value": value} for value in self.values]
        return {"Name": self.name, "Type": self.type, "TTL": self.ttl, "ResourceRecords": values}

    def __str__(self) -> str:
        return f"{' '.join(self.values) or 'an alias'} (TTL {self.ttl})"


@dataclass(frozen=True)
class Zone:
    """A hosted zone, and the name in it that is this service's. Everything fails with DNS_REFUSED, quoting AWS."""

    client: Any
    id: str
    host: str
    owner: str

    def read(self) -> frozenset[RecordSet]:
        """The address and the owner that exactly our two names have; a name has few sets, so one page holds them all.

        Other types at our name, TXT or CAA say, are somebody's own business.
        """
        found = set()
        for name, types in ((f"{self.host}.", {"A", "CNAME"}), (f"{OWNER_PREFIX}.{self.host}.", {"TXT"})):
            with _explained(f"reading {name}"):
                page = self.client.list_resource_record_sets(HostedZoneId=self.id, StartRecordName=name, MaxItems="20")
            sets = page["ResourceRecordSets"]
            found |= {RecordSet.of_aws(one) for one in sets if one["Name"] == name and one["Type"] in types}
        return frozenset(found)

    def write(self, batch: list[Document], want: frozenset[RecordSet]) -> None:
        """Apply the change batch that leads to `want`, and wait until all of Route 53's servers answer with it."""
        with _explained(f"changing {self.host}"):
            try:
                answer = self.client.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch={"Changes": batch})
            except ClientError as error:  # an answer was lost, so boto3 asked again for what was done already?
                if error.response["Error"]["Code"] != "InvalidChangeBatch" or self.read() != want:
                    raise
                return
            waiter = self.client.get_waiter("resource_record_sets_changed")
            waiter.wait(Id=answer["ChangeInfo"]["Id"], WaiterConfig=INSYNC)


def zone_of(environment: Environment) -> Zone:
    """The environment's hosted zone: of those with its name the VPC's private one, or the public one without a VPC."""
    if environment.gateway is None:
        message = f"environments/{environment.name}.yml has no gateway, so there is no record to keep"
        raise Failure(ExitCode.SETTINGS_INVALID, message)
    domain, region = environment.gateway["domain"], environment.gateway["region"]
    vpc = environment.dns.vpc_id if environment.dns else None
    of = f" of {vpc} in {region}" if vpc else ""
    with _explained(f"looking for the zone {domain}{of}"):
        client = _client(region)
        named = _named(client, domain)
        of_vpc, more = [], {"VPCId": vpc, "VPCRegion": region} if vpc else {}
        while more:  # AWS's own zones are among them, of endpoints and service discovery: there can be many
            page = client.list_hosted_zones_by_vpc(**more)
            of_vpc += page["HostedZoneSummaries"]
            more = more | {"NextToken": page["NextToken"]} if "NextToken" in page else {}
    chosen = the_one(named, of_vpc, f"{domain}.", vpc)
    return Zone(client, chosen, environment.host, f"{environment.project}/{environment.run_name}")


def holding(domain: str, region: str, run_name: str, project: str) -> list[Zone]:
    """The zones named `domain`, of whatever VPC, in which the records of that run are this project's.

    A zone that may not be read is none of them: what is in it was not written with these credentials.
    """
    with _explained(f"looking for zones {domain}"):
        client = _client(region)
        ids = [zone["Id"].rsplit("/", 1)[-1] for zone in _named(client, domain)]
    zones = [Zone(client, found, f"{run_name}.{domain}", f"{project}/{run_name}") for found in ids]
    found = []
    for zone in zones:
        with suppress(Failure):
            found += [zone] if owned(zone.read(), zone.host, zone.owner) else []
    return found


def _client(region: str) -> Any:
    """A client of Route 53. A profile that wants an MFA code asks on the terminal, or fails where there is none."""
    session = boto3.Session(region_name=region)
    providers = session._session.get_component("credential_provider")
    providers.get_provider("assume-role")._prompter = ask_code
    return session.client("route53", config=RETRIES)


def _named(client: Any, domain: str) -> list[Document]:
    page = client.list_hosted_zones_by_name(DNSName=domain, MaxItems="100")  # those of this name first
    return [zone for zone in page["HostedZones"] if zone["Name"] == f"{domain}."]


def judge(environment: Environment, targets: Sequence[str], *, settled: bool = True) -> Part:
    """What a deploy would do to the records. Zone and owner are looked at before there is a gateway to point at.

    `targets` are the gateway's as it is now; when it is not `settled`, the same deploy gives it others.
    """
    zone = zone_of(environment)
    have = zone.read()
    want = wanted(zone.host, targets, zone.owner) if targets else frozenset()
    changes(have, want, zone.host, zone.owner)  # refuses what is somebody else's
    if not targets:
        return Part(Change.CREATE)
    if not settled:
        return Part(Change.IN_PLACE, (Difference(zone.host, " ".join(targets), "as the changed gateway has them"),))
    old, new = ({f"{one.name} {one.type}": str(one) for one in sets} for sets in (have - want, want - have))
    found = tuple(Difference(key, old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys()))
    return Part(Change.UNCHANGED if not found else Change.IN_PLACE if old else Change.CREATE, found)


def publish(api: Api, environment: Environment, say: Say, *, dry_run: bool = False, adopt: bool = False) -> None:
    """Point the service's name at its gateway, if it does not already, and wait until Route 53 answers so."""
    if environment.dns is None:
        return say(f"environments/{environment.name}.yml has no dns: nothing to do")
    gateway = api.gateway(environment.run_name)
    targets = gateway.targets if gateway else ()
    zone = zone_of(environment)
    want = wanted(zone.host, targets, zone.owner)
    batch = changes(zone.read(), want, zone.host, zone.owner, adopt=adopt)
    if batch and not dry_run:
        zone.write(batch, want)
    done = "unchanged" if not batch else "would be written" if dry_run else "written"
    say(f"record {zone.host} -> {' '.join(targets)}: {done}")


def delete(zone: Zone, say: Say) -> None:
    """Delete the service's records. Doing it twice is doing it once."""
    if batch := changes(zone.read(), (), zone.host, zone.owner):
        zone.write(batch, frozenset())
        say(f"record {zone.host}: deleted")


def the_one(named: Iterable[Document], of_vpc: Iterable[Document], name: str, vpc: str | None) -> str:
    """Id of the one zone called `name` that belongs to the VPC (public, without one). Fails when there is not one."""
    of_vpc = list(of_vpc)
    in_vpc = {zone["HostedZoneId"] for zone in of_vpc}
    ids: list[tuple[str, bool]] = [(zone["Id"].rsplit("/", 1)[-1], zone["Config"]["PrivateZone"]) for zone in named]
    fitting = [zone for zone, private in ids if (zone in in_vpc if vpc else not private)]
    elsewhere = next((zone["Owner"].get("OwningAccount") for zone in of_vpc if zone["Name"] == name), None)
    if elsewhere and not fitting:
        mend = "sign in as a role there that has policies/dns.json"
        raise Failure(ExitCode.DNS_REFUSED, f"the zone {name} of {vpc} belongs to AWS account {elsewhere}; {mend}")
    if len(fitting) != 1:
        kind = f"private zone {name} of {vpc}" if vpc else f"public zone {name}"
        mend = "make it, or mend dns.vpc_id and gateway.region" if not fitting else "keep one of them"
        raise Failure(ExitCode.DNS_REFUSED, f"there are {len(fitting)} of the {kind}, and one is needed; {mend}")
    return fitting[0]


def wanted(host: str, targets: Sequence[str], owner: str) -> frozenset[RecordSet]:
    """The record sets that `owner` wants for `host`: `targets` are addresses, or the one name of a load balancer."""
    if not targets:
        message = f"the gateway has no address to publish for {host}; look at `inv gateway.status`"
        raise Failure(ExitCode.DNS_REFUSED, message)
    kind = "A" if all(target[-1].isdigit() for target in targets) else "CNAME"  # no top-level domain ends in a digit
    return frozenset({RecordSet(f"{host}.", kind, tuple(sorted(targets))), _ownership(host, owner)})


def changes(
    current: Iterable[RecordSet], want: Iterable[RecordSet], host: str, owner: str, *, adopt: bool = False
) -> list[Document]:
    """The change batch from `current` to what is wanted; empty when they are equal, deletions when nothing is.

    A compare and swap: what is stale is deleted with exactly the values that were read, so Route 53 refuses the whole
    batch when somebody wrote in between; an UPSERT would overwrite them. Without this owner's TXT nothing is touched,
    neither to replace nor to delete it, unless `adopt` says so.
    """
    have, target = frozenset(current), frozenset(want)
    if have and not owned(have, host, owner) and not adopt:
        holder = next((found.values[0] for found in have if found.type == "TXT"), "someone who left no owner record")
        message = f"{host} belongs to {holder}; choose another name, or take it over: inv dns.update --adopt"
        raise Failure(ExitCode.DNS_REFUSED, message)
    stale = [{"Action": "DELETE", "ResourceRecordSet": found.to_aws()} for found in sorted(have - target)]
    return stale + [{"Action": "CREATE", "ResourceRecordSet": found.to_aws()} for found in sorted(target - have)]


def owned(current: Iterable[RecordSet], host: str, owner: str) -> bool:
    """Whether the TXT beside the host's records names `owner`."""
    mine = _ownership(host, owner)
    return mine in {replace(found, ttl=mine.ttl) for found in current}


def _ownership(host: str, owner: str) -> RecordSet:
    return RecordSet(f"{OWNER_PREFIX}.{host}.", "TXT", (f'"{owner}"',))


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turns what boto3 raises inside the block into a Failure that says what was being done."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        answer = getattr(error, "response", None) or getattr(error, "last_response", {})  # the latter: while waiting
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        mend = "mend that or wait, then run it again"
        if status == 403 or not (status or isinstance(error, PASSING)):
            mend = "it takes AWS credentials that are valid and have policies/dns.json: AWS_PROFILE, a role or a key"
        raise Failure(ExitCode.DNS_REFUSED, f"AWS refused {doing}: {error}; {mend}") from None
