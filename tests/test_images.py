"""What is known of vLLM's images: .ci/images.json, and the script that reads, chooses and verifies."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.rendered import ROOT


def load() -> ModuleType:
    """The script as a module; its folder is no package."""
    spec = importlib.util.spec_from_file_location("images", ROOT / ".ci" / "images.py")
    assert spec
    assert spec.loader
    module = sys.modules["images"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


images: Any = load()
SERVICE = (ROOT / "<<cookiecutter.project_slug>>" / "dstack" / "service.dstack.yml").read_text("utf-8")
RECORDED = images.RECORDED.read_text("utf-8")
IMAGE, DIGEST, OTHER = "vllm/vllm-openai", "sha256:" + "a1" * 32, "sha256:" + "b2" * 32
GOOD = {"verdict": "good", "evidence": "reported", "detail": "Used."}
BROKEN = GOOD | {"verdict": "broken"}
VERDICTS = {
    IMAGE: {
        "v0.28.0-cu129": GOOD,
        "v0.29.0-cu129": GOOD | {"digest": DIGEST},
        "v0.30.0-cu129": BROKEN,
        "v0.31.0": GOOD,
        "v0.32.0-cu129": GOOD,
        "v0.32.0.post1-cu129": GOOD,
    }
}
Docker = Callable[..., "subprocess.CompletedProcess[str]"]


def read(verdicts: object) -> Any:
    return images.read(json.dumps(verdicts))


def docker(pull: int = 0, importing: int = 0, said: str = "", digests: tuple[str, ...] = (DIGEST,)) -> Docker:
    """A stand-in: how `docker pull` and the import end, and the digests of the image."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        status = {"pull": pull, "inspect": 0, "run": importing}[command[1]]
        named = json.dumps([f"{IMAGE}@{digest}" for digest in digests])
        return subprocess.CompletedProcess(command, status, named if command[1] == "inspect" else "", said)

    return run


def test_what_is_recorded_can_be_read_and_is_as_the_script_writes_it() -> None:
    assert images.write(images.read(RECORDED)) == RECORDED


def test_the_pinned_images_are_known_to_be_good_and_nothing_claims_an_import_without_a_digest() -> None:
    verdicts = images.read(RECORDED)
    pinned = re.findall(r"^image: ([\w./-]+):([^@\s]+)", SERVICE, re.M)
    assert len(pinned) == 2
    assert [verdicts[image][tag].verdict for image, tag in pinned] == ["good", "good"]


@pytest.mark.parametrize("tag", ["v0.30.0-cu129", "v0.31.0-cu129"])
def test_the_images_that_break_at_import_are_known_from_the_start(tag: str) -> None:
    assert images.read(RECORDED)[IMAGE][tag].verdict == "broken"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({**GOOD, "verdict": "fine"}, "verdict is 'fine'; it is good or broken"),
        ({**GOOD, "evidence": "hearsay"}, "evidence is 'hearsay'; it is imported or reported"),
        ({**GOOD, "evidence": "imported"}, "evidence is imported, but there is no digest"),
        ({**GOOD, "detail": ""}, "detail is empty"),
        ({**GOOD, "digest": "sha256:abc"}, "digest is 'sha256:abc'; it is sha256: and 64 hexadecimal digits"),
        ({**GOOD, "digset": DIGEST}, "digset"),
        ({"verdict": "good"}, "missing 2 required"),
        ([], "must be a mapping"),
        (None, "must be a mapping"),
    ],
)
def test_a_wrong_verdict_is_refused_with_its_place(values: object, why: str) -> None:
    with pytest.raises(images.ImageError, match=re.escape(why)) as refused:
        read({IMAGE: {"v0.29.0-cu129": values}})
    assert f"images.json, {IMAGE}:v0.29.0-cu129: " in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"vllm/vllm-openai": []}', '{"vllm/vllm-openai": {"latest": {}}}']
)
def test_a_file_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(images.ImageError):
        images.read(text)


@pytest.mark.parametrize(
    ("used", "newest", "chosen", "why"),
    [
        ("v0.28.0-cu129", "v0.29.0-cu129", "v0.29.0-cu129", "v0.29.0-cu129 is good: Used."),
        ("v0.28.0-cu129", "v0.30.0-cu129", "v0.29.0-cu129", "v0.30.0-cu129 is broken: Used."),
        ("v0.29.0-cu129", "v0.31.0-cu129", "v0.29.0-cu129", "not verified"),  # the image without the suffix is another
        ("v0.29.0-cu129", "v0.40.0-cu129", "v0.32.0.post1-cu129", "v0.40.0-cu129 is not verified"),
        ("v0.32.0-cu129", "v0.32.0.post1-cu129", "v0.32.0.post1-cu129", "is good"),
        ("v0.9.0-cu129", "v0.28.0-cu129", "v0.28.0-cu129", "is good"),
        ("v0.40.0-cu129", "v0.32.0-cu129", "v0.40.0-cu129", "v0.40.0-cu129 is the newest"),
        ("v0.30.0", "v0.31.0", "v0.31.0", "is good"),
        (f"v0.28.0-cu129@{OTHER}", "v0.29.0-cu129", f"v0.29.0-cu129@{DIGEST}", "is good"),
        (f"v0.29.0-cu129@{DIGEST}", "v0.32.0-cu129", f"v0.29.0-cu129@{DIGEST}", "not verified"),  # it has no digest
    ],
)
def test_only_a_good_image_is_chosen(used: str, newest: str, chosen: str, why: str) -> None:
    version, sentence = images.choose(read(VERDICTS), IMAGE, used, newest)
    assert version == chosen
    assert why in sentence


def test_an_image_that_nothing_is_known_of_stays() -> None:
    version, sentence = images.choose({}, "vllm/vllm-omni", "v0.30.0", "v0.32.0")
    assert version == "v0.30.0"
    assert "gh workflow run verify-image.yml -f image=vllm/vllm-omni -f tag=v0.32.0" in sentence


def test_an_image_whose_import_succeeds_is_good_and_its_digest_is_recorded() -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return docker()(command)

    verdict = images.verify(read(VERDICTS), IMAGE, "v0.33.0-cu129", run)
    assert commands[0] == ["docker", "pull", "--quiet", f"{IMAGE}:v0.33.0-cu129"]
    assert f"{IMAGE}@{DIGEST}" in commands[-1]  # what was looked at is what is recorded
    assert commands[-1][-2:] == ["-c", "import vllm.engine.arg_utils, torchvision, torchcodec"]
    assert (verdict.verdict, verdict.evidence, verdict.digest) == ("good", "imported", DIGEST)
    written = json.loads(images.write({IMAGE: {"v0.33.0-cu129": verdict, "v0.9.0": verdict}}))
    assert list(written[IMAGE]) == ["v0.9.0", "v0.33.0-cu129"]


@pytest.mark.parametrize("status", [1, 134, 139])
def test_an_image_whose_import_fails_is_broken_for_the_reason_that_python_gives(status: int) -> None:
    said = "Traceback\nRuntimeError: operator torchvision::nms does not exist\n"
    verdict = images.verify(read(VERDICTS), IMAGE, "v0.29.0-cu129", docker(importing=status, said=said))
    assert (verdict.verdict, verdict.evidence) == ("broken", "imported")
    assert f"ended with {status}: RuntimeError: operator torchvision::nms does not exist" in verdict.detail


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (docker(pull=1, said="no space left on device"), "can't be pulled: no space left on device. Does it exist"),
        (docker(importing=125, said="docker: no such runtime"), "ended with 125: docker: no such runtime. This is no"),
        (docker(importing=137), "ended with 137: no output. This is no verdict"),
        (docker(digests=()), "docker names 0 digests"),
        (docker(digests=(DIGEST, OTHER)), "docker names 2 digests"),
        (docker(digests=(OTHER,)), f"had {DIGEST}, and is {OTHER} now: somebody has replaced it"),
    ],
)
def test_what_is_not_the_images_fault_is_no_verdict(run: Docker, why: str) -> None:
    with pytest.raises(images.ImageError, match=re.escape(why)):
        images.verify(read(VERDICTS), IMAGE, "v0.29.0-cu129", run)


def test_an_import_that_takes_too_long_is_no_verdict() -> None:
    def run(command: list[str], timeout: float | None = None, **_: object) -> subprocess.CompletedProcess[str]:
        if command[1] == "run":
            raise subprocess.TimeoutExpired(command, timeout or 0)
        return docker()(command)

    with pytest.raises(images.ImageError, match="took more than 15 minutes"):
        images.verify(read(VERDICTS), IMAGE, "v0.33.0-cu129", run)


@pytest.mark.parametrize(
    "tag", ["latest", "", "0.29.0", "v0.29", "v0.29.0-cu129\n", "v0.29.0;ls", "v0.29.0-../x", "-v"]
)
def test_what_is_not_a_tag_of_a_release_reaches_no_command(tag: str) -> None:
    with pytest.raises(images.ImageError, match="is not a tag of a release"):
        images.verify(read(VERDICTS), IMAGE, tag, lambda *_, **__: pytest.fail("docker was called"))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ["verify", "someone/else", "v0.29.0"],
            "'someone/else' is not an image of this template. There are: vllm/vllm-omni",
        ),
        (["verify", IMAGE, "latest"], "'latest' is not a tag of a release"),
        (["choose", IMAGE, "v0.29.0-cu129", "newest"], "'newest' is not a tag of a release"),
        (["verify", IMAGE, "v0.40.0-cu129"], "docker is missing. `verify` needs docker"),
        (["verify"], "verify IMAGE TAG"),
        ([], "choose IMAGE USED NEWEST"),
    ],
)
def test_wrong_words_end_with_one_message(words: list[str], why: str, tmp_path: Path) -> None:
    script = [sys.executable, "-B", str(ROOT / ".ci" / "images.py"), *words]
    done = subprocess.run(script, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert images.RECORDED.read_text("utf-8") == RECORDED
