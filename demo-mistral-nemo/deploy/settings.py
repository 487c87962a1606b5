"""The keys of an environment's file, as they are written."""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from console.errors import Failure
from deploy.documents.files import invalid, read


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Server(_Strict):
    """The dstack server. Its token is DSTACK_TOKEN, from the shell or .env."""

    url: str | None = None  # None: DSTACK_SERVER_URL
    project: str


class Timeouts(_Strict):
    """How long a deploy waits, in seconds."""

    capacity: int = Field(default=900, ge=1)  # for a machine of a cloud
    gateway: int = Field(default=600, ge=1)  # for the gateway's instance to run
    ready: int = Field(default=2700, ge=1)  # from the machine until probes pass: image, weights, start of the engine
    stop: int = Field(default=600, ge=1)  # for a run to end, and for the clouds to release its machines


class Dns(_Strict):
    """The hosted zone of the service's record. Its name is the gateway's `domain`."""

    vpc_id: str | None = None  # the VPC of the private zone; None: the zone is public


class Alarms(_Strict):
    """The alarms of the gateway's instances."""

    topic: str | None = None  # the SNS topic that they tell; None: nobody, and their states are in CloudWatch


class EnvironmentFile(_Strict):
    """One file of environments/. docs/reference.md has every key."""

    server: Server
    protected: bool = False
    recovery: Literal["manual", "automatic"] = "manual"  # automatic: `inv gateway.recover` needs no terminal
    max_price_per_hour: Annotated[float, Field(gt=0)] | None = None  # USD, of one replica's machine
    timeouts: Timeouts = Timeouts()
    gateway: dict[str, Any] | None = None  # None: requests pass through the dstack server
    dns: Dns | None = None  # None: no records are made
    alarms: Alarms | None = None  # None: nothing watches the gateway's instances
    fleet: dict[str, Any] = {}
    service: dict[str, Any] = {}


def read_settings(path: Path) -> EnvironmentFile:
    """Return an environment file as it is written. Fails with SETTINGS_INVALID."""
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yml"))) or "none"
        raise invalid(path, "does not exist", f"choose an environment with --env NAME; there are: {known}")
    try:
        return EnvironmentFile.model_validate(read(path))
    except ValidationError as error:
        raise _refusal(path, error.errors(include_url=False)[0]) from None


def _refusal(path: Path, error: Any) -> Failure:
    """Return what one of pydantic's errors means in an environment's file."""
    key, last = ".".join(map(str, error["loc"])), str(error["loc"][-1])
    remedy = "docs/reference.md, Environment keys, has every key"
    if error["type"] == "extra_forbidden":
        models = (EnvironmentFile, Server, Timeouts, Dns, Alarms)
        near = get_close_matches(last, [name for model in models for name in model.model_fields], n=1)
        return invalid(path, f"{key}: an environment has no such key", f"did you mean {near[0]}?" if near else remedy)
    if error["type"] == "missing":
        return invalid(path, f"{key}: is missing", remedy)
    if error["loc"][0] == "timeouts":
        remedy = "write seconds, e.g. 900 for 15 minutes"
    return invalid(path, f"{key}: {error['msg']}", remedy)
