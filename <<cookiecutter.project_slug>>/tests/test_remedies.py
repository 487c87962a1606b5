"""Commands in messages act on the environment that the message is about, so that a pasted one does not act on dev."""

from __future__ import annotations

import pytest
from person import Person

from console.errors import ExitCode, Failure
from console.remedies import about, for_environment

COMMANDS = [
    ("run `inv plan`", "run `inv plan --env prod`"),
    ("see `inv status`, `inv logs`", "see `inv status --env prod`, `inv logs --env prod`"),
    ("`inv dns.update --adopt`", "`inv dns.update --adopt --env prod`"),
    ("`inv secrets.set hf_token`", "`inv secrets.set hf_token --env prod`"),
    ("`inv dstack -- ps -v`", "`inv dstack --env prod -- ps -v`"),
    ("`inv deploy --env staging`", "`inv deploy --env staging`"),
    ("run `inv server` in another terminal", "run `inv server` in another terminal"),
    ("`vllm serve` takes it", "`vllm serve` takes it"),
    ("look at the invoice", "look at the invoice"),
]


@pytest.mark.parametrize(("written", "said"), COMMANDS)
def test_a_command_gets_the_environment_unless_it_has_one(written: str, said: str) -> None:
    assert for_environment(written, "prod") == said
    assert for_environment(said, "prod") == said
    assert for_environment(written, "dev") == written


def test_problem_remedy_and_notes_of_a_failure_are_about_the_environment() -> None:
    failure = Failure(ExitCode.NOT_READY, "`inv deploy` was interrupted", "run `inv plan`")
    failure.add_note("`inv status` shows what is billed")
    with pytest.raises(Failure) as ended, about("prod"):
        raise failure
    assert ended.value is failure
    assert str(failure) == "`inv deploy --env prod` was interrupted; run `inv plan --env prod`"
    assert (failure.problem, failure.remedy) == ("`inv deploy --env prod` was interrupted", "run `inv plan --env prod`")
    assert failure.__notes__ == ["`inv status --env prod` shows what is billed"]


@pytest.mark.parametrize(("name", "said"), [("dev", "`inv status` shows"), ("prod", "`inv status --env prod` shows")])
def test_after_a_fault_the_command_that_shows_what_is_billed_is_about_the_environment(name: str, said: str) -> None:
    with pytest.raises(ZeroDivisionError) as ended, about(name):
        _ = 1 / 0
    [note] = ended.value.__notes__
    assert note.startswith(said)


def test_a_task_says_what_to_type_for_its_environment(person: Person) -> None:
    person.dstack.offers = []
    assert person.inv("plan", "--env", "prod").code == 0
    done = person.inv("logs", "--env", "prod")
    assert done.code == ExitCode.NOT_DEPLOYED
    assert "`inv status --env prod`" in done.errors
