"""Starts tasks, talks to people, ends tasks. Nothing here knows what a service is.

| file | what it does |
|---|---|
| command.py | makes a task of `inv` from a function over an environment |
| listing.py | shows the tasks in the order of work |
| invocation.py | checks what was typed after `inv` |
| ending.py | ends a task with one line and an exit code |
| errors.py | the exit codes, and the exception that carries one |
| remedies.py | makes the commands in messages act on the environment |
| terminal.py | writes progress, results, and the page of a GitHub workflow |
| views.py | shows an error, JSON, a table |
| prompts.py | asks for a value, a code, a yes |
| variables.py | reads .env files |
| connection.py | HTTP sessions that send one token to one host |
| lazy.py | imports the modules of a package late |
"""

from typing import TYPE_CHECKING

from console.lazy import modules_of

if TYPE_CHECKING:
    from console import command as command
    from console import errors as errors
    from console import prompts as prompts
    from console import terminal as terminal
    from console import views as views
else:
    __getattr__ = modules_of(__name__)
