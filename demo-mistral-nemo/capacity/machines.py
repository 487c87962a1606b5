"""A machine that a cloud rents out: what sizing has to know of it."""

from typing import Any

from pydantic import BaseModel


class Gpu(BaseModel):
    """One GPU of a machine, as dstack lists it."""

    name: str
    memory_mib: int


class Machine(BaseModel):
    """What a replica runs on, or could. `price` in USD per hour; `disk_mib` is None where the cloud does not say."""

    backend: str
    region: str
    price: float
    gpus: list[Gpu]
    disk_mib: int | None = None

    @property
    def gpu(self) -> str:
        """Its GPUs for people, such as `2x A100 80 GB`."""
        count = f"{len(self.gpus)}x " if len(self.gpus) > 1 else ""
        return f"{count}{self.gpus[0].name} {self.gpus[0].memory_mib / 1024:.0f} GB" if self.gpus else "no GPU"

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints of it; the price in USD per hour."""
        return {"cloud": self.backend, "region": self.region, "gpu": self.gpu, "price_per_hour": self.price}
