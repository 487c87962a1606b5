"""Checks the files of a service before dstack is asked.

| file | what it does |
|---|---|
| problems.py | what is wrong with a document: where, what, what to write instead |
| files.py | reads YAML and names the file and the line of a mistake |
| checks.py | rules that need no import of dstack |
| schema.py | all rules in one call, before a deploy |
| models.py | dstack's own models |
| references.py | `${{ … }}` in documents |
| server_rules.py | rules that dstack's server has beyond its models |
| combined.py | the limits of service and fleet together |
| monitor.py | brings engine/monitor.py into the service's `env` |
"""

from typing import TYPE_CHECKING

from console.lazy import modules_of

if TYPE_CHECKING:
    from deploy.documents import checks as checks
    from deploy.documents import schema as schema
else:
    __getattr__ = modules_of(__name__)
