"""What has to exist around a service, in AWS and on GitHub: looks for it, and makes what belongs to this service.

| file | what it does |
|---|---|
| aws/ | what one service needs in AWS: security group, roles, the VPC of its zone |
| github/ | what GitHub Actions need on GitHub: environments, variables, secrets |
| setup.py | the steps of `inv setup.…` where AWS and GitHub have to fit together |
| steps.py, execution.py | one thing that setup makes; shows the steps, asks, and carries them out |
| checks.py, findings.py | runs the checks of `inv doctor`; the result of one check |
| gpu_clouds.py | whether the GPU clouds take the keys in .env, and how much credit is left |
| files.py | files of this repository that say what the account needs |
| views.py | shows steps |
"""

from typing import TYPE_CHECKING

from console.lazy import modules_of

if TYPE_CHECKING:
    from account import aws as aws
    from account import execution as execution
    from account import findings as findings
    from account import github as github
    from account import setup as setup
    from account import steps as steps
    from account import views as views
else:
    __getattr__ = modules_of(__name__)
