"""What GitHub Actions need on GitHub: looks for it, makes it, deletes it. Everything goes through the command `gh`.

| file | what it does |
|---|---|
| client.py | runs `gh`, and says in one line why it failed |
| repository.py | the repository on GitHub, and its name for AWS (the subject of OIDC) |
| state.py | reads what exists: environments, variables, secrets, rules for tags |
| answers.py | what only a person knows: reviewers, runner, roles, values of secrets |
| parts.py | one part of the setup: how it compares with what exists, as a finding and as a step |
| protection.py | the parts that protect: environments, reviewers, branches and tags |
| variables.py | the parts that are variables |
| secrets.py | the parts that are secrets |
| setup.py | all parts: findings for `inv doctor`, steps for `inv setup.github` |
| removal.py | the steps that delete what belongs to one environment |
"""

from account.github.answers import Answers as Answers
from account.github.removal import removal_steps as removal_steps
from account.github.repository import Repository as Repository
from account.github.repository import name_in_subjects as name_in_subjects
from account.github.repository import repository as repository
from account.github.setup import findings as findings
from account.github.setup import steps as steps
