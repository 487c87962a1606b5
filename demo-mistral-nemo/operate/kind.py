"""The kind of model that this service serves: it decides what the smoke test asks and what a load test measures."""

from capacity.errors import SizingError
from capacity.served import served_model
from console.errors import ExitCode, Failure


def model_kind() -> str:
    """Return `chat`, `pictures`, `embeddings`, `reranking` or `transcription`, as capacity/model.json says.

    Fails with SETTINGS_INVALID.
    """
    try:
        return served_model().kind
    except SizingError as error:
        raise Failure(ExitCode.SETTINGS_INVALID, error.problem, error.remedy) from None
