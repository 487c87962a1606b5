"""Faults that the emulated clouds, and the dstack server's own answers, show on demand, until they are cleared.

capacity   the cloud has nothing to rent: both refuse to create, Vast.ai lists no offers
error      calls are answered with `status`, by AWS with its error `code`, by the dstack server with `body`
lost       calls are carried out and the answer is lost: the connection is closed
slow       calls are answered `seconds` later
answer     calls to the dstack server are not carried out, and answered with `status`, `body` and `headers`
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

Kind = Literal["capacity", "error", "lost", "slow", "answer", "key", "image", "pull", "unready"]
CallKind = Literal["error", "lost", "slow", "answer"]  # those that hit single calls
KINDS: tuple[Kind, ...] = get_args(Kind)
GPU_CLOUDS = ("runpod", "vastai")
AWS, DSTACK = "aws", "dstack"  # only when named: a fault on all clouds is not on these
CLOUDS = (*GPU_CLOUDS, "registry", "catalogue", AWS, DSTACK)
_CLOUDS_OF: dict[str, tuple[str, ...]] = {
    "error": CLOUDS,
    "slow": CLOUDS,
    "lost": (*GPU_CLOUDS, AWS, DSTACK),
    "answer": (DSTACK,),
    "image": (),
}
_STATUSES: dict[str, tuple[int, range]] = {  # of kinds that answer: the default, and those that are allowed
    "error": (500, range(400, 600)),
    "answer": (200, range(200, 600)),
}


@dataclass
class Fault:
    """One fault. Raises ValueError, as an instruction, when its fields don't go together."""

    kind: Kind
    cloud: str | None = None  # None: every cloud but AWS and the dstack server
    route: str = "*"  # of error, lost, slow, answer: a glob over "METHOD /path" or AWS's "service:Action"
    status: int = 0  # of error and answer: the HTTP status; 0: 500 of an error, 200 of an answer
    code: str | None = None  # of error on AWS: Throttling, ExpiredToken, ...; None: a common one with this status
    seconds: float = 0.0  # of slow and pull
    image: str = "*"  # of image: a glob over "repository:tag"
    times: int | None = None  # of error, lost, slow, answer: how many calls more are affected; None: all
    after: int = 0  # of the same: how many of the calls that match are answered normally first
    body: str | None = None  # of error and answer on the dstack server
    headers: dict[str, str] | None = None  # of the same

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind!r}; choose one of {', '.join(KINDS)}")
        clouds = _CLOUDS_OF.get(self.kind, GPU_CLOUDS)
        if self.cloud is not None and self.cloud not in clouds:
            allowed = f"one of {', '.join(clouds)}, or none for all" if clouds else "no cloud: it is the registry's"
            raise ValueError(f"the fault {self.kind} can't be on cloud {self.cloud!r}; give {allowed}")
        if self.kind in ("lost", "answer") and self.cloud is None:
            raise ValueError(f"the fault {self.kind} is on one cloud alone; give {' or '.join(clouds)}")
        default, allowed_statuses = _STATUSES.get(self.kind, (500, range(1000)))
        self.status = self.status or default
        if self.status not in allowed_statuses:
            allowed = f"{allowed_statuses.start} to {allowed_statuses.stop - 1}"
            raise ValueError(f"an {self.kind} has a status from {allowed}, not {self.status}")
        if self.kind in ("slow", "pull") and self.seconds <= 0:
            raise ValueError(f"the fault {self.kind} needs a number of seconds above 0, not {self.seconds:g}")
        if self.after < 0:
            raise ValueError(f"a fault begins after 0 or more calls, not {self.after}")
        if (self.body is not None or self.headers) and self.cloud != DSTACK:
            raise ValueError(f"a body and headers are of answers of the dstack server; give the cloud {DSTACK}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def on(self, cloud: str) -> bool:
        """Whether `cloud` has it."""
        return self.cloud == cloud or (self.cloud is None and cloud not in (AWS, DSTACK))


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
        return next(self._find(kind, lambda fault: fault.on(cloud)), None)

    def unknown_image(self, image: str) -> bool:
        """Whether a fault hides `image` ("repository:tag")."""
        return any(self._find("image", lambda fault: fnmatchcase(image, fault.image)))

    def strike(self, kind: CallKind, cloud: str, call: str) -> Fault | None:
        """The fault that hits this call, named as Fault.route has it; counts down its `times`.

        A fault that first lets calls pass counts this call as one of them, also when another of its kind hits it.
        """
        hit = None
        for fault in list(self._find(kind, lambda f: f.on(cloud) and fnmatchcase(call, f.route))):
            if fault.after > 0:
                fault.after -= 1
            elif hit is None:
                hit = fault
        if hit is not None and hit.times is not None:
            hit.times -= 1
            if hit.times <= 0:
                self._faults.remove(hit)
        return hit

    def _find(self, kind: Kind, matches: Callable[[Fault], bool]) -> Iterator[Fault]:
        """The newest first."""
        return (fault for fault in reversed(self._faults) if fault.kind == kind and matches(fault))
