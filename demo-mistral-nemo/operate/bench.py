"""The load test: how fast the service answers, and what a token costs. AIPerf measures; the price is the run's.

AIPerf needs 800 MB of packages. uv keeps them in a separate environment.
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
CHARACTERS_A_TOKEN = 4  # about, for English text


def planned_load(concurrency: int, requests: int, input_tokens: int = 0, output_tokens: int = 0) -> Load:
    """Return the load to send. 0 tokens: the default for the service's kind of model.

    Fails with SETTINGS_INVALID for output tokens of a model whose answers have none.
    """
    kind = KINDS[model_kind()]
    if kind.output_tokens is None and output_tokens:
        problem = f"--output-tokens {output_tokens}: {kind.answer} has no tokens"
        raise Failure(ExitCode.SETTINGS_INVALID, problem, "leave it out")
    return Load(concurrency, requests, input_tokens or kind.input_tokens, output_tokens or kind.output_tokens)


def measure(environment: Environment, run: Run | None, folder: Path, notify: Notify, load: Load) -> Report:
    """Load the run's endpoint as bench.yml says, and return the report. AIPerf's files are left in `folder`/aiperf.

    Fails like `smoke_test` before there is any load. Fails with SMOKE_FAILED when a request failed, because the numbers
    of the others would look too good; with BENCH_FAILED when AIPerf can't be installed or exited without numbers; with
    SETTINGS_INVALID when `folder` can't be written to.
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
        ended = subprocess.run(words, env=variables_for(answered.url) | variables, stdout=log, stderr=log, check=False)
    summary, price, kind = read(files, ended.returncode), now.price_per_hour, KINDS[model_kind()]
    return Report(
        run=environment.run_name,
        model=answered.model,
        gpus=tuple(replica.gpu for replica in now.replicas),
        tool=TOOL,
        load=load,
        price_per_hour=price,
        latencies=measurements.latencies(kind, summary),
        rates=measurements.rates(kind, summary, price),
        input_tokens=measurements.tokens_counted(kind, summary, "input"),
        output_tokens=measurements.tokens_counted(kind, summary, "output"),
    )


def save(report: Report, picture: str, folder: Path) -> None:
    """Write report.json and the SVG `picture` into `folder`. Fails with BENCH_FAILED when that is not possible."""
    texts = {"report.json": json.dumps(report.as_json(), indent=2) + "\n", "report.svg": picture}
    for name, text in texts.items():
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            problem = f"{folder / name} can't be written: {error.strerror or error}"
            raise Failure(ExitCode.BENCH_FAILED, problem, "choose another --folder") from None


def variables_for(url: str) -> dict[str, str]:
    """Return AIPerf's environment variables: online, and without a proxy for a `url` on this machine."""
    found = {name: value for name, value in os.environ.items() if not name.endswith("_OFFLINE")}  # Hugging Face's
    if is_loopback(url):  # no proxy could reach it; uv may need one for other hosts
        direct = ",".join(filter(None, (found.get("no_proxy") or found.get("NO_PROXY"), LOOPBACK)))
        found |= {"no_proxy": direct, "NO_PROXY": direct}
    return found


def _refuse_unwritable(folder: Path) -> None:
    """Create the folder. Fails with SETTINGS_INVALID when that is not possible, or when it can't be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        problem = "" if os.access(folder, os.W_OK) else "Permission denied"
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        why = f"can't write to {folder.parent} ({problem})"
        raise Failure(ExitCode.SETTINGS_INVALID, why, "choose another --folder")


def read(files: Path, code: int) -> Document:
    """Return AIPerf's summary. Fails with SMOKE_FAILED when requests failed, with BENCH_FAILED without a summary."""
    summary, records = files / "profile_export_aiperf.json", files / "profile_export.jsonl"
    each = [json.loads(line) for line in records.read_text("utf-8").splitlines()] if records.exists() else []
    if errors := [record["error"] for record in each if record.get("error")]:
        first = f"the first with {errors[0].get('code')}: {quoted(str(errors[0].get('message')), 300)}"
        raise Failure(ExitCode.SMOKE_FAILED, f"{len(errors)} of {len(each)} requests failed, {first}", "see `inv logs`")
    if code or not summary.exists():
        raise Failure(ExitCode.BENCH_FAILED, f"{TOOL} exited with {code}, without numbers", f"see {files / 'log'}")
    return dict(json.loads(summary.read_text("utf-8")))
