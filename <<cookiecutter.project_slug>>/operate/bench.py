"""The load test: how fast the service answers, and what a token costs. AIPerf measures, the run has a price.

AIPerf brings 800 MB of packages: uv keeps it in an environment of its own, apart from this repository's.
"""

import json
import os
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

from console.connection import is_loopback, quoted
from console.errors import ExitCode, Failure
from deploy.documents.files import Document
from deploy.dstack.answers import Run
from deploy.dstack.client import Notify
from deploy.environments import ROOT, Environment
from operate import measurements, smoke, status
from operate.kind import model_kind
from operate.measurements import KINDS, Load, Report

TOOL = "aiperf==0.13.0"
LOOPBACK = "localhost,127.0.0.1,::1"
CHARACTERS_A_TOKEN = 4  # of English, about, in the tokenizers of today


def planned_load(concurrency: int, requests: int, input_tokens: int = 0, output_tokens: int = 0) -> Load:
    """Return the load to send; 0 tokens stand for what suits the service's kind of model.

    Fails with SETTINGS_INVALID for tokens of an answer that has none.
    """
    kind = KINDS[model_kind()]
    if kind.output_tokens is None and output_tokens:
        problem = f"--output-tokens {output_tokens}: a picture has no tokens"
        raise Failure(ExitCode.SETTINGS_INVALID, problem, "leave it out")
    return Load(concurrency, requests, input_tokens or kind.input_tokens, output_tokens or kind.output_tokens)


def measure(environment: Environment, run: Run | None, folder: Path, notify: Notify, load: Load) -> Report:
    """Load the run's endpoint as bench.yml says, and return the report; AIPerf's files are left in `folder`/aiperf.

    Fails as `smoke_test` does before there is any load; with SMOKE_FAILED when a request failed, because the others
    would look better than they were; with BENCH_FAILED when AIPerf is not to be had, or ended without numbers; with
    SETTINGS_INVALID when `folder` is none to write to.
    """
    if not (uvx := shutil.which("uvx")):
        raise Failure(ExitCode.BENCH_FAILED, "uvx is not on the PATH", "install uv: https://docs.astral.sh/uv/")
    _refuse_unwritable(files := folder.resolve() / "aiperf")
    answered, now = smoke.smoke_test(environment, run), status.summarize(environment, run)
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(parents=True)
    (files / "tokenizer_config.json").write_text('{"tokenizer_class": "ByT5Tokenizer"}', encoding="utf-8")
    settings = {name: value for name, value in asdict(load).items() if value is not None}
    settings |= {"input_characters": load.input_tokens * CHARACTERS_A_TOKEN, "folder": files}
    settings |= {"model": answered.model, "url": answered.url}
    variables = {f"BENCH_{name.upper()}": str(value) for name, value in settings.items()}
    variables["DSTACK_TOKEN"] = environment.token  # in no argument, and AIPerf writes it to no file
    notify(f"{TOOL}: {load.requests} requests, {load.concurrency} at a time; uv installs it the first time, 800 MB")
    words = [uvx, "--from", TOOL, "aiperf", "profile", "--config", str(ROOT / "operate" / "bench.yml")]
    with (files / "log").open("w", encoding="utf-8") as log:
        ended = subprocess.run(words, env=surroundings(answered.url) | variables, stdout=log, stderr=log, check=False)
    summary, price, kind = read(files, ended.returncode), now.price_per_hour, KINDS[model_kind()]
    return Report(
        run=environment.run_name,
        model=answered.model,
        gpus=tuple(replica.as_json()["gpu"] for replica in now.replicas),
        tool=TOOL,
        load=load,
        price_per_hour=price,
        latencies=measurements.latencies(kind, summary),
        rates=measurements.rates(kind, summary, price),
        input_tokens=measurements.tokens_counted(kind, summary, "input"),
        output_tokens=measurements.tokens_counted(kind, summary, "output"),
    )


def save(report: Report, picture: str, folder: Path) -> None:
    """Leave report.json and the SVG `picture` in `folder`. Fails with BENCH_FAILED where that can't be written."""
    texts = {"report.json": json.dumps(report.as_json(), indent=2) + "\n", "report.svg": picture}
    for name, text in texts.items():
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            problem = f"{folder / name} can't be written: {error.strerror or error}"
            raise Failure(ExitCode.BENCH_FAILED, problem) from None


def surroundings(url: str) -> dict[str, str]:
    """Return the variables of this process for AIPerf: online, and without a proxy for a `url` on this machine."""
    found = {name: value for name, value in os.environ.items() if not name.endswith("_OFFLINE")}  # Hugging Face's
    if is_loopback(url):  # no proxy could reach it; uv may need one for other hosts
        direct = ",".join(filter(None, (found.get("no_proxy") or found.get("NO_PROXY"), LOOPBACK)))
        found |= {"no_proxy": direct, "NO_PROXY": direct}
    return found


def _refuse_unwritable(folder: Path) -> None:
    """Make the folder. Fails with SETTINGS_INVALID where there can't be one, or none that may be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        problem = "" if os.access(folder, os.W_OK) else "not allowed"
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise Failure(ExitCode.SETTINGS_INVALID, f"--folder: {folder.parent} is no folder to write to: {problem}")


def read(files: Path, code: int) -> Document:
    """Return AIPerf's summary. Fails with SMOKE_FAILED when requests failed, with BENCH_FAILED when it left none."""
    summary, records = files / "profile_export_aiperf.json", files / "profile_export.jsonl"
    each = [json.loads(line) for line in records.read_text("utf-8").splitlines()] if records.exists() else []
    if errors := [record["error"] for record in each if record.get("error")]:
        first = f"the first with {errors[0].get('code')}: {quoted(str(errors[0].get('message')), 300)}"
        raise Failure(ExitCode.SMOKE_FAILED, f"{len(errors)} of {len(each)} requests failed, {first}", "see `inv logs`")
    if code or not summary.exists():
        raise Failure(ExitCode.BENCH_FAILED, f"{TOOL} ended with {code} and without numbers", f"see {files / 'log'}")
    return dict(json.loads(summary.read_text("utf-8")))
