"""What is looked for on GitHub and made there, before a gh that answers from a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import copied

from account.github import Answers, findings, removal_steps, repository, steps
from account.github.client import Gh, Refused, Unavailable, failure_of
from account.github.repository import Repository
from account.steps import Action, Step
from console.errors import ExitCode, Failure
from deploy.environments import Environment
from deploy.settings import Timeouts

SERVER = "https://dstack.example.com"
ALL = Answers(reviewers="alice", runner="self-hosted", deploy_role="arn:aws:iam::123456789012:role/dns")
ALL = replace(ALL, plan_role="arn:aws:iam::123456789012:role/plan")
GH = """#!{python} -IS
import json, sys
words, given = sys.argv[1:], sys.stdin.read()
with open({folder!r} + "/calls", "a") as calls:
    calls.write(json.dumps([words, given]) + "\\n")
method = words[words.index("--method") + 1] if "--method" in words else "GET"
path = next((word for word in words if "/" in word), "").partition("?")[0]
with open({folder!r} + "/answers.json") as file:
    answers = json.load(file)
if words[0] == "secret" or (method != "GET" and f"{{method}} {{path}}" not in answers):
    sys.exit()
answer = answers.get(f"{{method}} {{path}}", {{"status": 404, "message": "Not Found"}})
print(json.dumps(answer))
if isinstance(answer, dict) and "status" in answer:
    sys.exit(f"gh: {{answer['message']}} (HTTP {{answer['status']}})")
"""
PATH = "repos/acme/demo"
EMPTY: dict[str, Any] = {
    "GET repos/{owner}/{repo}": {
        "owner": {"login": "acme", "id": 1},
        "name": "demo",
        "id": 2,
        "html_url": "https://github.com/acme/demo",
        "created_at": "2026-08-01",
        "permissions": {"admin": True},
    },
    "GET users/alice": {"id": 11},
    f"GET {PATH}/environments": {"environments": []},
    f"GET {PATH}/actions/variables": {"variables": []},
    f"GET {PATH}/actions/secrets": {"secrets": []},
    f"GET {PATH}/rulesets": [],
}


class Github:
    """A gh that answers what `answers` has, and writes down its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.answers = folder, dict(EMPTY)
        self.gh = Gh(copied(folder / "copy"))
        program = folder / "gh"
        program.write_text(GH.format(python=sys.executable, folder=str(folder)), "utf-8")
        program.chmod(0o755)
        self.save()

    def save(self, **answers: Any) -> None:
        self.answers |= answers
        (self.folder / "answers.json").write_text(json.dumps(self.answers), "utf-8")

    def environment(self, name: str, **about: Any) -> None:
        """Let there be a GitHub environment."""
        listed = self.answers[f"GET {PATH}/environments"]["environments"]
        found = [*(one for one in listed if one["name"] != name), {"name": name} | about]
        self.save(**{f"GET {PATH}/environments": {"environments": found}})

    def variable(self, name: str, value: str) -> None:
        listed = self.answers[f"GET {PATH}/actions/variables"]["variables"]
        self.save(**{f"GET {PATH}/actions/variables": {"variables": [*listed, {"name": name, "value": value}]}})

    @property
    def calls(self) -> list[tuple[list[str], str]]:
        lines = (self.folder / "calls").read_text("utf-8").splitlines()
        return [(words, given) for words, given in map(json.loads, lines)]


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Github:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.stdin", None)
    (tmp_path / "copy").mkdir()
    return Github(tmp_path)


@pytest.fixture
def environment(environment: Environment) -> Environment:
    return replace(environment, server_url=SERVER)


@pytest.fixture
def planned(github: Github, environment: Environment) -> Callable[..., dict[str, Step]]:
    """planned(): the steps of `inv setup.github`, by subject."""

    def plan(answers: Answers = ALL) -> dict[str, Step]:
        return {step.subject: step for step in steps(environment, answers, lambda line: None, github.gh)}

    return plan


def checked(environment: Environment, github: Github) -> dict[str, Any]:
    found = findings(environment, lambda line: None, github.gh)
    return {one.check.removeprefix("GitHub: "): one for one in found}


def test_protection_is_made_first_and_what_starts_workflows_last(planned: Callable[..., dict[str, Step]]) -> None:
    subjects = list(planned())
    assert subjects[:4] == [
        "environment prod-approval",
        "environment prod",
        "environment prod-plan",
        "ruleset for tags v*",
    ]
    assert subjects[-2:] == ["variable ENVIRONMENTS", "variable MAIN_ENVIRONMENT"]


def test_a_token_reaches_gh_through_standard_input_alone(
    github: Github, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.prompts.ask_hidden", lambda name: f"t0ken of {name}")
    for step in steps(environment, ALL, lambda line: None, github.gh):
        if step.subject.startswith("secret") and step.carry_out:
            step.carry_out()
    sent = [(words, given) for words, given in github.calls if words[0] == "secret"]
    assert [given for _, given in sent] == [
        f"t0ken of DSTACK_{kind}" for kind in ("TOKEN", "PLAN_TOKEN", "ADMIN_TOKEN")
    ]
    assert "t0ken" not in str([words for words, _ in sent])


def test_lists_are_extended_and_never_replaced(github: Github, planned: Callable[..., dict[str, Step]]) -> None:
    github.variable("ENVIRONMENTS", '["dev"]')
    github.environment("dev-plan")
    github.variable("RUNNERS", '{"dev": "mine"}')
    found = planned()
    assert found["variable ENVIRONMENTS"].action is Action.CHANGE
    for name in ("ENVIRONMENTS", "RUNNERS"):
        step = found[f"variable {name}"]
        assert step.carry_out
        step.carry_out()
    values = [json.loads(json.loads(given)["value"]) for words, given in github.calls if "PATCH" in words]
    assert values == [["dev", "prod"], {"dev": "mine", "prod": "self-hosted"}]


@pytest.mark.parametrize("value", ["prod", '{"prod": 1}', "[1]", '["gone"]', '["dev"]'])
def test_a_list_that_can_not_be_right_is_kept_and_found(
    github: Github, environment: Environment, planned: Callable[..., dict[str, Step]], value: str
) -> None:
    github.variable("ENVIRONMENTS", value)
    step = planned()["variable ENVIRONMENTS"]
    assert (step.action, step.carry_out) == (Action.KEEP, None)
    assert checked(environment, github)["variable ENVIRONMENTS"].ok is False


def test_a_variable_with_another_value_is_kept_with_the_command_that_changes_it(
    github: Github, planned: Callable[..., dict[str, Step]]
) -> None:
    github.variable("AWS_ROLE_ARN", "arn:other")
    step = planned()["variable AWS_ROLE_ARN of prod"]
    assert (step.action, step.carry_out) == (Action.KEEP, None)
    assert "is arn:other, not arn:aws:iam::123456789012:role/dns" in step.detail
    assert "gh api" in step.detail


def test_rules_that_somebody_made_are_sent_again_with_what_is_added(
    github: Github, planned: Callable[..., dict[str, Step]]
) -> None:
    github.environment("prod-approval", protection_rules=[{"type": "wait_timer", "wait_timer": 30}])
    step = planned()["environment prod-approval"]
    assert step.action is Action.CHANGE
    assert step.carry_out
    step.carry_out()
    [body] = [json.loads(given) for words, given in github.calls if "PUT" in words]
    assert (body["wait_timer"], body["reviewers"]) == (30, [{"type": "User", "id": 11}])


def test_timeouts_of_more_than_an_hour_need_a_longer_job(github: Github, environment: Environment) -> None:
    longer = replace(environment, timeouts=Timeouts(capacity=3600, ready=2700))
    assert checked(longer, github)["variable SERVICE_MINUTES"].ok is False
    assert "variable SERVICE_MINUTES" not in checked(environment, github)
    github.variable("SERVICE_MINUTES", "135")
    assert checked(longer, github)["variable SERVICE_MINUTES"].ok


def test_an_address_of_this_machine_is_no_address_for_a_runner(
    github: Github, environment: Environment, planned: Callable[..., dict[str, Step]]
) -> None:
    local = replace(environment, server_url="http://127.0.0.1:3000")
    found = {step.subject: step for step in steps(local, ALL, lambda line: None, github.gh)}
    step = found["variable DSTACK_SERVER_URL of prod"]
    assert (step.action, step.carry_out) == (Action.KEEP, None)
    assert "--server-url" in step.detail
    assert planned(replace(ALL, server_url="http://10.0.0.5"))["variable DSTACK_SERVER_URL of prod"].carry_out


def test_a_runner_of_your_own_needs_no_role(github: Github, environment: Environment) -> None:
    assert checked(environment, github)["variable AWS_ROLE_ARN of prod"].ok is False
    github.variable("RUNNERS", '{"prod": ["self-hosted"]}')
    assert checked(environment, github)["variable AWS_ROLE_ARN of prod"].ok


def test_what_you_may_not_see_is_not_checked(github: Github, environment: Environment) -> None:
    for name in ("actions/secrets", "rulesets", "environments"):
        github.save(**{f"GET {PATH}/{name}": {"status": 403, "message": "Forbidden"}})
    found = checked(environment, github)
    for subject in ("environment prod", "ruleset for tags v*", "secret DSTACK_TOKEN of prod"):
        assert (found[subject].ok, found[subject].failure) == (None, None)


def test_dev_is_checked_once_a_workflow_deploys_it(github: Github, environment: Environment) -> None:
    dev = replace(environment, name="dev", protected=False)
    assert [one.ok for one in checked(dev, github).values()] == [None]
    github.environment("dev")
    assert len(checked(dev, github)) > 5


def test_reviewers_are_missing_only_where_github_has_them(github: Github, environment: Environment) -> None:
    github.environment("prod-approval")
    assert checked(environment, github)["environment prod-approval"].ok is False
    about = github.answers["GET repos/{owner}/{repo}"]
    github.save(**{"GET repos/{owner}/{repo}": about | {"private": True}})
    assert checked(environment, github)["environment prod-approval"].ok


def test_who_is_no_admin_is_told_before_anything_is_sent(
    github: Github, planned: Callable[..., dict[str, Step]]
) -> None:
    about = github.answers["GET repos/{owner}/{repo}"]
    github.save(**{"GET repos/{owner}/{repo}": about | {"permissions": {"admin": False}}})
    step = planned()["environment prod"]
    assert step.carry_out
    with pytest.raises(Failure, match="no admin of acme/demo") as refused:
        step.carry_out()
    assert refused.value.code == ExitCode.ACCOUNT_REFUSED
    assert not [words for words, _ in github.calls if "PUT" in words]


@pytest.mark.parametrize("reviewers", ["bob", "alice,bob", "acme/platform"])
def test_reviewers_whom_github_does_not_know_are_refused(
    planned: Callable[..., dict[str, Step]], reviewers: str
) -> None:
    with pytest.raises(Failure, match="correct --reviewers") as refused:
        planned(replace(ALL, reviewers=reviewers))
    assert refused.value.code == ExitCode.SETTINGS_INVALID


def test_nobody_has_to_approve_when_somebody_says_so(github: Github, planned: Callable[..., dict[str, Step]]) -> None:
    answers = replace(ALL, reviewers="none")
    assert planned(answers)["environment prod-approval"].action is Action.CREATE
    github.environment("prod-approval")
    assert planned(answers)["environment prod-approval"].action is Action.UNCHANGED


@pytest.mark.parametrize("role", ["admin", "arn:aws:iam::1:role/x", "arn:aws:iam::123456789012:user/x"])
def test_a_role_that_is_none_is_refused(planned: Callable[..., dict[str, Step]], role: str) -> None:
    with pytest.raises(Failure, match="--plan-role"):
        planned(replace(ALL, plan_role=role))


def test_answers_that_nobody_can_type_are_asked_for_by_flag(planned: Callable[..., dict[str, Step]]) -> None:
    for answers, flag in ((replace(ALL, reviewers=""), "--reviewers"), (replace(ALL, runner=""), "--runner")):
        with pytest.raises(Failure, match=flag) as refused:
            planned(answers)
        assert refused.value.code == ExitCode.DECLINED


def test_recover_looks_after_a_gateway_only_when_somebody_chose_it(
    github: Github, planned: Callable[..., dict[str, Step]]
) -> None:
    github.variable("GATEWAYS", '["dev"]')
    assert planned()["variable GATEWAYS"].action == Action.UNCHANGED
    chosen = planned(replace(ALL, watch_gateway=True))["variable GATEWAYS"]
    assert (chosen.action, chosen.detail) == (Action.CHANGE, '["dev", "prod"], now ["dev"]')


@pytest.mark.parametrize("value", ['{"prod": 1}', "prod", "[1]", '["gone"]'])
def test_a_list_of_gateways_that_is_none_is_found_and_kept(
    github: Github, planned: Callable[..., dict[str, Step]], value: str
) -> None:
    github.variable("GATEWAYS", value)
    assert planned(replace(ALL, watch_gateway=True))["variable GATEWAYS"].action == Action.KEEP


def test_removal_leaves_the_other_environments(github: Github, environment: Environment) -> None:
    github.variable("ENVIRONMENTS", '["dev", "prod"]')
    github.variable("GATEWAYS", '["prod", "dev"]')
    github.variable("RUNNERS", '{"prod": "mine"}')
    github.variable("MAIN_ENVIRONMENT", "dev")
    github.environment("prod")
    github.environment("dev")
    found = removal_steps(environment, lambda line: None, github.gh)
    assert [(step.subject, step.action) for step in found] == [
        ("variable ENVIRONMENTS", Action.CHANGE),
        ("variable GATEWAYS", Action.CHANGE),
        ("variable RUNNERS", Action.DELETE),
        ("environment prod", Action.DELETE),
    ]


def test_without_gh_removal_says_so_and_stops_nothing(
    github: Github, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    [step] = removal_steps(environment, lambda line: None, github.gh)
    assert (step.action, step.carry_out, "not installed" in step.detail) == (Action.KEEP, None, True)
    assert [one.ok for one in checked(environment, github).values()] == [None]


@pytest.mark.parametrize(
    ("code", "errors", "kind", "said"),
    [
        (4, "To get started with GitHub CLI, please run:  gh auth login", Unavailable, "gh auth login"),
        (1, "gh: Bad credentials (HTTP 401)", Unavailable, "gh auth login"),
        (1, "unable to expand placeholder in path: no git remotes found", Unavailable, "no clone"),
        (1, "gh: Forbidden (HTTP 403)", Refused, "ask an admin"),
        (1, "failed to fetch public key: HTTP 404: Not Found (https://x)", Refused, "may not see it"),
        (1, "gh: API rate limit exceeded (HTTP 403)", Failure, "wait an hour"),
        (1, "gh: Bad gateway (HTTP 502)", Failure, "run it again"),
        (1, "error connecting to api.github.com", Failure, "run it again"),
        (-9, "", Failure, "signal 9"),
    ],
)
def test_every_end_of_gh_is_one_line(code: int, errors: str, kind: type[Failure], said: str) -> None:
    failure = failure_of(code, "", errors)
    assert (type(failure), failure.code) == (kind, ExitCode.ACCOUNT_REFUSED)
    assert said in str(failure)
    assert "\n" not in str(failure)


def test_the_plan_of_github_is_named_when_it_lacks_reviewers() -> None:
    answer = '{"message": "Please ensure the billing plan supports the required reviewers protection rule."}'
    assert "Enterprise plan" in str(failure_of(1, answer, "gh: … (HTTP 422)"))


def test_the_subject_has_ids_unless_the_repository_is_older(github: Github) -> None:
    assert repository(github.gh).subject("prod") == "repo:acme@1/demo@2:environment:prod"
    about = github.answers["GET repos/{owner}/{repo}"]
    github.save(**{"GET repos/{owner}/{repo}": about | {"created_at": "2026-07-14"}})
    assert repository(github.gh).subject("prod") == "repo:acme/demo:environment:prod"
    github.save(**{f"GET {PATH}/actions/oidc/customization/sub": {"use_immutable_subject": True}})
    assert repository(github.gh).subject("prod") == "repo:acme@1/demo@2:environment:prod"
    server = about | {"html_url": "https://git.example.com/acme/demo"}
    github.save(**{"GET repos/{owner}/{repo}": server})
    del github.answers[f"GET {PATH}/actions/oidc/customization/sub"]
    github.save()
    assert repository(github.gh).name_in_subjects == "acme/demo"
    assert Repository("acme", 1, "demo", 2, host="git.example.com").full_name == "git.example.com/acme/demo"
