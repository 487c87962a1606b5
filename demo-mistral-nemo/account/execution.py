"""Shows the steps of `inv setup.…`, asks, and carries them out."""

from collections.abc import Sequence

from account import views
from account.steps import Action, Step, StepRefused
from console.errors import Failure
from console.prompts import confirm
from console.terminal import progress

DONE = {Action.CREATE: "created", Action.CHANGE: "changed", Action.DELETE: "deleted"}


def perform(
    steps: Sequence[Step],
    question: str,
    *,
    yes: bool = False,
    dry_run: bool = False,
    only_print: bool = False,
    json: bool = False,
) -> None:
    """Show the steps, ask, and carry them out. `only_print` prints their commands, `dry_run` changes nothing.

    A step that raises StepRefused does not stop the others: this fails at the end, with the code of the first refusal.
    Any other Failure ends it, because later steps may need that one.
    """
    if only_print and not json:
        return views.commands(steps)
    views.steps(steps, json=json)
    if dry_run or only_print:
        return
    waiting = [step for step in steps if step.carry_out]
    if not waiting:
        if steps and all(step.action == Action.UNCHANGED for step in steps):
            progress.print("nothing to do")
        return
    confirm(question, yes=yes)
    refused = [failure for step in waiting if (failure := _carried_out(step))]
    if refused:
        problem = f"{len(refused)} of {len(waiting)} steps were not done"
        raise Failure(refused[0].code, problem, "the lines above say why; run it again afterwards, and it continues")


def _carried_out(step: Step) -> StepRefused | None:
    """Carry out one step. Return why it was refused, None when it is done."""
    if not step.carry_out:
        return None
    try:
        step.carry_out()
    except StepRefused as failure:
        progress.print(f"{step.subject}: {failure}", markup=False)
        return failure
    except Failure as failure:
        failure.add_note(f"stopped at {step.subject}; the steps before it are done, and running it again continues")
        raise
    progress.print(f"{step.subject}: {DONE.get(step.action, 'done')}", markup=False)
    return None
