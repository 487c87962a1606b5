"""Where the numbers come from: capacity/model.json, a folder with a checkpoint, or Hugging Face.

Everything here fails with SETTINGS_INVALID, in one line.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from capacity.model import GIB, Model
from console.connection import Session
from console.errors import ExitCode, Failure
from deploy.environments import ROOT

OWN = ROOT / "capacity" / "model.json"
INDEX = "model.safetensors.index.json"


def read_model(config: str = "", weights_gib: float | None = None) -> Model:
    """The model of `config`: a config.json, its folder, or an id on Hugging Face; without it, this service's.

    The checkpoint's size is `weights_gib`, or that of its safetensors index.
    """
    with refusing(config or OWN.name):
        if config:
            document, index = (_file(config, name) for name in ("config.json", INDEX))
            total = (index.get("metadata") or {}).get("total_size") if index else None  # some indices state none
            published = total / GIB if total else None
        else:
#% if cookiecutter.__pictures
            raise ValueError("a model that draws has no KV cache to size: `inv offers` says what is too small for it")
#% else
            numbers = json.loads(OWN.read_text(encoding="utf-8"))
            document, published = numbers["config"], numbers["weights_gib"]
            if document is None:
                get = f"--config PATH, or from Hugging Face --config {numbers['model']} (HF_TOKEN, if it is gated)"
                raise ValueError(f"no numbers of the model; {get}; paste its config.json under `config` to keep them")
#% endif
        if not isinstance(document, dict):
            raise ValueError("no config.json there" if document is None else "is no JSON object")
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


def _file(config: str, name: str) -> Any:
    """What a JSON file of that model holds; None if there is no such file."""
    path = Path(config)
    if path.exists():
        path = path if path.is_file() and name != INDEX else (path if path.is_dir() else path.parent) / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", config):
        raise ValueError("no such file or folder, and no id on Hugging Face (organisation/name)")
    url = f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co')}/{config}/resolve/main/{name}"
    response = Session(os.environ.get("HF_TOKEN", "")).get(url, timeout=30)
    if response.status_code in (401, 403):
        raise ValueError("Hugging Face does not show it; if it is gated: accept its terms, set HF_TOKEN")
    if response.status_code == 404:
        return None
    response.raise_for_status()
    return response.json()
