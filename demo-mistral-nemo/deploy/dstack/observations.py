"""What the dstack server has seen of a service: events, measurements of its machines, output of its containers."""

import base64
from datetime import datetime

from pydantic import BaseModel


class Target(BaseModel):
    """What an event is about: `type` is e.g. run, job, gateway, instance."""

    type: str
    name: str


class Event(BaseModel):
    """Something that happened. Without an `actor_user`, the dstack server itself did it."""

    id: str
    recorded_at: datetime
    message: str
    actor_user: str | None = None
    targets: list[Target]


class Metric(BaseModel):
    """A series of measurements, the newest first."""

    name: str
    timestamps: list[datetime]
    values: list[float]


class Metrics(BaseModel):
    metrics: list[Metric]


class Written(BaseModel):
    """A piece of a container's output: it may begin and end in the middle of a line."""

    timestamp: datetime
    message: str  # base64

    @property
    def content(self) -> bytes:
        return base64.b64decode(self.message)


class LogPage(BaseModel):
    """Pieces of output. With `next_token`, there are more behind them in the order that was asked for."""

    logs: list[Written]
    next_token: str | None = None
