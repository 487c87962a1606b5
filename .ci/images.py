"""Which tags of vLLM's images may be pinned. A tag that exists can hold an engine that does not even start.

    python3 .ci/images.py choose IMAGE USED NEWEST   prints the version to pin: a good one, or USED
    python3 .ci/images.py verify IMAGE TAG           imports vLLM inside the image with docker, and records the verdict

Verdicts are in images.json, by image and tag. Their `evidence` is `imported` (this script imported vLLM in that image)
or `reported` (others wrote so in public). The workflow verify-image runs `verify` and proposes the result.
"""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RECORDED = Path(__file__).with_name("images.json")
IMPORTS = "import vllm.engine.arg_utils, torchvision, torchcodec"  # these broke in earlier images; none needs a GPU
ROOM_GB = 45  # on disk: the image takes 30 unpacked, and its layers arrive packed
MINUTES = 15  # for the import: it reads gigabytes from disk
TAG = re.compile(r"v\d+\.\d+\.\d+(\.post\d+)?(-[\w.]+)?")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
NOT_THE_IMAGES_FAULT = (125, 126, 127, 137)  # docker could not start it; killed, mostly for memory
Run = Callable[..., "subprocess.CompletedProcess[str]"]


class ImageError(Exception):
    """What is wrong, and what to do."""


@dataclass(frozen=True)
class Verdict:
    """What is known of one tag."""

    verdict: str  # good or broken
    evidence: str  # imported or reported
    detail: str
    digest: str | None = None  # of the tag in the registry, for all platforms together

    def __post_init__(self) -> None:
        if self.verdict not in ("good", "broken"):
            raise ValueError(f"verdict is {self.verdict!r}; it is good or broken")
        if self.evidence not in ("imported", "reported"):
            raise ValueError(f"evidence is {self.evidence!r}; it is imported or reported")
        if not self.detail:
            raise ValueError("detail is empty")
        if self.digest is not None and not DIGEST.fullmatch(self.digest):
            raise ValueError(f"digest is {self.digest!r}; it is sha256: and 64 hexadecimal digits")
        if self.evidence == "imported" and self.digest is None:
            raise ValueError("evidence is imported, but there is no digest")


Verdicts = dict[str, dict[str, Verdict]]  # by image, then by tag


def read(text: str) -> Verdicts:
    """Return the verdicts of images.json. Raises ImageError where it is wrong."""
    found: Verdicts = {}
    place = "the file"
    try:
        for image, tags in json.loads(text).items():
            for tag, values in tags.items():
                place = f"{image}:{tag}"
                known(tag)
                found.setdefault(image, {})[tag] = Verdict(**values)
    except (AttributeError, TypeError, ValueError) as error:
        raise ImageError(f"images.json, {place}: {error}. Correct it, or take the last version from git.") from None
    return found


def write(verdicts: Verdicts) -> str:
    """Return the text of images.json, in the order of the versions."""
    ordered = {
        image: {
            tag: {name: value for name, value in asdict(verdicts[image][tag]).items() if value is not None}
            for tag in sorted(verdicts[image], key=order)
        }
        for image in sorted(verdicts)
    }
    return json.dumps(ordered, indent=2) + "\n"


def known(tag: str) -> str:
    """Return the tag. Raises ImageError for anything else: it becomes a part of commands and of a branch's name."""
    if not TAG.fullmatch(tag):
        raise ImageError(f"{tag!r} is not a tag of a release. Such a tag reads v0.29.0 or v0.29.0-cu129.")
    return tag


def order(tag: str) -> tuple[list[int], str]:
    """Return what sorts tags by version; a `.post1` comes after its release."""
    return [int(number) for number in re.findall(r"\d+", tag.partition("-")[0])], tag


def suffix(tag: str) -> str:
    """Return what follows the version, such as `cu129`: the CUDA version; "" where nothing does."""
    return tag.partition("-")[2]


def choose(verdicts: Verdicts, image: str, used: str, newest: str) -> tuple[str, str]:
    """Return the version to pin, and a sentence that says why.

    That is the highest tag with a good verdict that is above `used`, at most `newest`, and has the same suffix. Where
    `used` carries a digest, the new version has to carry one too.
    """
    tag, _, digest = used.partition("@")
    if order(known(newest)) <= order(known(tag)):
        return used, f"{tag} is the newest"
    of_image = verdicts.get(image, {})
    good = {
        name: verdict
        for name, verdict in of_image.items()
        if verdict.verdict == "good"
        and order(tag) < order(name) <= order(newest)
        and suffix(name) == suffix(tag)
        and (verdict.digest or not digest)
    }
    highest = max(good, key=order, default=None)
    chosen = used if highest is None else f"{highest}@{good[highest].digest}" if digest else highest
    if newest in good:
        return chosen, f"{newest} is good: {good[newest].detail}"
    if newest in of_image and of_image[newest].verdict == "broken":
        return chosen, f"{newest} is broken: {of_image[newest].detail}"
    return chosen, (
        f"{newest} is not verified, so it is not taken. "
        f"Verify it: gh workflow run verify-image.yml -f image={image} -f tag={newest}"
    )


def verdict_of(status: int, output: str, digest: str, today: str) -> Verdict:
    """Return what the end of the import says about the image. Raises ImageError where it says nothing about it."""
    lines = output.strip().splitlines() or ["no output"]
    if status in NOT_THE_IMAGES_FAULT:
        raise ImageError(f"The import ended with {status}: {lines[-1]}. This is no verdict on the image. Run it again.")
    if status:
        return Verdict("broken", "imported", f"{today}: the import ended with {status}: {lines[-1]}", digest)
    return Verdict("good", "imported", f"{today}: {IMPORTS}", digest)


def verify(verdicts: Verdicts, image: str, tag: str, run: Run = subprocess.run) -> Verdict:
    """Pull the image, import vLLM in it, and return the verdict. Raises ImageError without one."""
    if image not in verdicts:
        raise ImageError(f"{image!r} is not an image of this template. There are: {', '.join(sorted(verdicts))}.")
    name = f"{image}:{known(tag)}"
    pulled = run(["docker", "pull", "--quiet", name], capture_output=True, text=True)
    if pulled.returncode:
        raise ImageError(
            f"{name} can't be pulled: {pulled.stderr.strip()}. Does it exist, and is there {ROOM_GB} GB of room?"
        )
    inspect = ["docker", "inspect", "--format", "{{json .RepoDigests}}", name]
    digests = DIGEST.findall(run(inspect, capture_output=True, text=True).stdout)
    if len(digests) != 1:
        raise ImageError(
            f"docker names {len(digests)} digests for {name}. Remove the image from here and run this again."
        )
    before = verdicts[image].get(tag)
    if before and before.digest not in (None, digests[0]):
        raise ImageError(
            f"{name} had {before.digest}, and is {digests[0]} now: somebody has replaced it. Find out why. To accept "
            f"the new one, remove {tag} from .ci/images.json and run this again."
        )
    container = ["docker", "run", "--rm", "--network=none", "--entrypoint=python3", f"{image}@{digests[0]}"]
    try:
        done = run([*container, "-c", IMPORTS], capture_output=True, text=True, timeout=MINUTES * 60)
    except subprocess.TimeoutExpired:
        raise ImageError(f"The import took more than {MINUTES} minutes. This is no verdict. Run it again.") from None
    return verdict_of(done.returncode, done.stderr, digests[0], datetime.date.today().isoformat())


def main(arguments: Sequence[str]) -> None:
    try:
        verdicts = read(RECORDED.read_text("utf-8"))
        match arguments:
            case ["choose", image, used, newest]:
                chosen, why = choose(verdicts, image, used, newest)
                print(chosen)
                print(f"{image}: {why}", file=sys.stderr)
            case ["verify", image, tag]:
                verdicts[image][tag] = verdict = verify(verdicts, image, tag)
                RECORDED.write_text(write(verdicts), "utf-8")
                print(f"{image}:{tag} is {verdict.verdict}: {verdict.detail}\n{verdict.digest}")
            case _:
                sys.exit(__doc__)
    except ImageError as error:
        sys.exit(f"images.py: {error}")
    except FileNotFoundError as error:
        sys.exit(f"images.py: {error.filename} is missing. `verify` needs docker, and both need images.json.")


if __name__ == "__main__":
    main(sys.argv[1:])
