"""What `inv` does to this service, one subject a module; tasks.py says it in sentences.

Modules are imported when first used, so that `inv --list` and shell completion stay fast.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy import api as api
    from deploy import dns as dns
    from deploy import doctor as doctor
    from deploy import environments as environments
    from deploy import errors as errors
    from deploy import gateways as gateways
    from deploy import local_server as local_server
    from deploy import output as output
    from deploy import plans as plans
    from deploy import rollout as rollout
    from deploy import smoke as smoke
    from deploy import status as status
else:

    def __getattr__(name: str) -> ModuleType:
        if name.startswith("__"):
            raise AttributeError(name)
        return import_module(f"{__name__}.{name}")
