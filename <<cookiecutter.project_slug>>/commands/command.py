"""What turns a function of an environment into a task."""

from __future__ import annotations

import deploy
from console.command import command_with

# a lambda, because the package is to be imported when a task runs
command = command_with(lambda name: deploy.environments.load(name))  # noqa: PLW0108
command_with_secrets = command_with(lambda name: deploy.environments.load(name), private=True)  # noqa: PLW0108
