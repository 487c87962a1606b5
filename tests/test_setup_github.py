"""`inv setup.github` of a rendering, with the real gh before a stand-in of GitHub's API."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.github_api import HOST, NAME, OWNER, GithubApi
from tests.rendered import Bake

PROD = ("--env", "prod")
FLAGS = ("--reviewers", "alice,acme/platform", "--runner", "self-hosted,vpc")
ROLES = ("--deploy-role", "arn:aws:iam::123456789012:role/dns", "--plan-role", "arn:aws:iam::123456789012:role/plan")
ALL = (*PROD, *FLAGS, *ROLES)
TOKENS = "DSTACK_TOKEN=member-t0ken\nDSTACK_PLAN_TOKEN=plan-t0ken\nDSTACK_ADMIN_TOKEN=admin-t0ken\n"
CALLS = 15  # that change something, to set up prod
INCOMPLETE, REFUSED, INVALID, DECLINED = 43, 44, 20, 34
FINDINGS = """
import json, sys
from account import github
from deploy import environments
print(json.dumps([one.as_json() for one in github.findings(environments.load(sys.argv[1]), lambda line: None)]))
"""


@pytest.fixture
def project(baked: Bake, tmp_path: Path) -> Path:
    """A rendering, as a clone of acme/demo, with a VPC in prod."""
    folder = shutil.copytree(baked(), tmp_path / "project")
    file = folder / "environments" / "prod.yml"
    file.write_text(file.read_text("utf-8").replace("vpc-REPLACE", "vpc-0123456789abcdef0"), "utf-8")
    for words in (["init", "-q"], ["remote", "add", "origin", f"http://{HOST}/{OWNER}/{NAME}.git"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GithubApi]:
    with GithubApi(tmp_path) as api:
        yield api


class Person:
    """Somebody who is signed in to GitHub and types in the project."""

    def __init__(self, project: Path, github: GithubApi) -> None:
        self.project, self.github = project, github
        server = {"DSTACK_SERVER_URL": "https://dstack.example.com"}
        self.variables = github.variables | server
        self.variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{self.variables['PATH']}"

    def run(self, *words: str, piped: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=self.project, env=self.variables, input=piped, capture_output=True, text=True, check=False
        )

    def setup(self, *words: str, piped: str = TOKENS) -> subprocess.CompletedProcess[str]:
        return self.run("inv", "setup.github", *words, piped=piped)

    def findings(self, environment: str = "prod") -> list[dict[str, Any]]:
        done = self.run(sys.executable, "-c", FINDINGS, environment)
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def failed(self) -> set[str]:
        return {one["check"].removeprefix("GitHub: ") for one in self.findings() if one["ok"] is False}


@pytest.fixture
def person(project: Path, github: GithubApi) -> Person:
    return Person(project, github)


@pytest.fixture
def done(person: Person) -> Person:
    """A person whose prod is set up; the changes are forgotten."""
    ended = person.setup("--yes", *ALL)
    assert ended.returncode == 0, ended.stderr
    person.github.changes.clear()
    return person


def test_all_that_the_workflows_need_is_made_in_a_safe_order(person: Person, github: GithubApi) -> None:
    ended = person.setup("--yes", *ALL)
    assert ended.returncode == 0, ended.stderr
    [reviewers] = [rule["reviewers"] for rule in github.environments["prod-approval"]["protection_rules"]]
    assert [(one["type"], one["reviewer"]["id"]) for one in reviewers] == [("User", 11), ("Team", 21)]
    assert {(one["type"], one["name"]) for one in github.policies["prod"]} == {("branch", "main"), ("tag", "v*")}
    assert github.environments["prod-plan"]["deployment_branch_policy"] is None
    assert github.variables_of[""] == {"ENVIRONMENTS": '["prod"]', "RUNNERS": '{"prod": ["self-hosted", "vpc"]}'}
    server = {"DSTACK_SERVER_URL": "https://dstack.example.com"}
    assert github.variables_of["prod"] == server | {"AWS_ROLE_ARN": ROLES[1]}
    assert github.variables_of["prod-plan"] == server | {"AWS_ROLE_ARN": ROLES[3]}
    assert github.secrets_of["prod"] == {"DSTACK_TOKEN": "member-t0ken", "DSTACK_ADMIN_TOKEN": "admin-t0ken"}
    assert github.secrets_of["prod-plan"] == {"DSTACK_TOKEN": "plan-t0ken"}
    [ruleset] = github.rulesets
    assert (ruleset["target"], ruleset["conditions"]["ref_name"]["include"]) == ("tag", ["refs/tags/v*"])
    assert {"type": "creation"} in ruleset["rules"]
    assert ruleset["bypass_actors"] == [{"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always"}]
    assert github.changes[0] == "PUT environments/prod-approval"  # before anything can deploy
    assert github.changes[-2:] == ["POST actions/variables"] * 2  # the workflows start to plan last of all
    assert len(github.changes) == CALLS
    assert "t0ken" not in ended.stdout + ended.stderr


def test_a_second_run_changes_nothing_and_asks_nothing(done: Person) -> None:
    again = done.setup(*PROD, piped="")
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stderr
    assert not done.github.changes


def test_doctor_finds_all_of_it_before_and_none_of_it_afterwards(person: Person) -> None:
    failed = person.failed()
    assert {"environment prod", "environment prod-plan", "environment prod-approval", "ruleset for tags v*"} <= failed
    assert {"variable ENVIRONMENTS", "variable RUNNERS", "variable AWS_ROLE_ARN of prod-plan"} <= failed
    assert {"secret DSTACK_TOKEN of prod", "secret DSTACK_ADMIN_TOKEN of prod"} <= failed
    remedies = {one["remedy"] for one in person.findings() if one["ok"] is False}
    assert remedies == {"run `inv setup.github --env prod`"}
    assert person.setup("--yes", *ALL).returncode == 0
    assert all(one["ok"] for one in person.findings()), person.findings()
    person.github.changes.clear()
    person.findings()
    assert not person.github.changes


@pytest.mark.parametrize("cut", [2, 3, 9])  # 2: nothing may deploy yet
def test_a_setup_that_was_cut_off_goes_on_when_it_runs_again(person: Person, github: GithubApi, cut: int) -> None:
    github.after = cut
    ended = person.setup("--yes", *ALL)
    assert (ended.returncode, len(github.changes)) == (REFUSED, cut)
    assert "did not answer" in ended.stderr
    assert "Traceback" not in ended.stderr
    github.after = 0
    assert person.setup("--yes", *ALL).returncode == 0
    assert len(github.changes) == CALLS  # none was made twice
    assert not person.failed()


def test_a_dry_run_and_print_change_nothing(person: Person, github: GithubApi) -> None:
    shown = person.setup("--dry-run", "--json", *ALL)
    assert shown.returncode == 0, shown.stderr
    steps = {step["subject"]: step for step in json.loads(shown.stdout)}
    assert steps["environment prod-approval"]["action"] == "create"
    assert all(step["commands"] for step in steps.values() if step["action"] == "create")
    assert person.setup("--dry-run", *ALL).returncode == person.setup("--print", *ALL).returncode == 0
    assert not github.changes


def test_the_printed_commands_do_the_same_when_they_are_pasted(person: Person, github: GithubApi) -> None:
    printed = person.setup("--print", *ALL).stdout
    pasted = person.run("bash", "-euc", printed.replace("gh secret set", "echo typed | gh secret set"))
    assert pasted.returncode == 0, pasted.stderr
    assert github.secrets_of["prod-plan"] == {"DSTACK_TOKEN": "typed"}
    github.changes.clear()
    assert person.setup(*PROD).returncode == 0
    assert not github.changes


def test_nobody_said_yes(person: Person, github: GithubApi) -> None:
    assert person.setup(*ALL).returncode == DECLINED
    assert not github.changes


def test_what_somebody_else_chose_is_kept_and_shown(person: Person, github: GithubApi) -> None:
    github.put_environment("prod-approval", {"reviewers": [{"type": "User", "id": 12}]})
    github.put_environment(
        "prod", {"deployment_branch_policy": {"protected_branches": True, "custom_branch_policies": False}}
    )
    github.variables_of["prod"] = {"DSTACK_SERVER_URL": "https://other.example.com"}
    github.variables_of[""] = {"ENVIRONMENTS": '["dev"]', "RUNNERS": '{"prod": "mine", "dev": "ubuntu-24.04"}'}
    github.put_environment("dev-plan")
    github.secrets_of["prod"] = {"DSTACK_TOKEN": "theirs"}
    ended = person.setup("--yes", *ALL, "--server-url", "https://dstack.example.com")
    assert ended.returncode == 0, ended.stderr
    [rule] = github.environments["prod-approval"]["protection_rules"]
    assert [one["reviewer"]["id"] for one in rule["reviewers"]] == [12]
    assert github.environments["prod"]["deployment_branch_policy"]["protected_branches"]
    assert github.variables_of["prod"]["DSTACK_SERVER_URL"] == "https://other.example.com"
    assert json.loads(github.variables_of[""]["ENVIRONMENTS"]) == ["dev", "prod"]
    assert json.loads(github.variables_of[""]["RUNNERS"]) == {"prod": "mine", "dev": "ubuntu-24.04"}
    assert github.secrets_of["prod"]["DSTACK_TOKEN"] == "theirs"
    for kept in ("reviewers: bob, not alice", "is https://other.example.com", "names mine for prod", "no tag v* may"):
        assert kept in ended.stdout
    command = next(line for line in ended.stdout.splitlines() if "https://other" in line).split("you can run ")[1]
    assert person.run("bash", "-euc", command.strip()).returncode == 0
    assert github.variables_of["prod"]["DSTACK_SERVER_URL"] == "https://dstack.example.com"


def test_an_environment_that_github_made_itself_gets_its_protection_and_keeps_the_rest(
    person: Person, github: GithubApi
) -> None:
    github.put_environment("prod-approval", {"wait_timer": 30})
    github.put_environment("prod")
    assert person.setup("--yes", *ALL).returncode == 0
    rules = {rule["type"]: rule for rule in github.environments["prod-approval"]["protection_rules"]}
    assert rules.keys() == {"wait_timer", "required_reviewers"}
    assert rules["wait_timer"]["wait_timer"] == 30
    assert len(github.policies["prod"]) == 2


def test_reviewers_that_the_plan_of_github_lacks_are_one_line_and_the_rest_is_made(
    person: Person, github: GithubApi
) -> None:
    github.has_reviewers, github.private = False, True
    ended = person.setup("--yes", *ALL)
    assert ended.returncode == REFUSED
    [line] = [line for line in ended.stderr.splitlines() if "422" in line]
    assert line.startswith("environment prod-approval: ")
    assert "Enterprise plan" in line
    assert "prod-approval" not in github.environments
    assert github.secrets_of["prod"].keys() == {"DSTACK_TOKEN", "DSTACK_ADMIN_TOKEN"}
    assert person.setup("--yes", *PROD, "--reviewers", "none").returncode == 0
    assert not person.failed()
    github.changes.clear()
    assert person.setup(*PROD, piped="").returncode == 0  # it does not ask again
    assert not github.changes


def test_who_is_no_admin_changes_nothing_but_can_print(person: Person, github: GithubApi) -> None:
    github.admin = False
    ended = person.setup("--yes", *ALL)
    assert ended.returncode == REFUSED
    assert "you are no admin of github.localhost/acme/demo" in ended.stderr
    printed = person.setup("--print", *ALL).stdout
    assert not github.changes
    checked = {one["check"]: one for one in person.findings()}
    assert checked["GitHub: secret DSTACK_TOKEN of prod"]["ok"] is None
    assert checked["GitHub: ruleset for tags v*"]["ok"] is None
    assert checked["GitHub: environment prod"]["ok"] is False
    github.admin = True
    assert person.run("bash", "-euc", printed.replace("gh secret set", "echo x | gh secret set")).returncode == 0
    assert not person.failed()


@pytest.mark.parametrize(
    ("call", "answer", "said"),
    [
        ("GET /repos/acme/demo", (404, {"message": "Not Found"}), "you may not see it"),
        ("GET /repos/acme/demo", (403, {"message": "API rate limit exceeded for user ID 1."}), "limit of requests"),
        ("GET /repos/acme/demo", (502, {"message": "Bad gateway"}), "did not answer"),
        ("GET /repos/acme/demo", (401, {"message": "Bad credentials"}), "gh auth login"),
        ("PUT /repos/acme/demo/environments/prod-approval", (403, {"message": "Forbidden"}), "ask an admin"),
        ("POST /repos/acme/demo/rulesets", (403, {"message": "Upgrade to GitHub Pro"}), "Upgrade to GitHub Pro"),
    ],
)
def test_a_refusal_is_one_line(
    person: Person, github: GithubApi, call: str, answer: tuple[int, Any], said: str
) -> None:
    github.failing[call] = answer
    ended = person.setup("--yes", *ALL)
    assert ended.returncode == REFUSED
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    github.failing.clear()
    assert person.setup("--yes", *ALL).returncode == 0


def test_without_gh_without_a_clone_and_signed_out_nothing_is_checked_and_nothing_fails(
    person: Person, tmp_path: Path
) -> None:
    path = person.variables["PATH"]
    only_git = tmp_path / "only-git"
    only_git.mkdir()
    for program in ("git", "env"):
        (only_git / program).symlink_to(shutil.which(program) or "")
    for changed, said in (
        ({"PATH": f"{Path(sys.executable).parent}{os.pathsep}{only_git}"}, "is not installed"),
        ({"GH_TOKEN": ""}, "gh auth login"),
        ({"GH_TOKEN": "wrong"}, "gh auth login"),
        ({"http_proxy": "http://127.0.0.1:1"}, "did not answer"),
    ):
        person.variables |= changed
        [one] = person.findings()
        assert (one["check"], one["ok"]) == ("GitHub", None)
        assert said in one["text"]
        person.variables = person.github.variables | {k: v for k, v in person.variables.items() if k not in changed}
        person.variables |= {"PATH": path, "http_proxy": person.github.variables["http_proxy"]}
    shutil.rmtree(person.project / ".git")
    assert "no clone" in person.findings()[0]["text"]
    ended = person.setup("--yes", *ALL)
    assert (ended.returncode, "no clone" in ended.stderr) == (REFUSED, True)


def test_dev_is_not_looked_at_until_a_workflow_deploys_it(person: Person) -> None:
    del person.variables["DSTACK_SERVER_URL"]  # the file has another
    [one] = person.findings("dev")
    assert (one["ok"], "inv setup.github --env dev" in one["text"]) == (None, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((*PROD, "--runner", "ubuntu-24.04"), DECLINED, "--reviewers"),
        ((*PROD, "--reviewers", "none"), DECLINED, "--runner"),
        ((*PROD, "--runner", "x", "--reviewers", "nobody-here"), INVALID, "no user nobody-here"),
        ((*PROD, "--runner", "x", "--reviewers", "acme/nobody"), INVALID, "no team nobody in acme"),
        ((*PROD, *FLAGS, "--deploy-role", "admin"), INVALID, "--deploy-role"),
    ],
)
def test_answers_that_are_missing_or_wrong(
    person: Person, github: GithubApi, words: tuple[str, ...], code: int, said: str
) -> None:
    ended = person.setup("--yes", *words)
    assert (ended.returncode, said in ended.stderr) == (code, True)
    assert not github.changes


def test_a_secret_without_a_value_is_named_and_the_rest_is_made(person: Person, github: GithubApi) -> None:
    ended = person.setup("--yes", *ALL, piped="DSTACK_TOKEN=a\nDSTACK_ADMIN_TOKEN=b\n")
    assert ended.returncode == INCOMPLETE
    assert "no value for DSTACK_PLAN_TOKEN" in ended.stderr
    assert person.failed() == {"secret DSTACK_TOKEN of prod-plan"}


def test_values_of_the_organization_and_of_the_repository_count(person: Person, github: GithubApi) -> None:
    github.organization_variables["AWS_ROLE_ARN"] = "arn:aws:iam::123456789012:role/all"
    github.secrets_of[""] = {"DSTACK_TOKEN": "x"}
    failed = person.failed()
    assert not {"variable AWS_ROLE_ARN of prod", "secret DSTACK_TOKEN of prod"} & failed
    assert "secret DSTACK_ADMIN_TOKEN of prod" in failed


def test_all_pages_of_a_list_are_read(person: Person, github: GithubApi) -> None:
    for number in range(65):
        github.put_environment(f"other-{number}")
    assert person.setup("--yes", *ALL).returncode == 0
    assert not person.failed()


def test_main_deploys_what_somebody_chose(person: Person, github: GithubApi) -> None:
    assert person.setup("--yes", *ALL, "--main").returncode == 0
    assert github.variables_of[""]["MAIN_ENVIRONMENT"] == "prod"
    github.variables_of[""]["MAIN_ENVIRONMENT"] = "gone"
    assert person.failed() == {"variable MAIN_ENVIRONMENT"}


def test_recover_looks_after_the_gateways_that_somebody_chose(done: Person, github: GithubApi) -> None:
    assert "GATEWAYS" not in github.variables_of[""]
    assert done.setup("--yes", *PROD, "--watch-gateway").returncode == 0
    assert github.variables_of[""]["GATEWAYS"] == '["prod"]'
    github.changes.clear()
    assert done.setup("--yes", *PROD).returncode == 0
    assert not github.changes
    github.variables_of[""]["GATEWAYS"] = '["prod", "gone"]'
    assert done.failed() == {"variable GATEWAYS"}


def test_it_makes_exactly_what_the_workflows_read(person: Person, github: GithubApi) -> None:
    """Template updates aside: these need an app or a token of a person."""
    file = person.project / "environments" / "prod.yml"
    file.write_text(f"{file.read_text('utf-8')}timeouts: {{capacity: 3600}}\n", "utf-8")
    assert person.setup("--yes", *ALL, "--main", "--watch-gateway").returncode == 0
    workflows = (person.project / ".github" / "workflows").glob("*.yml")
    used = set(re.findall(r"\b(vars|secrets)\.([A-Z_]+)", "".join(path.read_text("utf-8") for path in workflows)))
    made = {("vars", name) for found in github.variables_of.values() for name in found}
    made |= {("secrets", name) for found in github.secrets_of.values() for name in found}
    assert made == {(kind, name) for kind, name in used if not name.startswith("TEMPLATE_")}
    assert github.variables_of[""]["SERVICE_MINUTES"] == "135"


def test_a_list_with_an_environment_that_does_not_exist_is_found(done: Person) -> None:
    done.github.variables_of[""]["ENVIRONMENTS"] = '["prod", "staging"]'
    assert done.failed() == {"variable ENVIRONMENTS"}
    done.github.variables_of[""]["ENVIRONMENTS"] = "prod"
    assert done.failed() == {"variable ENVIRONMENTS"}


REMOVAL = """
import sys
from account import github
from deploy import environments
for step in github.removal_steps(environments.load("prod"), lambda line: None):
    step.carry_out()
"""


def test_removal_deletes_what_belongs_to_the_environment_and_nothing_else(done: Person, github: GithubApi) -> None:
    github.variables_of[""] |= {"ENVIRONMENTS": '["dev", "prod"]', "MAIN_ENVIRONMENT": "prod", "OTHER": "1"}
    github.variables_of[""]["GATEWAYS"] = '["prod"]'
    github.put_environment("dev")
    assert done.run(sys.executable, "-c", REMOVAL).returncode == 0
    assert github.environments.keys() == {"dev"}
    assert github.variables_of[""] == {"ENVIRONMENTS": '["dev"]', "OTHER": "1"}
    assert len(github.rulesets) == 1
    github.changes.clear()
    assert done.run(sys.executable, "-c", REMOVAL).returncode == 0
    assert not github.changes


@pytest.mark.parametrize(
    ("created", "subject"),
    [
        ("2026-08-01T00:00:00Z", "repo:acme@1234567/demo@890123456:environment:prod"),
        ("2024-01-01T00:00:00Z", "repo:acme/demo:environment:prod"),
    ],
)
def test_the_subject_for_aws(person: Person, github: GithubApi, created: str, subject: str) -> None:
    github.created = created
    asked = "from account import github; print(github.repository().subject('prod'))"
    assert person.run(sys.executable, "-c", asked).stdout.strip() == subject
