"""`inv size --config organisation/name`, with a hub that answers on this machine as Hugging Face does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.rendered import Bake

CONFIG = {"num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32}
CONFIG |= {"num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072}
INDEX = {"metadata": {"total_size": 16060522496}, "weight_map": {}}
TOKEN = "hf_of_an_account_that_accepted"


FILES = {"meta/gated/config.json": CONFIG, "meta/gated/model.safetensors.index.json": INDEX}
FILES |= {"some/open/config.json": CONFIG}


class Hub(BaseHTTPRequestHandler):
    """A gated model in shards, and an open one in a single file."""

    def do_GET(self) -> None:
        path = self.path.lstrip("/").replace("resolve/main/", "")
        gated = path.startswith("meta/gated/") and self.headers["Authorization"] != f"Bearer {TOKEN}"
        body = json.dumps(FILES.get(path, {"error": "Entry not found"})).encode()
        self.send_response(401 if gated else 200 if path in FILES else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Nothing: its requests are not what a test is about."""


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def inv(project: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DSTACK_", "HF_"))}
    command = [sys.executable, "-m", "invoke", "size", *words]
    return subprocess.run(command, cwd=project, env=inherited | variables, capture_output=True, text=True)


def test_a_gated_model_is_sized_with_a_token_that_is_never_shown(baked: Bake, hub: str) -> None:
    words = ("--config", "meta/gated", "--gpu-memory", "44.4", "--json")
    done = inv(baked(), *words, HF_ENDPOINT=hub, HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["weights_gib"] == round(16060522496 / 2**30, 2)
    assert TOKEN not in done.stdout + done.stderr
    refused = inv(baked(), *words, HF_ENDPOINT=hub)
    assert (refused.returncode, refused.stderr.count("\n")) == (20, 1)
    assert "set HF_TOKEN" in refused.stderr


def test_a_model_without_an_index_is_counted(baked: Bake, hub: str) -> None:
    done = inv(baked(), "--config", "some/open", "--gpu-memory", "44.4", "--json", HF_ENDPOINT=hub)
    assert json.loads(done.stdout)["weights_gib"] == pytest.approx(16060522496 / 2**30, rel=0.01)


@pytest.mark.parametrize(("endpoint", "said"), [(None, "no config.json"), ("http://127.0.0.1:9", "--config FOLDER")])
def test_what_cannot_be_had_is_said_in_one_line(baked: Bake, hub: str, endpoint: str | None, said: str) -> None:
    done = inv(baked(), "--config", "some/missing", "--gpu-memory", "24", HF_ENDPOINT=endpoint or hub)
    assert (done.returncode, done.stderr.count("\n")) == (20, 1)
    assert said in done.stderr


def test_a_service_of_an_unknown_model_says_how_to_size_it(baked: Bake) -> None:
    done = inv(baked(model_id="somebody/Unknown-70B"), "--gpu-memory", "79.18")
    assert (done.returncode, done.stderr.count("\n")) == (20, 1)
    assert "--config somebody/Unknown-70B" in done.stderr
    assert "HF_TOKEN" in done.stderr


def test_common_cards_stand_in_for_a_server_that_does_not_answer(baked: Bake) -> None:
    done = inv(baked(), "--json")
    assert {line["gpu"] for line in json.loads(done.stdout)} >= {"L4", "RTX4090", "L40S", "A100", "H100"}
    assert "not those on offer" in done.stderr
