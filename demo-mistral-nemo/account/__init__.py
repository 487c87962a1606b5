"""What has to exist around a service, in AWS and on GitHub: looks for it, and makes what belongs to this service.

| file | what it does |
|---|---|
| findings.py | the result of one check of `inv doctor` |
| steps.py | one thing that `inv setup.…` creates, changes or deletes |
"""

from typing import TYPE_CHECKING

from console.lazy import modules_of

if TYPE_CHECKING:
    from account import findings as findings
    from account import steps as steps
else:
    __getattr__ = modules_of(__name__)
