"""Faults that the emulated clouds show on demand, until they are cleared.

capacity   the cloud has nothing to rent: both refuse to create, Vast.ai lists no offers
error      calls are answered with `status`, by AWS with its error `code`
lost       calls are carried out and the answer is lost: AWS closes the connection
slow       calls are answered `seconds` later
key        the API key is revoked: calls are answered with 401
image      the container registry doesn't know the images that match `image`
pull       pods created from now on need `seconds` to pull their image; until then they have no address
unready    pods created from now on never finish loading their model
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

Kind = Literal["capacity", "error", "lost", "slow", "key", "image", "pull", "unready"]
KINDS: tuple[Kind, ...] = get_args(Kind)
GPU_CLOUDS = ("runpod", "vastai")
AWS = "aws"  # only when named: a fault on all clouds is not on AWS
CLOUDS = (*GPU_CLOUDS, "registry", "catalogue", AWS)
_CLOUDS_OF: dict[str, tuple[str, ...]] = {"error": CLOUDS, "slow": CLOUDS, "lost": (AWS,), "image": ()}


@dataclass
class Fault:
    """One fault. Raises ValueError, as an instruction, when its fields don't go together."""

    kind: Kind
    cloud: str | None = None  # None: every cloud but AWS
    route: str = "*"  # of error, lost, slow: calls it affects, a glob over "METHOD /path" or AWS's "service:Action"
    status: int = 500  # of error: the HTTP status
    code: str | None = None  # of error on AWS: Throttling, ExpiredToken, ...; None: a common one with this status
    seconds: float = 0.0  # of slow and pull
    image: str = "*"  # of image: a glob over "repository:tag"
    times: int | None = None  # of error, lost, slow: how many calls more are affected; None: all

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind!r}; choose one of {', '.join(KINDS)}")
        clouds = _CLOUDS_OF.get(self.kind, GPU_CLOUDS)
        if self.cloud is not None and self.cloud not in clouds:
            allowed = f"one of {', '.join(clouds)}, or none for all" if clouds else "no cloud: it is the registry's"
            raise ValueError(f"the fault {self.kind} can't be on cloud {self.cloud!r}; give {allowed}")
        if self.kind == "lost" and self.cloud is None:
            raise ValueError("the fault lost is AWS's alone; give the cloud aws")
        if self.kind == "error" and not 400 <= self.status <= 599:
            raise ValueError(f"an error has a status from 400 to 599, not {self.status}")
        if self.kind in ("slow", "pull") and self.seconds <= 0:
            raise ValueError(f"the fault {self.kind} needs a number of seconds above 0, not {self.seconds:g}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Faults:
    """The faults that are in force; the newest that applies wins."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self, kind: str | None = None, cloud: str | None = None) -> int:
        """End the faults of `kind` and `cloud` (None: of any), and return how many those were."""
        kept = [f for f in self._faults if not (kind in (None, f.kind) and cloud in (None, f.cloud))]
        ended = len(self._faults) - len(kept)
        self._faults = kept
        return ended

    def active(self, kind: Kind, cloud: str) -> Fault | None:
        """The fault of `kind` that `cloud` has."""
        return self._find(kind, lambda fault: fault.cloud in (None, cloud))

    def unknown_image(self, image: str) -> bool:
        """Whether a fault hides `image` ("repository:tag")."""
        return self._find("image", lambda fault: fnmatchcase(image, fault.image)) is not None

    def strike(self, kind: Literal["error", "lost", "slow"], cloud: str, call: str) -> Fault | None:
        """The fault that hits this call, named as Fault.route has it; counts down its `times`."""
        fault = self._find(kind, lambda f: f.cloud in (None, cloud) and fnmatchcase(call, f.route))
        if fault is not None and fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._faults.remove(fault)
        return fault

    def _find(self, kind: Kind, matches: Callable[[Fault], bool]) -> Fault | None:
        return next((fault for fault in reversed(self._faults) if fault.kind == kind and matches(fault)), None)
