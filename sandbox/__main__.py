"""The sandbox from the command line: `python -m sandbox up`, and what to do to a running one."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from sandbox.aws.commands import add_commands
from sandbox.errors import SandboxError
from sandbox.sandbox import Sandbox
from sandbox.vllm import install
from sandbox.world import faults

_FAULT_KINDS = "\n".join(faults.__doc__.splitlines()[2:]) if faults.__doc__ else ""


def up(args: argparse.Namespace) -> None:
    """Run a sandbox until Ctrl-C."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler)  # raises KeyboardInterrupt
    try:
        engine = _engine(args)
        with Sandbox(
            args.folder,
            load_seconds=args.load_seconds,
            aws=args.aws,
            zone=args.zone,
            alarm_speed=args.alarm_speed,
            engine=engine,
            front=args.front,
        ) as sandbox:
            if args.aws:
                print(f"sandbox: {sandbox.aws.notice}", file=sys.stderr, flush=True)
            if args.json:
                print(json.dumps(sandbox.environ), flush=True)
            else:
                for name, value in sandbox.environ.items():
                    print(f"export {name}={shlex.quote(value)}", flush=True)
                if args.aws and sandbox.aws.has_hosts:
                    print("# A shell inside the VPC, or one command: python -m sandbox inside [curl …]", flush=True)
                print("# Ready. Paste these lines into another terminal; Ctrl-C here ends the sandbox.", flush=True)
            sandbox.wait()
    except KeyboardInterrupt:
        return


def pods(args: argparse.Namespace) -> None:
    """List the pods, with what they cost."""
    found = _attach(args).pods()
    if args.json:
        print(json.dumps([asdict(pod) for pod in found]))
        return
    _print_table(
        ("POD", "CLOUD", "RUN", "GPU", "REGION", "USD/H", "COST", "STATE"),
        (
            (
                pod.id,
                pod.cloud + (" spot" if pod.spot else ""),
                pod.run or "-",
                f"{pod.gpu_count}x {pod.gpu}",
                pod.region,
                f"{pod.price:.2f}",
                f"{pod.cost:.4f}",
                "running" if pod.running else "ended" if pod.ended else "starting",
            )
            for pod in found
        ),
    )


def kill(args: argparse.Namespace) -> None:
    """Let the host of a pod die."""
    _attach(args).kill_pod(args.pod)


def hang(args: argparse.Namespace) -> None:
    """Let the engine of a pod hang."""
    _attach(args).hang_engine(args.pod)


def restart_server(args: argparse.Namespace) -> None:
    """Kill the dstack server and start it again, with the same database."""
    _attach(args).restart_server()


def calls(args: argparse.Namespace) -> None:
    """List the calls that the clouds received."""
    found = _attach(args).calls(cloud=args.cloud, writes=args.writes)
    for call in found:
        if args.json:
            print(json.dumps(asdict(call)))
        else:
            time = datetime.fromtimestamp(call.time).strftime("%H:%M:%S")
            fault = f"  [{call.fault}]" if call.fault else ""
            print(f"{time}  {call.cloud:9}  {call.status}  {call.method:6} {call.path}{fault}")


def fault(args: argparse.Namespace) -> None:
    """Let the clouds, or the dstack server's answers, fail from now on."""
    names = ("route", "status", "code", "seconds", "image", "times", "after", "body")
    given = {name: getattr(args, name) for name in names}
    if args.header:
        given["headers"] = dict(_header(header) for header in args.header)
    _attach(args).faults.add(
        args.kind, args.cloud, **{name: value for name, value in given.items() if value is not None}
    )


def _header(written: str) -> tuple[str, str]:
    """Name and value of "Name: value"."""
    name, colon, value = written.partition(":")
    if not colon or not name.strip():
        raise SandboxError(f"{written!r} is no header; write --header 'Location: https://dstack.example.com/'")
    return name.strip(), value.strip()


def list_faults(args: argparse.Namespace) -> None:
    """List the faults in force."""
    for found in _attach(args).faults.in_force():
        print(json.dumps(found.to_json()))


def clear(args: argparse.Namespace) -> None:
    """End faults."""
    print(f"{_attach(args).faults.clear(args.kind, args.cloud)} ended")


def user(args: argparse.Namespace) -> None:
    """Add a dstack user to the project and print the token."""
    print(_attach(args).add_user(args.name, args.role))


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    try:
        args.run(args)
        sys.stdout.flush()
    except SandboxError as e:
        print(f"sandbox: {e}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python still flushes when it ends
        return 141  # as a shell calls an end by SIGPIPE
    return 0


def _engine(args: argparse.Namespace) -> dict[str, str]:
    """The pods' variables that choose it, with a word about what will answer."""
    if args.engine == "stand-in":
        if args.model:
            raise SandboxError("the stand-in has no models; add --engine vllm")
        return {}
    if args.model and not (args.model / "config.json").is_file():
        raise SandboxError(f"{args.model}: a model's folder has a config.json, weights and a tokenizer")
    installation = install.get()
    model = args.model or "of Mistral Nemo's architecture with random weights: it talks nonsense (--model PATH)"
    print(f"sandbox: {installation}\nsandbox: the model is {model}", file=sys.stderr, flush=True)
    return installation.variables(args.model)


def _attach(args: argparse.Namespace) -> Sandbox:
    folder = args.folder or os.environ.get("SANDBOX_FOLDER")
    if not folder:
        raise SandboxError("which sandbox? give --folder, or paste the exports that `python -m sandbox up` printed")
    return Sandbox.attach(Path(folder))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="Emulated GPU clouds for a real dstack.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Any, name: str | None = None, epilog: str | None = None) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name or run.__name__,
            help=run.__doc__,
            description=run.__doc__,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=run)
        added.add_argument("--folder", type=Path, help="the sandbox's folder; default $SANDBOX_FOLDER")
        return added

    clouds: Any = {"choices": faults.CLOUDS, "help": "only this cloud; default all but aws and dstack"}
    added = command(up)
    added.add_argument("--load-seconds", type=float, default=2.0, help="how long a model loads; default %(default)s")
    added.add_argument(
        "--engine", choices=("stand-in", "vllm"), default="stand-in", help="vllm: the real one, on the CPU"
    )
    added.add_argument("--model", type=Path, help="folder of a Hugging Face model, for the real engine; default random")
    added.add_argument("--aws", action="store_true", help="with an AWS account; as root, gateways work too")
    added.add_argument("--front", action="store_true", help="with a proxy before the dstack server, for faults on it")
    added.add_argument("--zone", default="ai.internal", help="its private hosted zone; default %(default)s")
    added.add_argument("--alarm-speed", type=float, default=1.0, help="minutes of its alarms in a real one; default 1")
    added.add_argument("--json", action="store_true", help="print the variables as JSON, in one line")
    added = command(pods)
    added.add_argument("--json", action="store_true")
    for action in (kill, hang):
        command(action).add_argument("pod", help="its id, see `pods`")
    command(restart_server, "restart-server")
    added = command(calls)
    added.add_argument("--cloud", help="only this cloud; `unknown` has calls to hosts that aren't emulated")
    added.add_argument("--writes", action="store_true", help="only calls that ask for a change")
    added.add_argument("--json", action="store_true", help="one JSON object a line")
    added = command(fault, epilog=_FAULT_KINDS)
    added.add_argument("kind", choices=faults.KINDS)
    added.add_argument("--cloud", **clouds)
    added.add_argument("--route", help='only these calls, a glob: "POST /v2/pods", "* /v0/asks/*", "route53:*"')
    added.add_argument("--status", type=int, help="HTTP status of an error (default 500) or an answer (default 200)")
    added.add_argument("--code", help="AWS's name of an error: Throttling, AccessDenied, ExpiredToken, ...")
    added.add_argument("--seconds", type=float, help="of slow and pull")
    added.add_argument("--image", help='only these images, a glob: "vllm/*"')
    added.add_argument("--times", type=int, help="only so many calls")
    added.add_argument("--after", type=int, help="let so many of these calls pass first")
    added.add_argument("--body", help="of an error or an answer of the dstack server")
    added.add_argument("--header", action="append", help='of the same, such as "Location: https://…"; again for more')
    command(list_faults, "faults")
    added = command(clear)
    added.add_argument("kind", nargs="?", choices=faults.KINDS)
    added.add_argument("--cloud", **clouds)
    add_commands(command, _attach)
    added = command(user)
    added.add_argument("name")
    added.add_argument("--role", choices=("user", "manager", "admin"), default="user")
    return parser


def _print_table(head: Sequence[str], rows: Any) -> None:
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
