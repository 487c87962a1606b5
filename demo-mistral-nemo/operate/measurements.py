"""The metrics of a load test for each kind of model, and the report from AIPerf's summary."""

from dataclasses import asdict, dataclass

from deploy.documents.files import Document

PERCENTILES = ("p50", "p90", "p99")


@dataclass(frozen=True)
class Metric:
    """A metric: its name in the report, its title for people, and its key in AIPerf's summary."""

    name: str
    title: str
    key: str


@dataclass(frozen=True)
class Measured:
    """The metrics for one kind of model, and the load that is sent when no flags change it.

    `input_tokens` is 0 when recordings are sent. `output_tokens` is None when an answer has no tokens. `answer` is the
    name of an answer.
    """

    input_tokens: int
    output_tokens: int | None
    latencies: tuple[Metric, ...]
    rates: tuple[Metric, ...]
    answer: str = "an answer"


ANSWER = Metric("answer_ms", "whole answer", "request_latency")
REQUESTS = Metric("requests", "requests", "request_throughput")
KINDS = {
    "chat": Measured(
        input_tokens=512,
        output_tokens=128,
        latencies=(
            Metric("first_token_ms", "first token", "time_to_first_token"),
            Metric("between_tokens_ms", "between tokens", "inter_token_latency"),
            ANSWER,
        ),
        rates=(
            REQUESTS,
            Metric("output_tokens", "output tokens", "output_token_throughput"),
            Metric("tokens", "all tokens", "total_token_throughput"),
        ),
    ),
    "pictures": Measured(32, None, latencies=(ANSWER,), rates=(REQUESTS,), answer="a picture"),
    "embeddings": Measured(512, None, latencies=(ANSWER,), rates=(REQUESTS,), answer="an embedding"),
    "transcription": Measured(0, None, latencies=(ANSWER,), rates=(REQUESTS,), answer="a recording"),
    "reranking": Measured(128, None, latencies=(ANSWER,), rates=(REQUESTS,), answer="an order of documents"),
}


@dataclass(frozen=True)
class Load:
    """The load that is sent: concurrent requests, all requests, tokens of a prompt and of an answer."""

    concurrency: int
    requests: int
    input_tokens: int
    output_tokens: int | None = None


@dataclass(frozen=True)
class Latency:
    """Milliseconds by percentile."""

    metric: Metric
    percentiles: dict[str, float]


@dataclass(frozen=True)
class Rate:
    """The number a second, and USD for a million of them."""

    metric: Metric
    per_second: float
    dollars_per_million: float


@dataclass(frozen=True)
class Report:
    """The report of a load test. `input_tokens` and `output_tokens` are the counted means.

    `price_per_hour` is in USD, for all replicas in `gpus` together.
    """

    run: str
    model: str
    gpus: tuple[str, ...]
    tool: str
    load: Load
    price_per_hour: float
    latencies: tuple[Latency, ...]
    rates: tuple[Rate, ...]
    input_tokens: float | None = None
    output_tokens: float | None = None

    def as_json(self) -> Document:
        """Return the report as `inv bench --json` prints it and report.json has it."""
        load = {name: value for name, value in asdict(self.load).items() if value is not None}
        counted = {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}
        found: Document = {"run": self.run, "model": self.model, "gpus": list(self.gpus), "tool": self.tool}
        found |= load | {name: value for name, value in counted.items() if value is not None}
        found["price_per_hour"] = self.price_per_hour
        found |= {latency.metric.name: latency.percentiles for latency in self.latencies}
        for rate in self.rates:
            found[f"{rate.metric.name}_per_second"] = rate.per_second
            found[f"dollars_per_million_{rate.metric.name}"] = rate.dollars_per_million
        return found


def latencies(measured: Measured, summary: Document) -> tuple[Latency, ...]:
    """Return the latencies in AIPerf's summary."""
    return tuple(
        Latency(metric, {percentile: round(summary[metric.key][percentile], 1) for percentile in PERCENTILES})
        for metric in measured.latencies
    )


def rates(measured: Measured, summary: Document, price_per_hour: float) -> tuple[Rate, ...]:
    """Return the rates in AIPerf's summary, with their prices on machines at `price_per_hour` (USD)."""
    found = []
    for metric in measured.rates:
        per_second = summary[metric.key]["avg"]
        dollars = round(dollars_per_million(price_per_hour, per_second), 4)
        found.append(Rate(metric, round(per_second, 2), dollars))
    return tuple(found)


def tokens_counted(measured: Measured, summary: Document, direction: str) -> float | None:
    """Return the mean number of tokens of prompts ("input") or answers ("output"); None when answers have no tokens."""
    if measured.output_tokens is None:
        return None
    return float(round(summary[f"{direction}_sequence_length"]["avg"], 1))


def dollars_per_million(price_per_hour: float, per_second: float) -> float:
    """Return USD for a million tokens or requests, on machines in USD per hour that are always so busy."""
    return price_per_hour / (per_second * 3600) * 1e6
