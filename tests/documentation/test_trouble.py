"""Each proof that what-can-go-wrong.md names is a test."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.rendered import ROOT

TROUBLE = (ROOT / "docs" / "what-can-go-wrong.md").read_text("utf-8")


@pytest.mark.slow
def test_every_proof_of_what_is_done_about_trouble_is_a_test() -> None:
    """One collection for all of them: importing all that the tests import takes seconds."""
    commands = sorted(set(re.findall(r"`pytest (tests/[^`\n]+)`", TROUBLE)))
    proofs = [(paths.split(), word) for paths, _, word in (command.partition(" -k ") for command in commands)]
    assert len(proofs) > 10
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    named = sorted({path for paths, _ in proofs for path in paths})
    done = subprocess.run([*collect, *named], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    tests = [line for line in done.stdout.splitlines() if "::" in line]
    for paths, word in proofs:
        for path in paths:
            assert any(test.startswith(path) and word in test for test in tests), (path, word)


def test_every_proof_in_a_generated_repository_is_one_of_its_tests() -> None:
    named = set(re.findall(r"`tests/(test_\w+\.py)`", TROUBLE))
    assert len(named) > 2
    assert named <= {path.name for path in (ROOT / "demo-mistral-nemo" / "tests").iterdir()}
