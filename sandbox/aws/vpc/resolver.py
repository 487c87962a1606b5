"""The VPC's resolver: what the VPC's private zones in Route 53 hold, as real DNS over UDP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dnslib import QTYPE, RCODE, RR, DNSRecord
from dnslib.server import BaseResolver, DNSLogger, DNSServer

from sandbox.aws.api.record_sets import RecordSet, normal_name

_PORT = 53
_LONGEST_CHAIN = 8  # of CNAMEs


class Resolver:
    """Serves what `read` returns at that moment; other names don't exist."""

    def __init__(self, address: str, read: Callable[[], Sequence[RecordSet]]) -> None:
        self._server = DNSServer(_Adapter(read), address=address, port=_PORT, logger=DNSLogger(log=""))

    def start(self) -> None:
        """Listen, from a thread of its own. Raises OSError when the address isn't this machine's."""
        self._server.start_thread()

    def stop(self) -> None:
        self._server.stop()
        self._server.server.server_close()


def answer(name: str, type: str, record_sets: Iterable[RecordSet]) -> tuple[list[RecordSet], bool]:
    """The record sets that answer a question, CNAMEs on the way included, and whether the name exists at all.

    A wildcard answers for names that have no set of any type. Sets are returned under the name that was asked for.
    """
    sets = list(record_sets)
    wanted, found = normal_name(name), list[RecordSet]()
    for _ in range(_LONGEST_CHAIN):
        here = [each for each in sets if each.name == wanted] or _wildcard(wanted, sets)
        exists = bool(here or found) or any(each.name.endswith(f".{wanted}") for each in sets)
        if matching := [each for each in here if each.type == type]:
            return [*found, *(_named(each, wanted) for each in matching)], True
        cname = next((each for each in here if each.type == "CNAME"), None)
        if cname is None:
            return found, exists
        found.append(_named(cname, wanted))
        wanted = normal_name(cname.values[0])
    return found, True


def _wildcard(name: str, sets: Sequence[RecordSet]) -> list[RecordSet]:
    _, _, parent = name.partition(".")
    while parent:
        if found := [each for each in sets if each.name == f"\\052.{parent}"]:
            return found
        if any(each.name == parent for each in sets):
            return []
        _, _, parent = parent.partition(".")
    return []


def _named(record_set: RecordSet, name: str) -> RecordSet:
    return RecordSet(name, record_set.type, record_set.ttl, record_set.values, record_set.alias, record_set.identifier)


class _Adapter(BaseResolver):  # type: ignore[misc]  # dnslib has no types
    def __init__(self, read: Callable[[], Sequence[RecordSet]]) -> None:
        self._read = read

    def resolve(self, request: DNSRecord, handler: object) -> DNSRecord:
        reply = request.reply()
        found, exists = answer(str(request.q.qname), QTYPE[request.q.qtype], self._read())
        for each in found:
            for value in each.values:
                reply.add_answer(*RR.fromZone(f"{each.name} {each.ttl} IN {each.type} {value}"))
        if not exists:
            reply.header.rcode = RCODE.NXDOMAIN
        return reply
