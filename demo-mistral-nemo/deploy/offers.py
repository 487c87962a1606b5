"""Asks dstack for the machines that a service may rent."""

from capacity.offers import Evaluation, evaluate
from deploy.api import Api
from deploy.documents import schema
from deploy.dstack.answers import Machine
from deploy.environments import Environment


def machines(api: Api, environment: Environment, *, unlimited: bool = False) -> list[Machine]:
    """Return what the fleet, as its file says, lets the service rent, first tried first.

    With `unlimited`, the limit of its price does not hold.
    """
    fleet = {key: value for key, value in environment.fleet.items() if not (unlimited and key == "max_price")}
    return api.plan_run(schema.offered(environment.service, fleet), None, any_fleet=True).offers


def current_offers(environment: Environment) -> Evaluation:
    """Return what is on offer now, first tried first. Fails with SETTINGS_INVALID for wrong files."""
    schema.check(environment)
    return evaluate(environment.service, machines(Api(environment), environment), environment.max_price_per_hour)
