"""Each proof that what-can-go-wrong.md names is a test."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.rendered import ROOT

TROUBLE = (ROOT / "docs" / "what-can-go-wrong.md").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("words", sorted(set(re.findall(r"pytest (tests/[^`\n]+)", TROUBLE))))
def test_every_proof_of_what_is_done_about_trouble_is_a_test(words: str) -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *words.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_proof_in_a_generated_repository_is_one_of_its_tests() -> None:
    named = set(re.findall(r"`tests/(test_\w+\.py)`", TROUBLE))
    assert len(named) > 2
    assert named <= {path.name for path in (ROOT / "demo-mistral-nemo" / "tests").iterdir()}
