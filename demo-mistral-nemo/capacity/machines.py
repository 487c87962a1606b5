"""A machine that a cloud rents out, with what sizing has to know."""

from typing import Any

from pydantic import BaseModel


class Gpu(BaseModel):
    """One GPU of a machine, as dstack lists it."""

    name: str
    memory_mib: int


class Machine(BaseModel):
    """A machine for a replica. `price` is in USD per hour; `disk_mib` is None when the cloud does not say it."""

    backend: str
    region: str
    price: float
    gpus: list[Gpu]
    disk_mib: int | None = None

    @property
    def gpu(self) -> str:
        """The GPUs for people, e.g. `2x A100 80 GB`."""
        count = f"{len(self.gpus)}x " if len(self.gpus) > 1 else ""
        return f"{count}{self.gpus[0].name} {self.gpus[0].memory_mib / 1024:.0f} GB" if self.gpus else "no GPU"

    def as_json(self) -> dict[str, Any]:
        """Return the machine as `--json` prints it; the price is in USD per hour."""
        return {"cloud": self.backend, "region": self.region, "gpu": self.gpu, "price_per_hour": self.price}
