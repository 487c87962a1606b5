"""What has to exist around a service, in AWS and on GitHub: looks for it, and makes what belongs to this service.

| file | what it does |
|---|---|
| checks.py, findings.py | runs the checks of `inv doctor`; the result of one check |
| aws_checks.py | what `inv doctor` checks in AWS |
| gpu_clouds.py | whether the GPU clouds take the keys in .env, and how much credit is left |
| setup.py | what `inv setup.aws` makes for this service, and `inv setup.remove` deletes |
| steps.py | one thing that `inv setup.…` creates, changes or deletes |
| answers.py | what `inv setup.aws` asks, or takes from flags |
| aws.py | asks AWS, changes something there, explains its refusals |
| ownership.py | tags that say for which service something was made |
| network.py | VPCs, and the subnets that dstack takes for gateways |
| zone.py | the hosted zone |
| security_group.py, group_steps.py | the gateways' security group: reads it, makes it |
| roles.py, role_steps.py | the roles of GitHub's jobs: reads them, makes them |
| files.py | files of this repository that say what the account needs |
| on_github.py | where all of this meets what is on GitHub |
| execution.py | shows the steps of `inv setup.…`, asks, and carries them out |
| github/ | what GitHub Actions need on GitHub: environments, variables, secrets |
| views.py | shows steps |
"""

from typing import TYPE_CHECKING

from console.lazy import modules_of

if TYPE_CHECKING:
    from account import answers as answers
    from account import execution as execution
    from account import findings as findings
    from account import github as github
    from account import on_github as on_github
    from account import setup as setup
    from account import steps as steps
    from account import views as views
else:
    __getattr__ = modules_of(__name__)
