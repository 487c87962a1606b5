"""Asks dstack for the machines that a service may rent."""

from capacity.offers import Evaluation, evaluate
from deploy.api import Api
from deploy.documents import schema
from deploy.dstack.answers import Machine
from deploy.environments import Environment


def machines(api: Api, environment: Environment, *, unlimited: bool = False) -> list[Machine]:
    """Return the offers that the service and the fleet of the files allow, in the order in which dstack tries them.

    `unlimited`: without the fleet's price limit.
    """
    fleet = {key: value for key, value in environment.fleet.items() if not (unlimited and key == "max_price")}
    return api.plan_run(schema.offered(environment.service, fleet), None, any_fleet=True).offers


def current_offers(environment: Environment) -> Evaluation:
    """Return the offers now, in the order in which dstack tries them. Fails with SETTINGS_INVALID for wrong files."""
    schema.check(environment)
    return evaluate(environment.service, machines(Api(environment), environment), environment.max_price_per_hour)
