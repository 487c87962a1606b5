"""The workflows of generated repositories, executed."""

import pytest

pytest.register_assert_rewrite("tests.workflows.drift", "tests.workflows.pull_request", "tests.workflows.rollback")
