"""What `inv` does to this service, one subject a module; tasks.py says it in sentences.

Modules are imported when first used, so that `inv --list` and shell completion stay fast.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["api", "billing", "dns", "doctor", "environments", "errors", "existing", "gateways", "guards", "output"]
__all__ += ["plans", "rollout", "schema", "server", "smoke", "status"]

if TYPE_CHECKING:
    from deploy import (
        api,
        billing,
        dns,
        doctor,
        environments,
        errors,
        existing,
        gateways,
        guards,
        output,
        plans,
        rollout,
        schema,
        server,
        smoke,
        status,
    )
else:

    def __getattr__(name: str) -> ModuleType:
        if name.startswith("__"):
            raise AttributeError(name)
        return import_module(f"{__name__}.{name}")
