"""The commands of `python -m sandbox` that are about AWS."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sandbox.aws.aws_account import environ_inside
from sandbox.sandbox import Sandbox

Attach = Callable[[argparse.Namespace], Sandbox]
Command = Callable[..., argparse.ArgumentParser]


def add_commands(command: Command, attach: Attach) -> None:
    """Add them with `command(function, name)`; `attach(args)` finds the sandbox that the user means."""

    def inside(args: argparse.Namespace) -> None:
        """Run a command as a client inside the VPC, a shell if none is given; needs root."""
        words = attach(args).aws.command_inside(*(args.command or [os.environ.get("SHELL", "sh")]))
        os.execvpe(words[0], words, environ_inside())

    def instances(args: argparse.Namespace) -> None:
        """List the EC2 instances."""
        for each in attach(args).aws.instances():
            if args.json:
                print(json.dumps(asdict(each)))
            else:
                host = "host on" if each.host_running else "host off"
                print(f"{each.id}  {each.address:15}  {each.state:13}  {host:8}  {each.tags.get('Name', '-')}")

    added = command(inside)
    added.add_argument("command", nargs=argparse.REMAINDER, help="curl, dig, ...")
    added = command(instances)
    added.add_argument("--json", action="store_true", help="one JSON object a line")
    _add_logs(command, attach)
    _add_faults(command, attach)


def _add_logs(command: Command, attach: Attach) -> None:
    """Add the commands that show what has happened."""

    def notifications(args: argparse.Namespace) -> None:
        """List what the alarms have done."""
        for done in attach(args).aws.notifications():
            if args.json:
                print(json.dumps(asdict(done)))
            else:
                time = datetime.fromtimestamp(done.time).strftime("%H:%M:%S")
                print(f"{time}  {done.alarm}  {done.before} -> {done.state}  {done.action}  {done.outcome}")

    def aws_calls(args: argparse.Namespace) -> None:
        """List the calls that AWS answered."""
        for call in attach(args).aws.calls(args.service, writes=args.writes):
            if args.json:
                print(json.dumps(asdict(call)))
            else:
                time, what = datetime.fromtimestamp(call.time).strftime("%H:%M:%S"), f"{call.service}:{call.action}"
                print(f"{time}  {call.status}  {what}  {call.identity}  {_short(call.parameters)}")

    command(notifications).add_argument("--json", action="store_true", help="one JSON object a line")
    added = command(aws_calls, "aws-calls")
    added.add_argument("--service", help="only this one, as IAM names it: ec2, route53, ...")
    added.add_argument("--writes", action="store_true", help="only calls that ask for a change")
    added.add_argument("--json", action="store_true", help="one JSON object a line")


def _add_faults(command: Command, attach: Attach) -> None:
    """Add the commands that break hosts."""

    def power_loss(args: argparse.Namespace) -> None:
        """Cut the power of an EC2 instance's host, and restore it."""
        attach(args).aws.power_loss(args.instance, wiped=args.wiped, lasting=args.lasting)

    def hang_instance(args: argparse.Namespace) -> None:
        """Let everything on an EC2 instance's host stop."""
        attach(args).aws.hang(args.instance)

    def lose_disk(args: argparse.Namespace) -> None:
        """Let everything on an EC2 instance's host wait for its disk."""
        attach(args).aws.lose_disk(args.instance)

    added = command(power_loss, "power-loss")
    added.add_argument("instance", help="its id, see `instances`")
    added.add_argument("--wiped", action="store_true", help="with an empty disk")
    added.add_argument("--lasting", action="store_true", help="until an alarm recovers it")
    for function, name in ((hang_instance, "hang-instance"), (lose_disk, "lose-disk")):
        command(function, name).add_argument("instance", help="its id, see `instances`")


def _short(parameters: dict[str, Any]) -> str:
    return json.dumps(parameters)[:100] if parameters else ""
