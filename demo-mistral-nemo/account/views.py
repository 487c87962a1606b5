"""Shows the steps of `inv setup.…`."""

from collections.abc import Sequence

from rich.markup import escape

from account.steps import Action, Step
from console import views
from console.terminal import console

COLOURS = {Action.CREATE: "green", Action.CHANGE: "yellow", Action.DELETE: "red", Action.KEEP: "magenta"}


def steps(found: Sequence[Step], *, json: bool = False) -> None:
    """Show what each step does."""
    if json:
        return views.data([step.as_json() for step in found])
    if not found:
        console.print("nothing to do: this environment has nothing there")
    for step in found:
        colour = COLOURS.get(step.action, "dim")
        detail = f": {escape(step.detail)}" if step.detail else ""
        console.print(f"[{colour}]{step.action.value:>9}[/]  {escape(step.subject)}{detail}")


def commands(found: Sequence[Step]) -> None:
    """Print the commands that do what the steps do, for somebody who may. They can be pasted into a shell."""
    for step in found:
        if step.commands:
            console.out(f"# {step.subject}: {step.action.value}", highlight=False)
        for command in step.commands:
            console.out(command, highlight=False)
