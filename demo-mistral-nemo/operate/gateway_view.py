"""Shows the verdict on a gateway, and what a recovery does."""

from rich.markup import escape

from console import views
from console.remedies import for_environment
from console.terminal import console, progress
from deploy.environments import Environment
from operate.health import Diagnosis, Seen
from operate.recovery import Step


def verdict(seen: Seen, diagnosis: Diagnosis, *, json: bool = False) -> None:
    """Show the verdict on a gateway, and what it was made from."""
    if json:
        return views.data(diagnosis.as_json(seen))
    for address, state in seen.states.items():
        console.print(f"{address}: EC2 says {state}; it {seen.reached.get(address, 'is behind a load balancer')}")
    console.print(f"name: it {seen.named}")
    for note in seen.notes:
        progress.print(escape(note))
    colour, remedy = ("bold red", f"; {diagnosis.remedy}") if diagnosis.code else ("green", "")
    console.print(f"gateway {seen.gateway}: [{colour}]{escape(diagnosis.why)}[/]{escape(remedy)}")


def first_step(environment: Environment, step: Step | None) -> None:
    """Show what a recovery does first."""
    does = escape(for_environment(str(step), environment.name)) if step else "nothing to recover"
    progress.print(f"gateway {environment.run_name}: {does}")
