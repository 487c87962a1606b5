"""The page on calling the service: each of its examples runs against the engine that the page's service would start."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from PIL import Image

from sandbox.engine.reply import NOTICE
from tests.examples import Example, examples, page, variables_to_set
from tests.rendered import Bake, engine_command
from tests.sandbox.test_engine import engine
from tests.test_rendering import OTHERS

TOKEN = "a-token-that-nobody-may-see"
PICTURES = "Tongyi-MAI/Z-Image-Turbo"
SAID = {  # heading of the example: what it prints, where the stand-in answers
    "curl": NOTICE,
    "Python": NOTICE,
    "Streaming": NOTICE,
    "Tool calls": "weather stand-in\n",
    "JSON that follows a schema": "stand-in\n",
    "LoRA adapters": NOTICE,
}
PRINTED = {  # by kind: the key of the answer that curl prints, and what the example in Python prints
    "embeddings": ("data", r"0\.\d\d A rabbit in winter\n"),
    "reranking": ("results", r"\d\.\d\d The capital of France is Paris\.\n"),
    "transcription": ("text", r"The capital of France is Paris\.\n"),
}
DRAWN = {"curl": ["hare.png"], "Python": ["hare.png", "hare-7.png"]}  # the files that the examples leave, in order


def flags(project: Path, **variables: str) -> list[str]:
    """The service's flags for the engine, without the port."""
    words = engine_command(project, **variables)[3:]
    at = words.index("--port")
    return words[:at] + words[at + 2 :]


def lora_flags(project: Path) -> str:
    """LORA_FLAGS as the page on configuration has readers write them."""
    page = (project / "docs" / "configure.md").read_text("utf-8")
    [block] = re.findall(r"```yaml\n([^`]*LORA_FLAGS[^`]*)```", page)
    return str(yaml.safe_load(block)["service"]["env"]["LORA_FLAGS"])


@pytest.fixture(scope="module")
def chats(baked: Bake) -> Iterator[str]:
    """URL of an engine that was started as the service starts it, with the adapter of the page."""
    served = flags(baked(), LORA_FLAGS=lora_flags(baked()))
    with engine(*served, SANDBOX_TOKEN_SECONDS="0") as (client, _):
        yield str(client.base_url).rstrip("/") + "/v1"


@pytest.fixture(scope="module")
def pictures(baked: Bake) -> Iterator[str]:
    """URL of an engine that draws."""
    served = flags(baked(model_id=PICTURES))
    with engine(*served, "--served-model-name", PICTURES, SANDBOX_TOKEN_SECONDS="0") as (client, _):
        yield str(client.base_url).rstrip("/") + "/v1"


def passed(example: Example, folder: Path, url: str) -> str:
    """What an example prints that ends well and gives its token to no other process's eyes."""
    done = example.run(folder, url, TOKEN)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    arguments = folder / "arguments-of-curl"
    assert arguments.exists() == (example.language == "bash")
    assert not arguments.exists() or TOKEN not in arguments.read_text("utf-8")
    return done.stdout


@pytest.mark.parametrize("heading", SAID)
def test_an_example_gets_an_answer(baked: Bake, chats: str, tmp_path: Path, heading: str) -> None:
    [example] = [one for one in examples(baked()) if one.heading == heading]
    printed = passed(example, tmp_path, chats)
    assert SAID[heading] in (printed if example.language == "python" else text_of_chat(printed))


def text_of_chat(answer: str) -> str:
    """The text in a chat's answer."""
    return str(json.loads(answer)["choices"][0]["message"]["content"])


@pytest.mark.parametrize("heading", DRAWN)
def test_an_example_draws(baked: Bake, pictures: str, tmp_path: Path, heading: str) -> None:
    found = [one for one in examples(baked(model_id=PICTURES)) if one.heading == heading]
    for example, name in zip(found, DRAWN[heading], strict=True):
        passed(example, tmp_path, pictures)
        with Image.open(tmp_path / name) as picture:
            size = re.search(r'(\d+)x(\d+)"', example.code)
            assert size
            assert (picture.format, picture.size) == ("PNG", (int(size[1]), int(size[2])))


def beside_recordings(project: Path, folder: Path) -> Path:
    """A new folder from which the project's recordings have their paths."""
    folder.mkdir()
    (folder / "operate").symlink_to(project / "operate")
    return folder


@pytest.mark.parametrize("model_id", OTHERS)
def test_the_examples_of_another_kind_get_an_answer(baked: Bake, tmp_path: Path, model_id: str) -> None:
    project = baked(model_id=model_id)
    found = examples(project)
    assert [one.heading for one in found] == ["curl", "Python"]
    assert variables_to_set(project) == {"OPENAI_BASE_URL", "OPENAI_API_KEY"}
    with engine(*flags(project), model=model_id, SANDBOX_TOKEN_SECONDS="0") as (client, _):
        url = str(client.base_url).rstrip("/") + "/v1"
        by_curl, by_python = (passed(one, beside_recordings(project, tmp_path / one.heading), url) for one in found)
    key, printed = PRINTED[OTHERS[model_id]]
    assert json.loads(by_curl)[key]
    assert re.search(printed, by_python)


def test_no_example_is_left_out_and_the_page_has_readers_set_what_the_examples_read(baked: Bake) -> None:
    assert [one.heading for one in examples(baked())] == list(SAID)
    assert {one.heading for one in examples(baked(model_id=PICTURES))} == set(DRAWN)
    for project in (baked(), baked(model_id=PICTURES)):
        assert variables_to_set(project) == {"OPENAI_BASE_URL", "OPENAI_API_KEY"}


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """URL of an endpoint that answers by `handler`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


class _CutStream(BaseHTTPRequestHandler):
    """Answers with a stream that ends, without an error, after its first words."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        delta = {"index": 0, "delta": {"content": "Once upon a"}, "finish_reason": None}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_example_of_a_stream_notices_a_stream_that_was_cut(baked: Bake, tmp_path: Path) -> None:
    [example] = [one for one in examples(baked()) if one.heading == "Streaming"]
    with serving(_CutStream) as url:
        done = example.run(tmp_path, url, TOKEN)
    assert done.stdout == "Once upon a\n"
    assert (done.returncode, done.stderr) == (1, "the stream was cut: send the request again\n")


class _Refusal(BaseHTTPRequestHandler):
    """Answers that no replica is there, and counts how often."""

    asked = 0

    def do_POST(self) -> None:
        type(self).asked += 1
        self.send_error(503)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_package_sends_a_request_twice_more_as_the_page_says(baked: Bake, tmp_path: Path) -> None:
    assert "sends a request twice more when the status is 429, or 500 and above" in page(baked())
    [example] = [one for one in examples(baked()) if one.heading == "Python"]
    with serving(_Refusal) as url:
        assert example.run(tmp_path, url, TOKEN).returncode == 1
    assert _Refusal.asked == 3


def test_an_example_that_is_refused_does_not_end_as_if_it_was_answered(baked: Bake, chats: str, tmp_path: Path) -> None:
    for example in examples(baked()):
        if example.heading in ("curl", "Python"):
            done = example.run(tmp_path, f"{chats}/nothing", TOKEN)
            assert done.returncode != 0
            assert TOKEN not in done.stderr
