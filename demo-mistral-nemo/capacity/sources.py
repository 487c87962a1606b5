"""Reads a model's numbers: from this service's model.json, a folder with a checkpoint, or Hugging Face."""

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from capacity.encoders import TEXT_ENCODERS
from capacity.errors import INDEX, SizingError, errors_at
from capacity.flags import Flags
from capacity.model import GIB, Model
from capacity.quantization import from_modelopt
from capacity.served import NAME, ServedModel, served_model
from capacity.states import states
from capacity.weights import weights_gib as counted_gib
from console.connection import Session

HUB_SECONDS = 30.0
SENTENCES = "sentence_bert_config.json"  # where an encoder may have another limit for its texts
QUANTISED = "hf_quant_config.json"  # where NVIDIA's checkpoints may say alone that they are quantised
DRAWS = "a model that draws has no KV cache to size"
# encoders and others with weights of forms that sizing does not know, by the `model_type` of config.json
NOT_SIZED = {"distilbert", "modernbert", "nomic_bert", "new", "mpnet", "albert", "deberta", "deberta-v2", "electra"}
NOT_SIZED |= {"xlm", "jina_bert", "gte", "esm", "megatron-bert", "xlm-roberta-xl", "eurobert", "ernie", "roformer"}
NOT_SIZED |= {"clip", "siglip", "siglip2", "t5", "mt5", "umt5", "bart", "mbart", "pegasus", "m2m_100"}
NOT_SIZED |= {"gpt_neox", "falcon", "bloom", "mpt", "opt", "gpt2", "gpt_bigcode"}
UNKNOWN = "the model's config.json is missing in it"


def read_model(config: str = "", weights_gib: float | None = None) -> Model:
    """Return the model of `config`: a config.json, its folder, or an id on Hugging Face. Default: this service's model.

    The checkpoint's size is `weights_gib`, or the size in its safetensors index. Raises SizingError.
    """
    served = None if config else served_model()
    with errors_at(config or NAME):
        document, published_gib = _served(served) if served else _published(config)
        if not isinstance(document, dict):
            problem = "has no config.json" if document is None else "is no JSON object"
            raise SizingError(problem, "give a config.json, its folder, or an id on Hugging Face as --config")
        if (kind := document.get("model_type", "")) in NOT_SIZED:
            remedy = "take a card with room for twice its weights; `inv offers` shows the machines"
            raise SizingError(f"sizing does not know models of the type {kind}", remedy)
        model = Model.from_config(document, weights_gib or published_gib)
        states(model, Flags.model_validate({}))  # states and a checkpoint of an unknown form are refused here
        counted_gib(model)
        return model


def size_in_gib(flag: str, given: str) -> float | None:
    """Return the number that was given for `flag`; None when none was. Raises SizingError."""
    if not given:
        return None
    with errors_at(flag):
        number = 0.0
        with suppress(ValueError):
            number = float(given)
        if not 0 < number < 10_000:
            raise SizingError(f"{given} is no size in GiB", "give a number such as 23.5")
        return number


def _served(served: ServedModel) -> tuple[Any, float | None]:
    """Return the config.json and the checkpoint's GiB of this service's model."""
    if served.kind == "pictures":
        raise SizingError(DRAWS, "`inv offers` says what is too small for it")
    if served.config is None:
        hub = f"--config {served.model} (set HF_TOKEN if it is gated)"
        raise SizingError(UNKNOWN, f"give --config PATH, or {hub}, or paste the config.json under `config`")
    return served.config, served.weights_gib


def _published(config: str) -> tuple[Any, float | None]:
    """Return the config.json and the checkpoint's GiB of another model."""
    document, index = _file(config, "config.json"), _file(config, INDEX)
    if isinstance(document, dict) and document.get("model_type") in TEXT_ENCODERS:
        sentences = _file(config, SENTENCES) or {}
        document |= {"model_max_length": sentences.get("max_seq_length")}
    quantised = isinstance(document, dict) and not document.get("quantization_config") and _file(config, QUANTISED)
    if quantised:
        document = document | {"quantization_config": from_modelopt(quantised)}
    total = (index.get("metadata") or {}).get("total_size") if index else None  # some indices have none
    return document, total / GIB if total else None


def _file(config: str, name: str) -> Any:
    """Return the content of a JSON file of that model; None if there is no such file."""
    path = Path(config)
    if not path.exists():
        return _download(config, name)
    path = path if path.is_file() and name == "config.json" else (path if path.is_dir() else path.parent) / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _download(model_id: str, name: str) -> Any:
    """Return the content of a JSON file of a model on Hugging Face; None if there is no such file."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model_id):
        remedy = "give a config.json, its folder, or an id on Hugging Face: organisation/name"
        raise SizingError("is no file, no folder, and no id on Hugging Face (organisation/name)", remedy)
    url = f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co')}/{model_id}/resolve/main/{name}"
    response = Session(os.environ.get("HF_TOKEN", "")).get(url, timeout=HUB_SECONDS)
    if response.status_code in (401, 403):
        raise SizingError("Hugging Face refuses to show it", "if it is gated, accept its terms and set HF_TOKEN")
    if response.status_code == 404:
        return None
    response.raise_for_status()
    return response.json()
