"""What one service needs in AWS: looks for it, makes it, deletes it.

| file | what it does |
|---|---|
| client.py | asks AWS, changes something there, explains its refusals |
| checks.py | what `inv doctor` checks in AWS |
| setup.py | the steps of `inv setup.aws` and `inv setup.remove` |
| answers.py | what `inv setup.aws` asks, or takes from flags |
| network.py | VPCs, and the subnets that dstack takes for gateways |
| zone.py | the hosted zone |
| security_group.py, group_steps.py | the gateways' security group: reads it, makes it |
| roles.py, role_steps.py | the roles of GitHub's jobs: reads them, makes them |
"""

from typing import TYPE_CHECKING

from console.lazy import modules_of

if TYPE_CHECKING:
    from account.aws import answers as answers
    from account.aws import checks as checks
    from account.aws import setup as setup
else:
    __getattr__ = modules_of(__name__)
