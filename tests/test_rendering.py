"""What every combination of answers renders to: which files, in which state."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import yaml
from dstack._internal.core.models.configurations import parse_apply_configuration

from tasks import TEMPLATE, python_files
from tests.rendered import Bake, files, parsed

FILES = {
    ".devcontainer/devcontainer.json",
    ".devcontainer/post-create.sh",
    ".env.example",
    ".github/actions/setup/action.yml",
    ".github/dependabot.yml",
    ".github/pull_request_template.md",
    ".github/workflows/ci.yml",
    ".github/workflows/deploy.yml",
    ".github/workflows/dns.yml",
    ".github/workflows/drift.yml",
    ".github/workflows/gateway.yml",
    ".github/workflows/plan.yml",
    ".github/workflows/recover.yml",
    ".github/workflows/service.yml",
    ".github/workflows/template-update.yml",
    ".gitignore",
    ".pre-commit-config.yaml",
    "AGENTS.md",
    "README.md",
    "account/__init__.py",
    "account/aws/__init__.py",
    "account/aws/answers.py",
    "account/aws/checks.py",
    "account/aws/client.py",
    "account/aws/group_steps.py",
    "account/aws/network.py",
    "account/aws/role_steps.py",
    "account/aws/roles.py",
    "account/aws/security_group.py",
    "account/aws/setup.py",
    "account/aws/zone.py",
    "account/checks.py",
    "account/execution.py",
    "account/files.py",
    "account/findings.py",
    "account/github/__init__.py",
    "account/github/answers.py",
    "account/github/client.py",
    "account/github/parts.py",
    "account/github/protection.py",
    "account/github/removal.py",
    "account/github/repository.py",
    "account/github/secrets.py",
    "account/github/setup.py",
    "account/github/state.py",
    "account/github/variables.py",
    "account/gpu_clouds.py",
    "account/setup.py",
    "account/steps.py",
    "account/views.py",
    "capacity/README.md",
    "capacity/__init__.py",
    "capacity/attention.py",
    "capacity/cards.json",
    "capacity/cards.py",
    "capacity/drafts.py",
    "capacity/encoders.py",
    "capacity/errors.py",
    "capacity/flags.py",
    "capacity/keys.py",
    "capacity/kinds.py",
    "capacity/known_flags.py",
    "capacity/kv_cache.py",
    "capacity/length.py",
    "capacity/machines.py",
    "capacity/memory.py",
    "capacity/model.json",
    "capacity/model.py",
    "capacity/offers.py",
    "capacity/parameters.py",
    "capacity/problems.py",
    "capacity/quantization.py",
    "capacity/served.py",
    "capacity/sizing.py",
    "capacity/sources.py",
    "capacity/states.py",
    "capacity/views.py",
    "capacity/weights.py",
    "commands/__init__.py",
    "commands/command.py",
    "commands/deploying.py",
    "commands/gateway.py",
    "commands/operating.py",
    "commands/preparing.py",
    "commands/seeing.py",
    "commands/setup.py",
    "console/__init__.py",
    "console/command.py",
    "console/connection.py",
    "console/ending.py",
    "console/errors.py",
    "console/invocation.py",
    "console/lazy.py",
    "console/listing.py",
    "console/prompts.py",
    "console/remedies.py",
    "console/terminal.py",
    "console/variables.py",
    "console/views.py",
    "deploy/__init__.py",
    "deploy/alarms.py",
    "deploy/api.py",
    "deploy/billing.py",
    "deploy/changes.py",
    "deploy/cloudwatch.py",
    "deploy/documents/__init__.py",
    "deploy/documents/checks.py",
    "deploy/documents/combined.py",
    "deploy/documents/files.py",
    "deploy/documents/models.py",
    "deploy/documents/monitor.py",
    "deploy/documents/problems.py",
    "deploy/documents/references.py",
    "deploy/documents/schema.py",
    "deploy/documents/server_rules.py",
    "deploy/dstack/__init__.py",
    "deploy/dstack/answers.py",
    "deploy/dstack/client.py",
    "deploy/dstack/failures.py",
    "deploy/dstack/gateway.py",
    "deploy/dstack/observations.py",
    "deploy/dstack/polling.py",
    "deploy/dstack/refusals.py",
    "deploy/environments.py",
    "deploy/existing.py",
    "deploy/gateway_choice.py",
    "deploy/gateways.py",
    "deploy/guards.py",
    "deploy/instances.py",
    "deploy/observing.py",
    "deploy/offers.py",
    "deploy/outdated.py",
    "deploy/ownership.py",
    "deploy/planning.py",
    "deploy/plans.py",
    "deploy/git.py",
    "deploy/deployments.py",
    "deploy/reaching.py",
    "operate/history.py",
    "operate/rollback.py",
    "deploy/readiness.py",
    "deploy/records.py",
    "deploy/removal.py",
    "deploy/rollout.py",
    "deploy/route53.py",
    "deploy/settings.py",
    "deploy/views.py",
    "docs/account.md",
    "docs/call-it.md",
    "docs/change.md",
    "docs/ci.md",
    "docs/configure.md",
    "docs/cost.md",
    "docs/production.md",
    "docs/reference.md",
    "docs/runbook/README.md",
    "docs/runbook/bill.md",
    "docs/runbook/crash-loop.md",
    "docs/runbook/dns.md",
    "docs/runbook/dstack-server.md",
    "docs/runbook/gateway.md",
    "docs/runbook/go-back.md",
    "docs/runbook/leaked-token.md",
    "docs/runbook/no-answer.md",
    "docs/runbook/no-capacity.md",
    "docs/runbook/orphaned-machine.md",
    "docs/runbook/slow.md",
    "docs/runbook/waiting-deploy.md",
    "docs/security.md",
    "dstack/fleet.dstack.yml",
    "dstack/gateway.dstack.yml",
    "dstack/service.dstack.yml",
    "engine/__init__.py",
    "engine/monitor.py",
    "environments/dev.yml",
    "environments/prod.yml",
    "environments/sandbox.yml",
    "operate/__init__.py",
    "operate/bench.py",
    "operate/bench.yml",
    "operate/calling.py",
    "operate/chat.py",
    "operate/doctor.py",
    "operate/events.py",
    "operate/incidents.py",
    "operate/logs.py",
    "operate/metrics.py",
    "operate/metrics_view.py",
    "operate/pages.py",
    "operate/dstack_cli.py",
    "operate/endpoint.py",
    "operate/gateway_look.py",
    "operate/gateway_view.py",
    "operate/health.py",
    "operate/kind.py",
    "operate/measurements.py",
    "operate/recovering.py",
    "operate/recovery.py",
    "operate/server.py",
    "operate/sizes.py",
    "operate/smoke.py",
    "operate/status.py",
    "operate/surroundings.py",
    "operate/times.py",
    "operate/views.py",
    "policies/alarms.json",
    "policies/dns-trust.json",
    "policies/dns.json",
    "policies/doctor.json",
    "policies/gateway-load-balancer.json",
    "policies/gateway.json",
    "policies/plan-trust.json",
    "policies/plan.json",
    "policies/recover.json",
    "pyproject.toml",
    "requirements.txt",
    "server/config.example.yml",
    "tasks.py",
    "tests/answering.py",
    "tests/conftest.py",
    "tests/endpoint.py",
    "tests/pages.py",
    "tests/person.py",
    "tests/planned.py",
    "tests/reference.py",
    "tests/stand_in/__init__.py",
    "tests/stand_in/aws.py",
    "tests/stand_in/cloudwatch.py",
    "tests/stand_in/endpoint.py",
    "tests/stand_in/machines.py",
    "tests/stand_in/resources.py",
    "tests/stand_in/route53.py",
    "tests/stand_in/routes.py",
    "tests/stand_in/runs.py",
    "tests/stand_in/server.py",
    "tests/test_account_files.py",
    "tests/test_agents.py",
    "tests/test_alarms.py",
    "tests/test_api.py",
    "tests/test_applied.py",
    "tests/test_bench.py",
    "tests/test_billing.py",
    "tests/test_changes.py",
    "tests/test_checks.py",
    "tests/test_client.py",
    "tests/test_combined.py",
    "tests/test_connection.py",
    "tests/test_docs.py",
    "tests/test_doctor.py",
    "tests/test_dstack_cli.py",
    "tests/test_ending.py",
    "tests/test_environments.py",
    "tests/test_existing.py",
    "tests/test_follow.py",
    "tests/test_gateway_choice.py",
    "tests/test_gateways.py",
    "tests/test_github.py",
    "tests/test_gpu_clouds.py",
    "tests/test_inv_alarms.py",
    "tests/test_incidents.py",
    "tests/test_inv_capacity.py",
    "tests/test_inv_deploy.py",
    "tests/test_inv_env.py",
    "tests/test_inv_front.py",
    "tests/test_inv_operate.py",
    "tests/test_inv_plan.py",
    "tests/test_inv_seeing.py",
    "tests/test_inv_setup.py",
    "tests/test_invocation.py",
    "tests/test_listing.py",
    "tests/test_monitor.py",
    "tests/test_monitor_in_env.py",
    "tests/test_metrics.py",
    "tests/test_observing.py",
    "tests/test_offers.py",
    "tests/test_outdated.py",
    "tests/test_output.py",
    "tests/test_plans.py",
    "tests/test_prompts.py",
    "tests/test_reaching.py",
    "tests/test_deployments.py",
    "tests/test_git.py",
    "tests/test_inv_history.py",
    "tests/test_readiness.py",
    "tests/test_records.py",
    "tests/test_inv_recovery.py",
    "tests/test_recovery.py",
    "tests/test_references.py",
    "tests/test_remedies.py",
    "tests/test_repairs.py",
    "tests/test_roles.py",
    "tests/test_rollout.py",
    "tests/test_schema.py",
    "tests/test_security_group.py",
    "tests/test_server.py",
    "tests/test_sizing.py",
    "tests/test_sizing_encoders.py",
    "tests/test_sizing_flags.py",
    "tests/test_sizing_keys.py",
    "tests/test_sizing_length.py",
    "tests/test_sizing_quantization.py",
    "tests/test_sizing_states.py",
    "tests/test_smoke.py",
    "tests/test_terminal.py",
    "tests/test_variables.py",
}
PICTURES = "Tongyi-MAI/Z-Image-Turbo"  # what is rendered only for its kind of model: another smoke test
FILES_FOR_CHATS = {
    "engine/__init__.py",
    "engine/monitor.py",
    "operate/chat.py",
    "tests/test_monitor.py",
    "tests/test_smoke.py",
}
FILES_FOR_PICTURES = (FILES | {"operate/pictures.py", "tests/test_pictures.py"}) - FILES_FOR_CHATS
# the other kinds that vLLM serves
OTHERS = {
    "BAAI/bge-m3": "embeddings",
    "Qwen/Qwen3-Reranker-0.6B": "reranking",
    "openai/whisper-large-v3-turbo": "transcription",
}
PATHS = {"embeddings": "/embeddings", "reranking": "/v1/rerank", "transcription": "audio/"}
OF_CHATS_ALONE = {"operate/chat.py", "tests/test_smoke.py"}


def expected_files(model_id: str) -> set[str]:
    """The files of a rendering for this model."""
    if model_id == PICTURES:
        return FILES_FOR_PICTURES
    if kind := OTHERS.get(model_id):
        return (FILES | {f"operate/{kind}.py", f"tests/test_{kind}.py"}) - OF_CHATS_ALONE
    return FILES


COMBINATIONS = [
    dict(zip(("gpu_clouds", "precision", "model_id"), values, strict=True))
    for values in itertools.product(
        ("both", "runpod", "vastai"),
        ("published", "fp8"),
        ("mistralai/Mistral-Nemo-Instruct-2407", "somebody/Unknown-70B"),
    )
] + [{"gpu_clouds": clouds, "precision": "published", "model_id": PICTURES} for clouds in ("both", "runpod", "vastai")]
COMBINATIONS += [{"gpu_clouds": "both", "precision": "published", "model_id": model_id} for model_id in OTHERS]
LEFTOVER = re.compile(r"<<|<%|%>|<#|#>|^\s*#%|\bcookiecutter\.(?!json)", re.MULTILINE)

every_combination = pytest.mark.parametrize(
    "answers", COMBINATIONS, ids=lambda answers: "-".join(value.split("/")[0] for value in answers.values())
)


@every_combination
def test_these_files_are_rendered_and_no_others(baked: Bake, answers: dict[str, str]) -> None:
    assert files(baked(**answers)).keys() == expected_files(answers["model_id"])


def test_a_service_for_chats_carries_nothing_of_pictures_and_the_other_way_round(baked: Bake) -> None:
    """Python aside: that is the same for both, but for the files that FILES_FOR_PICTURES and FILES_FOR_CHATS name."""
    chats, pictures = (
        "".join(text for name, text in files(baked(**answers)).items() if not name.endswith(".py"))
        for answers in ({}, {"model_id": PICTURES})
    )
    assert not re.search("omni|a picture|pillow|images/", chats, re.IGNORECASE)
    assert not re.search("chat/|lora_flags|--lora|tool_flags", pictures, re.IGNORECASE)


@pytest.mark.parametrize("model_id", OTHERS)
def test_a_service_of_another_kind_carries_nothing_of_the_rest(baked: Bake, model_id: str) -> None:
    texts = [text for name, text in files(baked(model_id=model_id)).items() if not name.endswith(".py")]
    others = "|".join(path for kind, path in PATHS.items() if kind != OTHERS[model_id])
    assert not re.search(f"omni|a picture|pillow|images/|chat/|lora_flags|--lora|tool_flags|{others}", "".join(texts))


@pytest.mark.parametrize("answers", [{}, {"model_id": PICTURES}], ids=["chat", "pictures"])
def test_python_is_the_templates_own_byte_for_byte(baked: Bake, answers: dict[str, str]) -> None:
    """So linters, type checkers and editors read the template itself. What differs is data, or a file's presence."""
    project = baked(**answers)
    rendered = {path.relative_to(project).as_posix(): path.read_bytes() for path in project.rglob("*.py")}
    written = {name: path.read_bytes() for name, path in python_files(TEMPLATE).items()}
    assert len(rendered) > 50
    assert [name for name, text in rendered.items() if written.get(name) != text] == []


@every_combination
def test_every_file_is_what_its_name_says(baked: Bake, answers: dict[str, str]) -> None:
    for name, text in files(baked(**answers)).items():
        parsed(name, text)


@every_combination
def test_nothing_of_the_template_is_left(baked: Bake, answers: dict[str, str]) -> None:
    for name, text in files(baked(**answers)).items():
        assert not LEFTOVER.search(text), name
        assert not re.search(r"[ \t]$|\n\n\n\n|\n\n\Z", text, re.MULTILINE), f"{name}: stray blanks"
        assert text == "" or text.endswith("\n"), name


@every_combination
def test_dstack_takes_its_files(baked: Bake, answers: dict[str, str]) -> None:
    documents = sorted((baked(**answers) / "dstack").glob("*.dstack.yml"))
    assert documents
    for document in documents:
        configuration = parse_apply_configuration(yaml.safe_load(document.read_text("utf-8")))
        assert configuration.type == document.name.split(".")[0]


def test_what_can_not_be_changed_without_an_outage_is_right_from_the_first_deploy(baked: Bake) -> None:
    files = {path.name: yaml.safe_load(path.read_text("utf-8")) for path in baked().glob("*/*.yml")}
    service, fleet = files["service.dstack.yml"], files["fleet.dstack.yml"]
    assert service["retry"] == {"on_events": ["no-capacity", "interruption", "error"], "duration": "3650d"}
    assert service["fleets"] == [fleet["name"]] == [service["name"]]
    assert service["backends"] == fleet["backends"] == ["runpod", "vastai"]
    assert service["spot_policy"] == fleet["spot_policy"] == "on-demand"
    assert service["backend_options"] == [{"type": "vastai", "min_reliability": 0.98, "offer_order": "price"}]
    assert service["stop_duration"] == "5m"
    assert service["auth"] is True
    clouds = {cloud["type"]: cloud for cloud in files["config.example.yml"]["projects"][0]["backends"]}
    assert not any(clouds[name]["community_cloud"] for name in service["backends"])


@every_combination
def test_only_the_chosen_clouds_are_named_in_what_is_deployed(baked: Bake, answers: dict[str, str]) -> None:
    chosen = {"runpod", "vastai"} if answers["gpu_clouds"] == "both" else {answers["gpu_clouds"]}
    project = baked(**answers)
    for document in (project / "dstack").glob("*.dstack.yml"):
        assert set(yaml.safe_load(document.read_text("utf-8")).get("backends", chosen)) - {"aws"} == chosen
    (server,) = yaml.safe_load((project / "server" / "config.example.yml").read_text("utf-8"))["projects"]
    assert {backend["type"] for backend in server["backends"]} - {"aws"} == chosen


@pytest.mark.parametrize("address", ["https://dstack.example.com", "http://10.0.0.5:3000"])
def test_whoever_is_on_call_finds_the_server_in_the_repository(baked: Bake, address: str) -> None:
    rendered = baked(dstack_server=address)
    prod = yaml.safe_load((rendered / "environments" / "prod.yml").read_text("utf-8"))
    assert prod["server"] == {"url": address, "project": "main"}
    for page in ("runbook/README", "production"):
        assert "DSTACK_SERVER_URL" not in (rendered / "docs" / f"{page}.md").read_text("utf-8")
    assert address in (rendered / "docs" / "runbook" / "README.md").read_text("utf-8")


@pytest.mark.parametrize("project", ["007", "null", "1e3", "main"])
def test_a_project_of_any_name_stays_a_name(baked: Bake, project: str) -> None:
    rendered = baked(dstack_project=project)
    environments = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in rendered.glob("environments/*.yml")}
    assert environments["prod"]["server"]["project"] == environments["dev"]["server"]["project"] == project
    (server,) = yaml.safe_load((rendered / "server" / "config.example.yml").read_text("utf-8"))["projects"]
    assert server["name"] == project


CODE = [path for path in sorted(TEMPLATE.rglob("*")) if re.search(r"\.(py|toml|yml)\b", path.name)]


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_template_files_parse_before_they_are_rendered(path: Path) -> None:
    """So that linters, editors and update bots can read the template."""
    parsed(re.sub("<%.*?%>", "", path.name), path.read_text("utf-8"))


def test_two_python_files_of_one_name_are_refused(tmp_path: Path) -> None:
    """They could not be checked together: a linter would see one of them."""
    for name in ("<% if a %>kind.py<% endif %>", "<% if not a %>kind.py<% endif %>"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="the same name in a generated repository"):
        python_files(tmp_path)


def test_an_answer_to_no_question_fails_the_bake(bake: Bake) -> None:
    """cookiecutter ignores it without a word."""
    with pytest.raises(ValueError, match="doesn't ask for modelid"):
        bake(modelid="a/b")
