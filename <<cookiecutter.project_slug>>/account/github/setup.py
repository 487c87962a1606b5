"""All parts of the setup of one environment: findings for `inv doctor`, steps for `inv setup.github`."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from account.findings import Finding, not_checked
from account.github import answers as asking
from account.github import protection, secrets, variables
from account.github.answers import Answers, SecretValues
from account.github.client import Gh
from account.github.parts import Calls, Part
from account.github.repository import Repository, repository
from account.github.state import State, read_state
from account.steps import Step
from console.errors import ExitCode, Failure
from console.prompts import ask_text
from deploy.environments import Environment
from deploy.settings import read_settings

Notify = Callable[[str], None]


def findings(environment: Environment, notify: Notify, gh: Gh | None = None) -> Iterator[Finding]:
    """Yield a finding for each part of the setup on GitHub; one alone where GitHub can't be asked, or is not used."""
    gh = gh or Gh()
    try:
        found = repository(gh)
        notify(f"GitHub: reading {found.full_name}")
        state = read_state(gh, found, names_of(environment))
        if not environment.protected and not _is_used(state, environment):
            why = f"no workflow deploys {environment.name}; `inv setup.github --env {environment.name}` sets that up"
            yield not_checked("GitHub", why)
            return
        parts = _parts(environment, Calls(gh, found), state, Answers())
    except Failure as failure:
        yield not_checked("GitHub", str(failure))
        return
    for part in parts:
        yield part.finding(environment.name)


def steps(environment: Environment, answers: Answers, notify: Notify, gh: Gh | None = None) -> list[Step]:
    """Return what `inv setup.github` makes. Asks for what only a person knows, where GitHub lacks it."""
    answers.check()
    gh = gh or Gh()
    found = repository(gh)
    notify(f"reading {found.full_name}")
    state = read_state(gh, found, names_of(environment))
    answers = _asked(environment, state, answers)
    made = [part.step() for part in _parts(environment, Calls(gh, found), state, answers)]
    return made if found.is_admin else [_for_admins(step, found) for step in made]


def names_of(environment: Environment) -> tuple[str, str, str]:
    """Return the three GitHub environments of an environment: they deploy, plan and approve."""
    return environment.name, f"{environment.name}-plan", f"{environment.name}-approval"


def is_private(environment: Environment) -> bool:
    """Return whether the endpoint answers only inside the VPC."""
    return environment.gateway is not None and environment.gateway.get("public_ip") is False


def _parts(environment: Environment, calls: Calls, state: State, answers: Answers) -> list[Part]:
    """Return all parts in the order in which they are made: protection first, what starts a workflow last."""
    name = environment.name
    deploys, plans, approves = names_of(environment)
    files = [path.stem for path in (calls.gh.folder / "environments").glob("*.yml")]
    reviewers = asking.words_of(answers.reviewers) if answers.reviewers else None
    needed = environment.protected and not state.repository.is_private
    found = [
        protection.approval(calls, state, approves, reviewers, needed=needed),
        protection.deploying(calls, state, deploys),
        protection.plain_environment(calls, state, plans),
        protection.tag_ruleset(calls, state),
        *_credentials(environment, calls, state, answers),
        variables.service_minutes(calls, state, environment),
    ]
    if is_private(environment) or answers.runner:
        found.append(variables.runners(calls, state, name, asking.words_of(answers.runner)))
    if environment.gateway is not None:
        found.append(variables.gateways(calls, state, name, files, chosen=answers.watch_gateway))
    found += [
        variables.environments(calls, state, name, files),
        variables.main_environment(calls, state, name, files, chosen=answers.main),
    ]
    return [part for part in found if part]


def _credentials(environment: Environment, calls: Calls, state: State, answers: Answers) -> Iterator[Part]:
    """Yield what lets the jobs sign in to dstack and AWS."""
    deploys, plans, _ = names_of(environment)
    path = calls.gh.folder / environment.file
    in_file = bool(read_settings(path).server.url)
    own_runner = variables.has_own_runner(state, environment.name) or "self-hosted" in asking.words_of(answers.runner)
    for place, role in ((deploys, answers.deploy_role), (plans, answers.plan_role)):
        yield variables.server(calls, state, environment, place, answers.server_url, in_file=in_file)
        if environment.dns:
            yield variables.role(calls, state, place, role, own_runner=own_runner)
    values = SecretValues()
    member = "the token of a member of the dstack project"
    for place, asked_as, text in (
        (deploys, "DSTACK_TOKEN", member),
        (plans, "DSTACK_PLAN_TOKEN", f"{member}, best of another user; asked for as DSTACK_PLAN_TOKEN"),
    ):
        yield secrets.secret(calls, state, place, "DSTACK_TOKEN", values, asked_as=asked_as, text=text)
    if environment.gateway is not None:
        name = "DSTACK_ADMIN_TOKEN"
        text = "the token of an admin of the dstack project; only `gateway` and `recover` read it"
        yield secrets.secret(calls, state, deploys, name, values, asked_as=name, text=text)


def _asked(environment: Environment, state: State, answers: Answers) -> Answers:
    """Return the answers, with what was asked for because GitHub lacks it and no flag says it."""
    approves = state.environment(names_of(environment)[2])
    settled = not environment.protected or (approves and (approves.reviewers or state.repository.is_private))
    if not answers.reviewers and not settled:
        question = f"Users and teams who approve deploys of {environment.name}, such as alice,acme/platform; or none"
        answers = replace(answers, reviewers=ask_text(question, "", flag="--reviewers"))
    named = f'"{environment.name}"' in (state.variable("", "RUNNERS") or "")
    if is_private(environment) and not answers.runner and not named:
        question = f"Labels of a runner that reaches {environment.host}, such as self-hosted,vpc; or ubuntu-24.04"
        answers = replace(answers, runner=ask_text(question, "", flag="--runner"))
    return answers


def _is_used(state: State, environment: Environment) -> bool:
    """Return whether anything on GitHub belongs to this environment."""
    names = state.environments or {}
    return any(name in names for name in names_of(environment))


def _for_admins(step: Step, found: Repository) -> Step:
    """Return a step that fails, when it is carried out, because you are no admin of the repository."""

    def refuse() -> None:
        remedy = "ask an admin: `inv setup.github --print` prints the commands"
        raise Failure(ExitCode.ACCOUNT_REFUSED, f"you are no admin of {found.full_name}", remedy)

    return replace(step, carry_out=refuse) if step.carry_out else step
