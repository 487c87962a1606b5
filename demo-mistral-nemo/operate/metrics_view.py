"""Shows the numbers of the replicas: a table of now, and sparklines of the last hour."""

from rich.markup import escape

from console import views
from console.terminal import console
from operate import metrics
from operate.metrics import ReplicaMetrics

MACHINE = {"gpu": "GPU", "gpu_memory": "GPU memory", "memory": "memory", "cpu": "CPU"}
ENGINE = {  # by heading: the path of a number in the monitor's lines, and how it is written
    "running": (("running",), "{:.0f}"),
    "waiting": (("waiting",), "{:.0f}"),
    "KV cache": (("kv_cache_usage",), "{:.0%}"),
    "first token p95": (("time_to_first_token", "p95"), "{:.2f} s"),
    "next token p95": (("inter_token_latency", "p95"), "{:.3f} s"),
    "requests/s": (("requests_per_second",), "{:.1f}"),
    "tokens/s": (("output_tokens_per_second",), "{:.0f}"),
}


def show(found: list[ReplicaMetrics], *, json: bool = False) -> None:
    """Show the numbers of all replicas. Without numbers of the engine, say why."""
    why = metrics.missing(found)
    if json:
        return views.data({"replicas": [one.as_json() for one in found], "engine_missing": why or None})
    headings = ENGINE if any(one.engine for one in found) else {}
    table = views.table("", "replica", *MACHINE.values(), *headings)
    for one in found:
        machine = (f"{one.machine[name][-1]:.0f} %" if name in one.machine else "-" for name in MACHINE)
        engine = (_written(one.latest(*path), form) for path, form in headings.values())
        table.add_row(str(one.replica), *machine, *engine)
    if found:
        console.table(table)
    for one in found:
        _sparklines(one)
    if why:
        console.print(f"[dim]{escape(why)}[/]")


def _sparklines(one: ReplicaMetrics) -> None:
    """Show how the numbers of a replica went in the last hour."""
    blocks = metrics.BLOCKS if console.sign("█", "") else metrics.PLAIN
    series: dict[str, tuple[list[float], float | None]]
    series = {"GPU": (one.machine.get("gpu", []), 100.0), "KV cache": (one.series("kv_cache_usage"), 1.0)}
    series |= {"running": (one.series("running"), None), "waiting": (one.series("waiting"), None)}
    lines = [
        f"{name} {metrics.sparkline(values, most, blocks=blocks)}" for name, (values, most) in series.items() if values
    ]
    if lines:
        console.print(escape(f"replica {one.replica}, last hour: {'  '.join(lines)}"))


def _written(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
