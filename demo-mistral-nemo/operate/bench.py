"""How fast the service answers under load, and what a token costs: AIPerf's numbers, and the price of the run.

AIPerf brings 800 MB of packages: uv keeps it in an environment of its own, apart from this repository's.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from rich.bar import Bar
from rich.table import Table

from console.connection import is_loopback, quoted
from console.errors import ExitCode, Failure
from deploy.documents.files import Document
from deploy.dstack.answers import Run
from deploy.dstack.client import Say
from deploy.environments import ROOT, Environment
from operate import smoke, status

TOOL = "aiperf==0.13.0"
LOOPBACK = "localhost,127.0.0.1,::1"
CHARACTERS_A_TOKEN = 4  # of English, about, in the tokenizers of today
LATENCIES = {  # name in the report, for people, in AIPerf's summary
    "first_token_ms": ("first token", "time_to_first_token"),
    "between_tokens_ms": ("between tokens", "inter_token_latency"),
    "answer_ms": ("whole answer", "request_latency"),
}
RATES = {
    "requests": ("requests", "request_throughput"),
    "output_tokens": ("output tokens", "output_token_throughput"),
    "tokens": ("all tokens", "total_token_throughput"),
}


def of(environment: Environment, run: Run | None, folder: Path, say: Say, **load: int) -> Document:
    """Load the run's endpoint as bench.yml says; the report as `--json` prints it, AIPerf's files in `folder`/aiperf.

    Fails as `smoke.of` does before there is any load; with SMOKE_FAILED when a request failed, because the others would
    look better than they were; with BENCH_FAILED when AIPerf is not to be had, or ended without numbers; with
    SETTINGS_INVALID when `folder` is none to write to.
    """
    if not (uvx := shutil.which("uvx")):
        raise Failure(ExitCode.BENCH_FAILED, "uvx is not on the PATH; install uv: https://docs.astral.sh/uv/")
    _refuse_unwritable(files := folder.resolve() / "aiperf")
    answered, now = smoke.of(environment, run), status.of(environment, run)
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(parents=True)
    (files / "tokenizer_config.json").write_text('{"tokenizer_class": "ByT5Tokenizer"}', encoding="utf-8")
    settings = load | {"input_characters": load["input_tokens"] * CHARACTERS_A_TOKEN, "folder": files}
    settings |= {"model": answered["model"], "url": answered["url"]}
    variables = {f"BENCH_{name.upper()}": str(value) for name, value in settings.items()}
    variables["DSTACK_TOKEN"] = environment.token  # in no argument, and AIPerf writes it to no file
    say(f"{TOOL}: {load['requests']} requests, {load['concurrency']} at a time; uv installs it the first time, 800 MB")
    words = [uvx, "--from", TOOL, "aiperf", "profile", "--config", str(ROOT / "operate" / "bench.yml")]
    with (files / "log").open("w", encoding="utf-8") as log:
        ended = subprocess.run(words, env=surroundings(answered["url"]) | variables, stdout=log, stderr=log)
    gpus = [replica["gpu"] for replica in now["replicas"]]
    which = {"run": environment.run_name, "model": answered["model"], "gpus": gpus, "tool": TOOL}
    return which | load | numbers(read(files, ended.returncode), now["price_per_hour"])


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
    """AIPerf's summary. Fails when requests failed, or when it left none."""
    summary, records = files / "profile_export_aiperf.json", files / "profile_export.jsonl"
    each = [json.loads(line) for line in records.read_text("utf-8").splitlines()] if records.exists() else []
    if errors := [record["error"] for record in each if record.get("error")]:
        first = f"the first with {errors[0].get('code')}: {quoted(str(errors[0].get('message')), 300)}"
        raise Failure(ExitCode.SMOKE_FAILED, f"{len(errors)} of {len(each)} requests failed, {first}; see `inv logs`")
    if code or not summary.exists():
        raise Failure(ExitCode.BENCH_FAILED, f"{TOOL} ended with {code} and without numbers; see {files / 'log'}")
    return dict(json.loads(summary.read_text("utf-8")))


def numbers(measured: Document, price_per_hour: float) -> Document:
    """Of AIPerf's summary: milliseconds by percentile, rates per second, USD; tokens of a request are means."""
    found: Document = {"price_per_hour": price_per_hour}
    for direction in ("input", "output"):
        found[f"{direction}_tokens"] = round(measured[f"{direction}_sequence_length"]["avg"], 1)
    for name, (_, metric) in LATENCIES.items():
        found[name] = {percentile: round(measured[metric][percentile], 1) for percentile in ("p50", "p90", "p99")}
    for name, (_, metric) in RATES.items():
        rate = measured[metric]["avg"]
        found[f"{name}_per_second"] = round(rate, 2)
        found[f"dollars_per_million_{name}"] = round(dollars_per_million(price_per_hour, rate), 4)
    return found


def dollars_per_million(price_per_hour: float, per_second: float) -> float:
    """USD for a million tokens, or requests, on machines in USD per hour that are as busy as this all the time."""
    return price_per_hour / (per_second * 3600) * 1e6


def table(report: Document) -> Table:
    """The numbers of a report, with a bar for each latency."""
    shown = Table(box=None, show_header=False, pad_edge=False)
    for name, (text, _) in LATENCIES.items():
        for percentile, value in report[name].items():
            bar = Bar(report[name]["p99"] or 1, 0, value, width=30, color="cyan")
            shown.add_row(text if percentile == "p50" else "", percentile, f"{value:,.1f} ms", bar)
    for name, (text, _) in RATES.items():
        dollars = f"${report[f'dollars_per_million_{name}']:,.3f} a million, at ${report['price_per_hour']:.2f}/h"
        shown.add_row(text, "", f"{report[f'{name}_per_second']:,} a second", dollars)
    return shown
