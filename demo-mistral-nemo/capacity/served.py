"""This service's own model, as capacity/model.json describes it."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat

from capacity.errors import errors_at

PATH, NAME = Path(__file__).with_name("model.json"), "capacity/model.json"


class ServedModel(BaseModel):
    """The model by its Hugging Face id. Sizes are in GiB; None when they are not known.

    `kind` decides what the smoke test asks and what a load test measures. `config` is the model's config.json. It is
    None for a model that draws, and for a model that was not known when this repository was generated. `picture_gib`:
    the GPU memory that one picture of 1024 x 1024 takes, with the weights.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["chat", "pictures", "embeddings", "reranking", "transcription"] = "chat"
    model: str
    config: dict[str, Any] | None = None
    weights_gib: PositiveFloat | None = None
    picture_gib: PositiveFloat | None = None


def served_model() -> ServedModel:
    """Read model.json. Raises SizingError when it can't be read or has another form."""
    with errors_at(NAME):
        return ServedModel.model_validate_json(PATH.read_text(encoding="utf-8"))
