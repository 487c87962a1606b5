"""What `inv setup.aws` has to be told: it takes flags, and asks on a terminal for the rest."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from account.aws import roles
from account.aws.network import Vpc
from console.errors import ExitCode, Failure
from console.prompts import ask_text


@dataclass(frozen=True)
class Answers:
    """The flags of `inv setup.aws`; "" for what was not given. `yes`: take defaults without asking."""

    vpc: str = ""
    server_cidr: str = ""
    caller_cidr: str = ""
    repository: str = ""
    yes: bool = False

    def chosen_vpc(self, found: Sequence[Vpc], region: str) -> Vpc:
        """Return the VPC of the callers. Fails with ACCOUNT_INCOMPLETE when the region has none, or not that one."""
        if not found:
            remedy = "make one, docs/account.md says how; or correct the region"
            raise Failure(ExitCode.ACCOUNT_INCOMPLETE, f"region {region} has no VPC", remedy)
        known = {vpc.id: vpc for vpc in found}
        names = ", ".join(map(str, found))
        given = self.vpc or (found[0].id if len(found) == 1 and self.yes else "")
        if not given:
            default = found[0].id if len(found) == 1 else ""
            question = f"VPC of the callers, one of {names}"
            given = ask_text(question, default, flag="--vpc")
        if given not in known:
            problem = f"region {region} has no VPC {given}; it has: {names}"
            raise Failure(ExitCode.ACCOUNT_INCOMPLETE, problem, "give one of these as --vpc")
        return known[given]

    def server_cidrs(self, default: str) -> list[str]:
        """Return the addresses of the dstack server, as CIDRs."""
        return _cidrs(self._or_ask(self.server_cidr, "Addresses of the dstack server", default), "--server-cidr")

    def caller_cidrs(self, default: str) -> list[str]:
        """Return the addresses of the callers, as CIDRs."""
        return _cidrs(self._or_ask(self.caller_cidr, "Addresses of the callers", default), "--caller-cidr")

    def chosen_repository(self, *known: str) -> str:
        """Return the GitHub repository, as its jobs' subject names it. `known`: where else it may stand, best first."""
        given = self.repository or next((name for name in known if name), "")
        given = given or ask_text("GitHub repository, as ORG@ID/REPO@ID", "", flag="--repository")
        if not roles.REPOSITORY.fullmatch(given):
            remedy = "write ORG@ID/REPO@ID, docs/production.md says how to find it; or ORG/REPO for an older one"
            raise Failure(ExitCode.SETTINGS_INVALID, f"--repository can't be {given!r}", remedy)
        return given

    def _or_ask(self, given: str, question: str, default: str) -> str:
        return given or (default if self.yes else ask_text(question, default, flag=""))


def _cidrs(text: str, flag: str) -> list[str]:
    """Return the networks in a list with commas. Fails with SETTINGS_INVALID for something else."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    try:
        found = [str(ipaddress.IPv4Network(word)) for word in words]
    except ValueError as error:
        problem = f"{flag} can't be {text!r}: {error}"
        raise Failure(ExitCode.SETTINGS_INVALID, problem, "write e.g. 10.0.0.0/16, or several with commas") from None
    if not found:
        raise Failure(ExitCode.SETTINGS_INVALID, f"{flag} names no addresses", "write e.g. 10.0.0.0/16")
    return found
