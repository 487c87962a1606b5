"""One failed check stops only those that need it."""

from __future__ import annotations

from account.aws.client import Refused
from account.checks import Check, NotCheckedError, findings
from console.errors import ExitCode, Failure


def fails() -> str:
    raise Failure(ExitCode.SETTINGS_INVALID, "wrong", "correct it")


def unknown() -> str:
    raise NotCheckedError("nobody knows")


def denied() -> str:
    raise Refused("AWS refused", "ask", "ec2:DescribeVpcs")


def no_answer() -> str:
    raise Refused("AWS did not answer", "wait")


def test_checks_go_on_after_a_failure_and_skip_what_needs_it() -> None:
    found = list(
        findings(
            [
                Check("bad", fails),
                Check("after", lambda: "never", ("bad", "absent")),
                Check("after that", lambda: "never", ("after",)),
                Check("unknown", unknown),
                Check("denied", denied),
                Check("away", no_answer),
                Check("fine", lambda: "all right", ("absent",)),
            ]
        )
    )
    assert [(one.check, one.ok) for one in found] == [
        ("bad", False),
        ("after", None),
        ("after that", None),
        ("unknown", None),
        ("denied", None),
        ("away", False),
        ("fine", True),
    ]
    assert found[0].as_json() == {"check": "bad", "ok": False, "text": "wrong", "remedy": "correct it"}
    assert found[1].text == "not checked: needs bad"
    assert "ec2:DescribeVpcs" in found[4].text
    assert found[5].failure
    assert found[5].failure.code == ExitCode.ACCOUNT_REFUSED
