"""What dstack would say of a service's files, said before it is asked.

| file | what it does |
|---|---|
| files.py | reads YAML, and names file and line of what is wrong |
| checks.py | rules that take no import of dstack |
| schema.py | all rules in one call, before anything is deployed |
| models.py | dstack's own models |
| references.py | `${{ … }}` in documents |
| server_rules.py | what dstack's server refuses late |
| combined.py | what fleet and service say together |
"""

from typing import TYPE_CHECKING

from console.lazy import modules_of

if TYPE_CHECKING:
    from deploy.documents import checks as checks
    from deploy.documents import schema as schema
else:
    __getattr__ = modules_of(__name__)
