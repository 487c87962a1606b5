"""The tasks of this service: `inv --list` shows them, docs/reference.md has their flags.

A task asks a function of deploy/ for a decision about its environment, shows it, and carries it out.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.exceptions import Exit

import account
import capacity
import console
import deploy
import operate
from console.command import command_with
from console.invocation import refuse_misplaced_environment
from console.listing import show_if_asked

if TYPE_CHECKING:
    from deploy.environments import Environment

# a lambda, because the package is to be imported when a task runs
command = command_with(lambda name: deploy.environments.load(name))  # noqa: PLW0108
command_with_secrets = command_with(lambda name: deploy.environments.load(name), private=True)  # noqa: PLW0108


@command
def doctor(environment: Environment, json: bool = False) -> None:
    """Check everything that a deploy needs, and say how to fix what is missing.

    Settings, server, token, clouds, keys, secrets; with a gateway also AWS and GitHub. Changes nothing.
    """
    operate.views.findings(operate.doctor.examine(environment), json=json)


@command
def server(environment: Environment) -> None:
    """Run a dstack server on this machine, until Ctrl-C.

    The clouds' API keys come from .env, the server's state is in .dstack/.
    """
    with console.terminal.watching("dstack server") as notify:
        operate.server.run(environment, notify)


@command
def secrets_set(environment: Environment, name: str) -> None:
    """Store a secret in the dstack project.

    Asks for the value, or reads it from a pipe.
    """
    deploy.api.Api(environment).set_secret(name, console.prompts.ask_secret(name))


@command
def secrets_list(environment: Environment, json: bool = False) -> None:
    """List the names of the service's and the project's secrets."""
    deploy.views.secrets(environment.secrets, deploy.api.Api(environment).secret_names(), json=json)


@command
def render(environment: Environment, json: bool = False) -> None:
    """Print the documents that are sent to dstack."""
    deploy.documents.schema.check(environment)
    deploy.views.documents(environment.fleet, environment.gateway, environment.service, json=json)


@command
def plan(environment: Environment, json: bool = False, detailed_exitcode: bool = False) -> None:
    """Show what a deploy would change.

    Shows what happens to running replicas, and the offers that new ones would take. Changes nothing.
    """
    with console.terminal.watching(f"planning {environment.run_name}") as notify:
        planned = deploy.planning.make(deploy.api.Api(environment), environment, notify)
    deploy.views.plan(planned, json=json)
    if detailed_exitcode and planned.exit_code:
        raise Exit(code=planned.exit_code)


@command
def deploy_all(
    environment: Environment,
    yes: bool = False,
    dry_run: bool = False,
    allow_restart: bool = False,
    allow_recreation: bool = False,
    allow_removal: bool = False,
    json: bool = False,
) -> None:
    """Deploy, and wait until the service answers.

    Brings fleet, gateway, DNS records and service to what the files say. Shows the plan and asks first.
    """
    allowed = {"allow_restart": allow_restart, "allow_recreation": allow_recreation, "allow_removal": allow_removal}
    _deploy(environment, yes=yes, dry_run=dry_run, json=json, gateway=True, **allowed)


@command
def service_deploy(
    environment: Environment, yes: bool = False, dry_run: bool = False, allow_restart: bool = False, json: bool = False
) -> None:
    """Deploy fleet and service, but not gateway and records."""
    _deploy(environment, yes=yes, dry_run=dry_run, json=json, gateway=False, allow_restart=allow_restart)


def _deploy(environment: Environment, *, yes: bool, dry_run: bool, json: bool, gateway: bool, **allowed: bool) -> None:
    """Plan, show, agree, apply what was shown, and ask the endpoint. `gateway`: gateway and records too."""
    api = deploy.api.Api(environment)
    with console.terminal.watching(f"planning {environment.run_name}") as notify:
        planned = deploy.planning.make(api, environment, notify, gateway=gateway)
        notify(f"secrets: {operate.doctor.check_secrets(api, environment)}")
    if dry_run or not json:
        deploy.views.plan(planned, json=json)
    deploy.guards.refuse(planned, **allowed)
    if dry_run:
        return
    console.prompts.confirm("Deploy this?", yes=yes or not planned.changes)
    deploy.outdated.refuse_changed(api, planned)
    name = environment.run_name
    with console.terminal.watching(f"deploying {name}") as notify, deploy.billing.billed(api, environment, notify):
        patient = api.patient(notify)
        deploy.gateways.apply(patient, planned, notify)
        run = deploy.rollout.deploy(patient, planned, notify)
        operate.views.status(operate.status.summarize(environment, run), json=json)
        patience = operate.smoke.REGISTRATION_SECONDS
        report = None if run.asleep else operate.smoke.smoke_test(environment, run, patience=patience)
        deploy.rollout.followed(patient, run, name)
        deploy.existing.remove(patient, environment, planned.removals, notify)
    if not json:
        operate.views.deployed(environment.name, report) if report else deploy.views.asleep(environment, run)


@command
def gateway_deploy(environment: Environment, allow_recreation: bool = False, json: bool = False) -> None:
    """Deploy the gateway, and wait until it runs."""
    deploy.documents.schema.check(environment)
    api, name = deploy.api.Api(environment), environment.run_name
    with console.terminal.watching(f"gateway {name}") as notify, deploy.billing.billed(api, environment, notify):
        gateway = deploy.gateways.deploy(api.patient(notify), environment, notify, allow_recreation=allow_recreation)
    deploy.views.gateway(environment.run_name, gateway, json=json)


@command
def gateway_status(environment: Environment, json: bool = False) -> None:
    """Show the gateway's replicas and addresses."""
    gateway = deploy.api.Api(environment).gateway(environment.run_name)
    deploy.views.gateway(environment.run_name, gateway, json=json)


@command
def gateway_destroy(environment: Environment, yes: bool = False, allow_outage: bool = False) -> None:
    """Delete the gateway and its DNS records.

    Callers can't reach the service by name afterwards. The service itself keeps running.
    """
    deploy.guards.refuse_outage(environment, allowed=allow_outage)
    console.prompts.confirm(f"Delete the gateway {environment.run_name} and its records?", yes=yes)
    with console.terminal.watching(f"gateway {environment.run_name}") as notify:
        deploy.gateways.destroy(deploy.api.Api(environment).patient(notify), environment, notify)


@command
def dns_update(environment: Environment, dry_run: bool = False, adopt: bool = False) -> None:
    """Update the DNS records to the gateway's running replicas."""
    with console.terminal.watching(f"record {environment.host}") as notify:
        deploy.route53.publish(deploy.api.Api(environment), environment, notify, dry_run=dry_run, adopt=adopt)


@command
def dns_show(environment: Environment, json: bool = False) -> None:
    """Show the service's DNS records in the hosted zone."""
    found = [asdict(record) for record in sorted(deploy.route53.zone_of(environment).read())]
    deploy.views.records(environment.host, found, json=json)


@command
def dns_delete(environment: Environment, yes: bool = False, allow_outage: bool = False) -> None:
    """Delete the service's DNS records."""
    deploy.guards.refuse_outage(environment, allowed=allow_outage)
    console.prompts.confirm(f"Delete the records of {environment.host}?", yes=yes)
    with console.terminal.watching(f"record {environment.host}") as notify:
        api = deploy.api.Api(environment).patient(notify)
        records = deploy.existing.resources_of(api, environment, notify, "records")
        deploy.existing.remove(api, environment, records, notify)


@command
def status(environment: Environment, json: bool = False) -> None:
    """Show the replicas, where they run, and what they cost."""
    run = deploy.api.Api(environment).run(environment.run_name)
    operate.views.status(operate.status.summarize(environment, run), json=json)


@command
def logs(environment: Environment, replica: int = -1, lines: int = 200) -> None:
    """Show the end of a replica's log.

    Without --replica, it is the newest container that wrote anything, whether it runs or has crashed.
    """
    api = deploy.api.Api(environment)
    run, which = api.run(environment.run_name), None if replica < 0 else replica
    for number, attempt in operate.status.attempts(environment, run, which):
        if written := api.log_tail(environment.run_name, attempt.id, lines):
            return operate.views.logs(number, attempt, written)


@command
def smoke(environment: Environment, json: bool = False) -> None:
    """Send test requests to the endpoint, and show the latencies."""
    run = deploy.api.Api(environment).run(environment.run_name)
    operate.views.smoke(operate.smoke.smoke_test(environment, run), json=json)


@command
def offers(environment: Environment, at_once: int = 0, json: bool = False) -> None:
    """Show the GPUs on offer, with prices and warnings."""
    found = deploy.offers.current_offers(environment).sorted_for(at_once)
    capacity.views.offers(found, concurrent=at_once, json=json)


@command
def size(
    environment: Environment,
    config: str = "",
    gpu_memory: str = "",
    utilization: str = "",
    tp: str = "",
    max_model_len: str = "",
    max_num_seqs: str = "",
    max_num_batched_tokens: str = "",
    kv_cache_dtype: str = "",
    weights: str = "",
    json: bool = False,
) -> None:
    """Show which GPUs this service, or another model, fits on."""
    overrides = {"utilization": utilization, "tp": tp, "max_model_len": max_model_len, "max_num_seqs": max_num_seqs}
    overrides |= {"max_num_batched_tokens": max_num_batched_tokens, "kv_cache_dtype": kv_cache_dtype}
    found = operate.sizes.sizes(environment, overrides, config=config, weights=weights, gpu_memory=gpu_memory)
    capacity.views.sizes(found, json=json, single=bool(gpu_memory))


@command
def bench(
    environment: Environment,
    concurrency: int = 8,
    requests: int = 100,
    input_tokens: int = 0,
    output_tokens: int = 0,
    folder: str = "bench",
    json: bool = False,
) -> None:
    """Measure latencies, throughput and cost under load.

    Sends real requests to the endpoint. Leaves the results in --folder.
    """
    load = operate.bench.planned_load(concurrency, requests, input_tokens, output_tokens)
    run = deploy.api.Api(environment).run(environment.run_name)
    with console.terminal.watching(f"load on {environment.run_name}") as notify:
        report = operate.bench.measure(environment, run, Path(folder), notify, load)
    operate.bench.save(report, operate.views.bench_picture(report), Path(folder))
    operate.views.bench(report, Path(folder), json=json)


@command_with_secrets
def variables(environment: Environment) -> None:
    """Print the variables for dstack's commands and for callers.

    To set them in a shell: eval "$(inv env)". On a terminal, it shows no secret.
    """
    run = operate.calling.run_if_known(deploy.api.Api(environment), environment)
    operate.views.variables(environment.name, operate.calling.variables(environment, run))


@command
def dstack(environment: Environment) -> None:
    """Run the dstack command line: `inv dstack -- ps -v`.

    It gets this environment's server, token and project.
    """
    operate.dstack_cli.run(environment, operate.dstack_cli.words_behind_dashes(sys.argv))


@command
def destroy(environment: Environment, yes: bool = False, dry_run: bool = False, allow_outage: bool = False) -> None:
    """Stop the service and delete everything that belongs to it.

    Releases the machines, deletes fleet, records and gateway, also those of earlier names of the service. Asks first.
    """
    with console.terminal.watching(f"looking for {environment.run_name}") as notify:
        api = deploy.api.Api(environment).patient(notify)
        resources = deploy.existing.existing_resources(api, environment, notify)
    deploy.views.existing(environment.run_name, resources)
    if dry_run or not resources:
        return
    deploy.guards.refuse_outage(environment, allowed=allow_outage)
    console.prompts.confirm(f"End {environment.run_name} and all requests to it?", yes=yes)
    name = environment.run_name
    with console.terminal.watching(f"destroying {name}") as notify, deploy.billing.remaining(api, environment, notify):
        deploy.existing.remove(api, environment, resources, notify)
    deploy.views.destroyed(environment.run_name)


@command
def setup_aws(
    environment: Environment,
    vpc: str = "",
    server_cidr: str = "",
    caller_cidr: str = "",
    repository: str = "",
    yes: bool = False,
    dry_run: bool = False,
    print: bool = False,
    json: bool = False,
) -> None:
    """Make what this service needs in AWS: security group, roles for GitHub's jobs.

    Writes the id of the VPC into the environment's file. Shows the steps and asks first. What others made stays.
    """
    answers = account.aws.answers.Answers(
        vpc, server_cidr, caller_cidr, repository, yes=yes or print or dry_run or json
    )
    steps, question = account.aws.setup.steps(environment, answers), f"Make this in AWS for {environment.name}?"
    account.execution.perform(steps, question, yes=yes, dry_run=dry_run, only_print=print, json=json)


@command
def setup_github(
    environment: Environment,
    reviewers: str = "",
    runner: str = "",
    main: bool = False,
    server_url: str = "",
    deploy_role: str = "",
    plan_role: str = "",
    yes: bool = False,
    dry_run: bool = False,
    print: bool = False,
    json: bool = False,
) -> None:
    """Make what the workflows need on GitHub.

    Environments with reviewers, variables, secrets, a rule for tags. Shows the steps and asks first.
    """
    answers = account.github.Answers(reviewers, runner, main, server_url, deploy_role, plan_role)
    steps = account.setup.on_github(environment, answers, console.terminal.progress.print)
    question = f"Make this on GitHub for {environment.name}?"
    account.execution.perform(steps, question, yes=yes, dry_run=dry_run, only_print=print, json=json)


@command
def setup_remove(
    environment: Environment, yes: bool = False, dry_run: bool = False, print: bool = False, json: bool = False
) -> None:
    """Delete what `inv setup.…` made for this service, in AWS and on GitHub.

    Shows it and asks first. What the account shares, and what others made, stays.
    """
    steps = account.setup.removal(environment, console.terminal.progress.print)
    question = f"Delete this of {environment.run_name}?"
    account.execution.perform(steps, question, yes=yes, dry_run=dry_run, only_print=print, json=json)


namespace = Collection(doctor, server, render, plan, size, offers, status, logs, smoke, bench, dstack, destroy)
namespace.add_task(deploy_all, name="deploy")
namespace.add_task(variables, name="env")
namespace.add_collection(Collection("secrets", set=secrets_set, list=secrets_list))
namespace.add_collection(Collection("service", deploy=service_deploy))
namespace.add_collection(Collection("gateway", deploy=gateway_deploy, status=gateway_status, destroy=gateway_destroy))
namespace.add_collection(Collection("dns", update=dns_update, show=dns_show, delete=dns_delete))
namespace.add_collection(Collection("setup", aws=setup_aws, github=setup_github, remove=setup_remove))
ORDER_OF_WORK = {  # for `inv` and `inv --list`
    "First deploy": ("server", "secrets.set", "secrets.list", "doctor", "size", "offers", "plan", "deploy", "env"),
    "Every day": ("status", "logs", "smoke", "bench", "render", "service.deploy", "dstack"),
    "An account": ("setup.aws", "setup.github"),
    "Gateway and DNS records": ("gateway.deploy", "gateway.status", "dns.update", "dns.show"),
    "Ending": ("dns.delete", "gateway.destroy", "destroy", "setup.remove"),
}
refuse_misplaced_environment()
show_if_asked(namespace, ORDER_OF_WORK)
