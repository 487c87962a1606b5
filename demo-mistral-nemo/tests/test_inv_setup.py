"""`inv setup.…` and `inv doctor` in an account: what they ask, make, keep and delete."""

from __future__ import annotations

import pytest
from person import Person
from stand_in.aws import PROVIDER
from stand_in.route53 import VPC

from console.errors import ExitCode

PROD = ("--env", "prod")
SETUP = ("setup.aws", "--repository", "acme@1/nemo@2", *PROD)
CHECKS = ["settings", "placeholders", "server", "token", "clouds", "secrets", "GitHub"]  # of an environment without AWS
MADE = ["CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "CreateOpenIDConnectProvider"]
MADE += ["CreateRole", "PutRolePolicy", "PutRolePolicy", "CreateRole", "PutRolePolicy"]  # records, plan


def asking(person: Person) -> str:
    """Let the file be as it is rendered. Return it."""
    path = person.folder / "environments" / "prod.yml"
    path.write_text("# ours\n" + path.read_text("utf-8").replace(VPC, "vpc-REPLACE"), "utf-8")
    return path.read_text("utf-8")


def test_setup_asks_for_the_vpc_and_makes_everything_once(person: Person) -> None:
    before = asking(person)
    done = person.inv(*SETUP, typed=f"{VPC}\n10.9.0.0/16\n\ny\n")  # callers, then the server's default
    assert done.code == 0, done.errors
    assert person.records.made == MADE
    assert (person.folder / "environments" / "prod.yml").read_text("utf-8") == before.replace("vpc-REPLACE", VPC)
    rules = {rule["FromPort"]: rule["IpRanges"] for rule in person.records.groups[0]["IpPermissions"]}
    callers = [{"CidrIp": "10.9.0.0/16"}]
    assert rules[22] == [{"CidrIp": "10.0.0.0/16"}]
    assert all(ranges == callers for port, ranges in rules.items() if port != 22)
    again = person.inv("setup.aws", *PROD)
    assert (again.code, person.records.made) == (0, MADE), again.errors


def test_doctor_is_content_with_what_setup_made(person: Person) -> None:
    assert person.inv(*SETUP, "--yes").code == 0
    done = person.inv("doctor", "--json", *PROD)
    assert done.code == 0, done.errors
    assert [one["check"] for one in done.json if one["ok"] is not True] == ["name", "GitHub"]
    assert not person.dstack.changes


def test_doctor_lists_all_that_is_missing_and_ends_with_the_first(person: Person) -> None:
    person.dstack.clouds = ["runpod"]
    done = person.inv("doctor", *PROD)
    assert done.code == ExitCode.CLOUD_MISSING
    for missing in ("no keys for", "no security group", "no OpenID Connect provider", "no role"):
        assert missing in done.output
    assert done.output.count("fix: ") >= 4
    assert "5 checks failed" in done.errors


def test_doctor_needs_no_aws_without_a_gateway(person: Person) -> None:
    person.records.denied = True
    done = person.inv("doctor", "--json")
    assert done.code == 0, done.errors
    assert [one["check"] for one in done.json] == CHECKS
    nothing = person.inv("setup.aws")
    assert (nothing.code, person.records.made) == (0, [])
    assert "environments/dev.yml has no gateway there, so the service needs nothing" in nothing.output
    assert "nothing to do" in nothing.errors


def test_a_missing_permission_of_doctor_is_named_and_no_failure(person: Person) -> None:
    assert person.inv(*SETUP, "--yes").code == 0
    person.records.refusing = {"GetRole": "AccessDenied"}
    done = person.inv("doctor", *PROD)
    assert done.code == 0, done.errors
    assert "role dns: not checked: your AWS user or role lacks iam:GetRole" in done.output


@pytest.mark.parametrize("code", ["AccessDenied", "Throttling", "ExpiredToken"])
def test_a_refusal_in_the_middle_is_one_line_and_the_next_run_continues(person: Person, code: str) -> None:
    person.records.refusing = {"PutRolePolicy": code}
    done = person.inv(*SETUP, "--yes")
    assert done.code == ExitCode.ACCOUNT_REFUSED
    assert "Traceback" not in done.errors
    assert f"({code})" in done.errors
    assert "running it again continues" in done.errors
    person.records.refusing = {}
    person.records.made.clear()
    assert person.inv(*SETUP, "--yes").code == 0
    assert person.records.made == ["PutRolePolicy", "PutRolePolicy", "CreateRole", "PutRolePolicy"]


def test_ctrl_c_in_the_middle_is_continued(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(asked: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(person.records, "_create_role", interrupted)
        done = person.inv(*SETUP, "--yes")
    assert done.code == ExitCode.INTERRUPTED
    assert person.inv(*SETUP, "--yes").code == 0
    assert len(person.records.roles) == 2


def test_what_others_made_is_neither_changed_nor_deleted(person: Person) -> None:
    assert person.inv(*SETUP, "--yes").code == 0
    for role in person.records.roles.values():
        role["Tags"] = [{"Key": "created-by", "Value": "ai-service"}, {"Key": "service", "Value": "main/other"}]
    person.records.made.clear()
    done = person.inv("setup.aws", "--repository", "acme/other", "--yes", *PROD)
    assert (done.code, person.records.made) == (0, []), done.errors
    assert done.output.count(" keep ") == 2
    assert "not repo:acme/other:environment:prod" in done.output
    assert person.inv("setup.remove", "--yes", *PROD).code == 0
    assert person.records.made == ["DeleteSecurityGroup"]


def test_remove_asks_and_then_deletes_only_what_was_made(person: Person) -> None:
    assert person.inv(*SETUP, "--yes").code == 0
    person.records.made.clear()
    assert person.inv("setup.remove", *PROD, typed="n\n").code == ExitCode.DECLINED
    assert person.inv("setup.remove", "--dry-run", *PROD).code == 0
    assert person.records.made == []
    done = person.inv("setup.remove", *PROD, typed="y\n")
    assert done.code == 0, done.errors
    assert (person.records.roles, person.records.groups) == ({}, [])
    assert person.records.providers == [PROVIDER]
    assert "keep  OIDC provider" in done.output


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--vpc", "vpc-1"), ExitCode.ACCOUNT_INCOMPLETE),
        (("--server-cidr", "10.0.0.0/99"), ExitCode.SETTINGS_INVALID),
        (("--caller-cidr", "::/0"), ExitCode.SETTINGS_INVALID),
        (("--repository", "acme"), ExitCode.SETTINGS_INVALID),
    ],
)
def test_bad_answers_are_refused_before_anything_is_made(
    person: Person, words: tuple[str, ...], code: ExitCode
) -> None:
    done = person.inv(
        "setup.aws", "--yes", *(("--repository", "a/b") if "--repository" not in words else ()), *words, *PROD
    )
    assert (done.code, person.records.made) == (code, [])
    assert done.errors.count("\n") == 1


def test_nobody_to_ask_is_one_line(person: Person) -> None:
    asking(person)
    person.records.vpcs.append({"VpcId": "vpc-2", "CidrBlock": "10.2.0.0/16"})
    done = person.inv(*SETUP, "--yes")
    assert (done.code, person.records.made) == (ExitCode.DECLINED, [])
    assert "--vpc" in done.errors
    assert "vpc-2 (10.2.0.0/16)" in done.errors
    assert person.inv("setup.aws", "--vpc", VPC, "--yes", *PROD).code == ExitCode.DECLINED  # the repository


def test_the_printed_commands_change_nothing_here(person: Person) -> None:
    done = person.inv(*SETUP, "--print")
    assert (done.code, person.records.made) == (0, [])
    assert sum(line.startswith(("aws ", "GroupId=$(aws ")) for line in done.output.splitlines()) == len(MADE)


def test_another_environment_has_roles_and_names_of_its_own(person: Person) -> None:
    text = (person.folder / "environments" / "prod.yml").read_text("utf-8")
    (person.folder / "environments" / "staging.yml").write_text(text, "utf-8")
    assert person.inv("setup.aws", "--repository", "acme@1/nemo@2", "--yes", "--env", "staging").code == 0
    name = person.environment("staging").run_name
    assert sorted(person.records.roles) == [f"{name}-dns", f"{name}-plan"]
    assert ":environment:staging-plan" in str(person.records.roles[f"{name}-plan"])
    assert f"_owner.{name}." in str(person.records.policies[f"{name}-dns"])
