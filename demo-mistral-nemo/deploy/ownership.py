"""Tags that say which service something in AWS was made for. What lacks them belongs to somebody else."""

from collections.abc import Iterable

from deploy.documents.files import Document
from deploy.environments import Environment

CREATOR = "ai-service"


def tags(environment: Environment) -> list[Document]:
    """Return the tags of what is made for this service, as AWS takes them."""
    return [{"Key": "created-by", "Value": CREATOR}, {"Key": "service", "Value": owner(environment)}]


def owner(environment: Environment) -> str:
    """Return the service's name among all services, `<project>/<run>`."""
    return f"{environment.project}/{environment.run_name}"


def owns(environment: Environment, found: Iterable[Document]) -> bool:
    """Return whether something with these tags was made for this service."""
    has = {tag["Key"]: tag["Value"] for tag in found}
    return all(has.get(tag["Key"]) == tag["Value"] for tag in tags(environment))
