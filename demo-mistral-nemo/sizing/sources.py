"""Where the numbers come from: sizing/model.json, a folder with a checkpoint, or Hugging Face.

Everything here fails with SETTINGS_INVALID, in one line.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from pydantic import ValidationError

from deploy.environments import ROOT
from deploy.errors import ExitCode, Failure
from sizing.model import GIB, Model

OWN = ROOT / "sizing" / "model.json"
INDEX = "model.safetensors.index.json"


def read_model(config: str = "", weights_gib: float | None = None) -> Model:
    """The model of `config`: a config.json, its folder, or an id on Hugging Face; without it, this service's.

    The checkpoint's size is `weights_gib`, or that of its safetensors index.
    """
    with refusing(config or OWN.name):
        if not config:
            numbers = _json(OWN)
            document, published = numbers["config"], numbers["weights_gib"]
            if document is None:
                get = f"--config PATH, or from Hugging Face --config {numbers['model']} (HF_TOKEN, if it is gated)"
                raise ValueError(f"no numbers of the model; {get}; paste its config.json under `config` to keep them")
        elif Path(config).exists():
            document, published = _folder(Path(config))
        else:
            document, published = _hub(config)
        model = Model.of(document, weights_gib or published)
        model.weights_gib()  # a checkpoint in an unknown format is refused here
        return model


def gib(flag: str, given: str) -> float:
    with refusing(flag):
        if not 0 < float(given) < 10_000:
            raise ValueError(f"{given} is no size in GiB")
        return float(given)


@contextmanager
def refusing(where: str) -> Iterator[None]:
    """What is wrong with values from `where`, as a Failure."""
    try:
        yield
        return
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        given = "" if first["type"] == "missing" else f" {first['input']!r:.60}"
        problem = f"{first['loc'][0]}{given}: {first['msg']}"
    except OSError as error:  # of requests, too
        problem = f"can't be read ({type(error).__name__}); config.json and {INDEX} can be given as --config FOLDER"
    except ValueError as error:
        problem = str(error)
    except (AttributeError, LookupError, TypeError) as error:
        problem = f"has another form than sizing knows ({type(error).__name__}: {error})"
    raise Failure(ExitCode.SETTINGS_INVALID, f"{where}: {problem}")


def _folder(path: Path) -> tuple[Any, float | None]:
    path = path / "config.json" if path.is_dir() else path
    index = path.with_name(INDEX)
    if index.is_file():
        return _json(path), _json(index)["metadata"]["total_size"] / GIB
    return _json(path), sum(file.stat().st_size for file in path.parent.glob("*.safetensors")) / GIB or None


def _json(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError("is no JSON object")
    return document


def _hub(model: str) -> tuple[Any, float | None]:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise ValueError("no such file or folder, and no id on Hugging Face (organisation/name)")
    config, index = (_fetch(f"{model}/resolve/main/{name}") for name in ("config.json", INDEX))
    if config is None:
        raise ValueError("Hugging Face has no config.json of such a model")
    return config, index["metadata"]["total_size"] / GIB if index else None


def _fetch(path: str) -> Any:
    """A JSON file on Hugging Face, None if there is no such file."""
    token, host = os.environ.get("HF_TOKEN"), os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    response = requests.get(f"{host}/{path}", headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=30)
    if response.status_code in (401, 403):
        raise ValueError("Hugging Face does not show it; if it is gated: accept its terms, set HF_TOKEN")
    return response.json() if response.ok else None
