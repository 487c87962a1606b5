"""The address of dstack's own page of the service, and how it is opened."""

import webbrowser

from console.errors import ExitCode, Failure
from deploy.dstack.answers import Run
from deploy.environments import Environment


def address(environment: Environment, run: Run | None) -> str:
    """Return the address of the run's page, also of a run that is over. Fails with NOT_DEPLOYED without one."""
    if run is None:
        remedy = f"run `inv deploy --env {environment.name}`"
        raise Failure(ExitCode.NOT_DEPLOYED, f"{environment.run_name} was never deployed", remedy)
    return f"{environment.server_url}/projects/{environment.project}/runs/{run.id}"


def opened(url: str) -> bool:
    """Open the page in a browser. Return False where there is none."""
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
