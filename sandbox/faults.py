"""Faults that the emulated clouds show on demand, until they are cleared.

capacity   the cloud has nothing to rent: both refuse to create, Vast.ai lists no offers
error      calls are answered with `status`
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

Kind = Literal["capacity", "error", "slow", "key", "image", "pull", "unready"]
KINDS: tuple[Kind, ...] = get_args(Kind)
GPU_CLOUDS = ("runpod", "vastai")
CLOUDS = (*GPU_CLOUDS, "registry", "catalogue")
_OF_ANY_HOST = ("error", "slow")  # the other kinds are about renting machines, or about images


@dataclass
class Fault:
    """One fault. Raises ValueError, as an instruction, when its fields don't go together."""

    kind: Kind
    cloud: str | None = None  # None: every cloud
    route: str = "*"  # of error and slow: the calls it affects, a glob over "METHOD /path"
    status: int = 500  # of error: the HTTP status
    seconds: float = 0.0  # of slow and pull
    image: str = "*"  # of image: a glob over "repository:tag"
    times: int | None = None  # of error and slow: how many calls more are affected; None: all

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind!r}; choose one of {', '.join(KINDS)}")
        clouds = CLOUDS if self.kind in _OF_ANY_HOST else () if self.kind == "image" else GPU_CLOUDS
        if self.cloud is not None and self.cloud not in clouds:
            allowed = f"one of {', '.join(clouds)}, or none for all" if clouds else "no cloud: it is the registry's"
            raise ValueError(f"the fault {self.kind} can't be on cloud {self.cloud!r}; give {allowed}")
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

    def strike(self, kind: Literal["error", "slow"], cloud: str, method: str, path: str) -> Fault | None:
        """The fault that hits this call; counts down its `times`."""
        call = f"{method} {path}"
        fault = self._find(kind, lambda f: f.cloud in (None, cloud) and fnmatchcase(call, f.route))
        if fault is not None and fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._faults.remove(fault)
        return fault

    def _find(self, kind: Kind, matches: Callable[[Fault], bool]) -> Fault | None:
        return next((fault for fault in reversed(self._faults) if fault.kind == kind and matches(fault)), None)
