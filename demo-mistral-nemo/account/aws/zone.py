"""The hosted zone that the service's records are written into."""

from botocore.exceptions import BotoCoreError, ClientError

from account.aws.client import Aws, refusal
from console.errors import ExitCode, Failure
from deploy.environments import Environment
from deploy.records import chosen_zone
from deploy.route53 import listed_zones


def zone_id(aws: Aws, environment: Environment) -> str:
    """Return the id of the zone of the gateway's domain.

    Fails with ACCOUNT_INCOMPLETE when there is no such zone of this VPC, or more than one.
    """
    domain = (environment.gateway or {})["domain"]
    vpc = environment.dns.vpc_id if environment.dns else None
    try:
        named, of_vpc = listed_zones(aws.client("route53"), domain, aws.region, vpc)
    except (ClientError, BotoCoreError) as error:
        called = getattr(error, "operation_name", "ListHostedZonesByName")
        raise refusal(f"route53:{called}", error) from None
    try:
        return chosen_zone(named, of_vpc, f"{domain}.", vpc)
    except Failure as failure:
        raise Failure(ExitCode.ACCOUNT_INCOMPLETE, failure.problem, f"{failure.remedy}; see docs/account.md") from None
