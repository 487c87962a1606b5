"""`inv` and `inv --list`: the tasks in the order of work."""

from __future__ import annotations

import subprocess
import sys
from itertools import chain

import pytest

from console import listing
from deploy.environments import ROOT
from tasks import ORDER_OF_WORK, namespace


def inv(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `inv …` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "invoke", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_every_task_has_its_place() -> None:
    placed = list(chain.from_iterable(ORDER_OF_WORK.values()))
    assert sorted(placed) == sorted(namespace.task_names)


def test_a_task_without_a_place_is_listed_at_the_end() -> None:
    lines = listing.listing(namespace, {"First deploy": ("deploy", "no.such.task")})
    assert lines[2:4] == ["First deploy:", f"  {'deploy':<15}  Deploy, and wait until the service answers."]
    assert lines[5] == f"{listing.OTHERS}:"
    assert len(lines) == 6 + len(namespace.task_names) - 1


@pytest.mark.parametrize("words", [(), ("--list",), ("-l",)])
def test_the_tasks_are_listed_in_the_order_of_work(words: tuple[str, ...]) -> None:
    done = inv(*words)
    assert (done.returncode, done.stderr) == (0, "")
    names = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert names == list(chain.from_iterable(ORDER_OF_WORK.values()))
    assert [line[:-1] for line in done.stdout.splitlines() if line.endswith(":")] == list(ORDER_OF_WORK)
    assert "Print the variables for dstack's commands and for callers." in done.stdout
    assert all(len(line) <= 120 for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("deploi", "did you mean deploy? "),
        ("stauts", "did you mean status? "),
        ("dns", "did you mean dns.update or dns.show or dns.delete? "),
        ("xyzzy", "`inv` lists the tasks"),
    ],
)
def test_a_mistyped_task_is_answered_with_the_nearest_ones(word: str, meant: str) -> None:
    done = inv(word, "--env", "prod")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: there is no task '{word}'; {meant}")
    assert len(done.stderr.splitlines()) == 1


def test_invokes_own_lists_stay() -> None:
    assert "First deploy" not in inv("--list", "dns").stdout
    assert ".update" in inv("--list", "dns").stdout
    assert '"tasks"' in inv("--list", "--list-format", "json").stdout
    assert "Core options" in inv("--help").stdout
