from pathlib import Path

import pytest
from conftest import VARIABLES, Write, read_yaml
from dstack.api import Service

from console.errors import ExitCode, Failure
from deploy.documents.checks import bounds, replica_bounds
from deploy.documents.files import Document
from deploy.environments import ROOT, Environment, load, merge

SLUG = read_yaml(ROOT / "dstack" / "service.dstack.yml")["name"]


LAUGHS = "server: {project: p}\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]\n" for n in range(9)
)  # nine levels of nine aliases: 43 million values


def refusal(root: Path, name: str = "dev", variables: dict[str, str] = VARIABLES) -> str:
    """The one line with which loading fails."""
    with pytest.raises(Failure) as refused:
        load(name, root, variables)
    assert refused.value.code == ExitCode.SETTINGS_INVALID
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "environments").glob("*.yml")))
def test_every_environment_of_this_repository_is_valid(name: str) -> None:
    written = read_yaml(ROOT / "environments" / f"{name}.yml")["server"]
    variables = {"DSTACK_TOKEN": "t"} | ({} if "url" in written else {"DSTACK_SERVER_URL": "http://127.0.0.1:1"})
    environment = load(name, ROOT, variables)
    assert environment.run_name == (SLUG if name == "prod" else f"{SLUG}-{name}")
    assert environment.service["fleets"] == [environment.run_name] == [environment.fleet["name"]]
    Service.model_validate(environment.service)  # keys and values are those of dstack


def test_an_environment_is_merged_over_the_dstack_files(root: Path, write: Write) -> None:
    write("environments/dev.yml", "{server: {project: p}, service: {env: {MAX_MODEL_LEN: 4K, ROLLOUT: null}}}")
    base, merged = read_yaml(root / "dstack" / "service.dstack.yml"), load("dev", root, VARIABLES).service
    assert merged["env"] == {k: v for k, v in base["env"].items() if k != "ROLLOUT"} | {"MAX_MODEL_LEN": "4K"}
    assert merged["commands"] == base["commands"]


def test_merging_changes_neither_side() -> None:
    base, overlay = {"a": {"b": 1}, "c": [1, 2]}, {"a": {"b": None, "d": 2}, "c": [3]}
    assert merge(base, overlay) == {"a": {"d": 2}, "c": [3]}
    assert (base, overlay) == ({"a": {"b": 1}, "c": [1, 2]}, {"a": {"b": None, "d": 2}, "c": [3]})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("servr: {project: p}", "server: is missing"),
        ("{server: {project: p}, protect: true}", "protect: an environment has no such key; did you mean protected?"),
        ("server: {project: p, url: dstack.example.com}", "server.url"),
        ("{server: {project: 7}}", "server.project: Input should be a valid string"),
        ("{server: {project: p}, protected: 'yes'}", "protected: Input should be a valid boolean"),
        ("{server: {project: p}, timeouts: {ready: 0}}", "timeouts.ready: Input should be greater"),
        ("{server: {project: p}, timeouts: {capacity: 15m}}", "write seconds, e.g. 900 for 15 minutes"),
        ("{server: {project: p}, service: {type: task}}", "service.type: must be service"),
        ("{server: {project: p}, service: {name: other}}", "another name would be another service"),
        ("{server: {project: p}, service: {fleets: [other]}}", "another name would be another service"),
        ("{server: {project: p}, fleet: {name: other}}", "another name would be another service"),
        ("{server: {project: p}, service: {env: [A=1]}}", "service.env: must be a mapping"),
        ("{server: {project: p}, service: {backends: runpod}}", "service.backends: must be a list, is 'runpod'"),
        ("server: {project: p}\nprotected: true\nprotected: false", "line 3: not YAML: the key protected is"),
        ("{server: {project: p}, service: {env: {A: 1, A: 2}}}", "the key A is written twice"),
        ("server: {project: p", "line 1: not YAML"),
        ("server:\n  project: p\n oops", "line 3: not YAML"),
        ("- a\n- b", "holds a list; write keys and values"),
        ("", "is empty; write keys and values"),
        ("server: {project: p}\nservice: &a {env: *a}", "its aliases make more than"),
        (LAUGHS, "its aliases make more than"),
        ("server: {project: p}\nservice: {port: !!int x}", "a value does not have the form of its tag"),
        ("server: {project: p}\nservice: {auth: !!bool x}", "a value does not have the form of its tag"),
        ("server: {project: p}\nservice: {a: !!map x}", "not YAML"),
        ("server: {project: p}\nservice: " + "[" * 3000, "not YAML"),
        ("server: {project: p}\nservice: {a: \0}", "not YAML"),
        ("server: {project: p}\n--- {}", "not YAML: but found another document"),
        ("? [a]\n: b", "not YAML: found unhashable key"),
        ("{server: {project: p}, service: {backends: 3, https: 5}}", "service.backends: must be a list, is 3"),
        ("{server: {project: p}, service: {https: 5}}", "service.https"),
    ],
)
def test_a_wrong_environment_is_refused_with_file_and_key(root: Path, write: Write, text: str, named: str) -> None:
    write("environments/dev.yml", text)
    message = refusal(root)
    assert message.startswith("environments/dev.yml: ")
    assert named in message
    assert message.count("; ") <= 1


@pytest.mark.parametrize(
    ("service", "fleet", "named"),
    [
        ("{replicas: 3}", "{}", "write 0..4"),
        ("{replicas: 1..4}", "{nodes: 0..5}", "service.scaling"),
        ("{replicas: 1..4, scaling: {metric: rps, target: 5}}", "{nodes: 0..5}", "behind a gateway"),
        ("{rate_limits: [{rps: 1}]}", "{}", "service.rate_limits"),
        ("{https: true}", "{}", "service.https"),
        ("{replicas: many}", "{}", "'many' is not a number or a range"),
        ("{}", "{nodes: 1..3}", "fleet.nodes: must begin with 0"),
        ("{}", "{nodes: null}", "None is not a number or a range"),
    ],
)
def test_what_dstack_refuses_at_the_last_moment_is_refused_here(
    root: Path, write: Write, service: str, fleet: str, named: str
) -> None:
    write("environments/dev.yml", f"{{server: {{project: p}}, service: {service}, fleet: {fleet}}}")
    assert named in refusal(root)


def test_a_gateway_allows_what_needs_one(root: Path, write: Write) -> None:
    service = "{gateway: g, https: auto, replicas: 1..4, scaling: {metric: rps, target: 5}, rate_limits: [{rps: 9}]}"
    write("environments/dev.yml", f"{{server: {{project: p}}, service: {service}, fleet: {{nodes: 0..5}}}}")
    assert load("dev", root, VARIABLES).service["gateway"] == "g"


def test_an_environment_that_does_not_exist_is_refused_with_those_that_do(root: Path) -> None:
    names = sorted(path.stem for path in (root / "environments").glob("*.yml"))
    assert f"there are: {', '.join(names)}" in refusal(root, "nowhere")


def test_a_run_name_that_dstack_refuses_is_refused(root: Path, write: Write) -> None:
    write(f"environments/{'long' * 10}.yml", "server: {project: p}")
    assert "the name of the run would be" in refusal(root, "long" * 10)


@pytest.mark.parametrize("variable", ["DSTACK_SERVER_URL", "DSTACK_PROJECT"])
def test_a_leftover_variable_does_not_send_a_deploy_elsewhere(root: Path, write: Write, variable: str) -> None:
    write("environments/dev.yml", "server: {project: p, url: 'http://127.0.0.1:3000'}")
    assert variable in refusal(root, variables={variable: "http://elsewhere", "DSTACK_TOKEN": "t"})


@pytest.mark.parametrize("token", ["tok€n", "token\n", "token\r"])
def test_a_token_that_can_not_be_sent_is_named_and_not_shown(root: Path, token: str) -> None:
    message = refusal(root, "prod", VARIABLES | {"DSTACK_TOKEN": token})
    assert "DSTACK_TOKEN" in message
    assert "tok" not in message.replace("token", "")


@pytest.mark.parametrize("width", range(40, 110, 7))
def test_a_secret_is_seen_however_long_its_line_is(root: Path, write: Write, width: int) -> None:
    """YAML would fold a long one that needs quotes, between the dollar and the name."""
    text = f'{{server: {{project: p}}, service: {{env: {{A: "{"é" * width} ${{{{ secrets.one }}}}"}}}}}}'
    write("environments/dev.yml", text)
    assert "one" in load("dev", root, VARIABLES).secrets


def test_a_server_without_a_scheme_is_refused(root: Path) -> None:
    assert "write e.g. https://" in refusal(root, "prod", {"DSTACK_SERVER_URL": "dstack.example.com"})


def test_a_server_that_is_named_nowhere_is_asked_for(root: Path) -> None:
    assert "server.url is missing" in refusal(root, "prod", {})


def test_variables_win_over_dotenv_and_the_environments_own_dotenv_over_the_common(root: Path, write: Write) -> None:
    write(".env", "DSTACK_TOKEN=common\nDSTACK_SERVER_URL=http://common\n")
    write(".env.prod", "DSTACK_TOKEN=own\n")
    environment = load("prod", root, {})
    assert (environment.token, environment.server_url) == ("own", "http://common")
    assert load("prod", root, {"DSTACK_TOKEN": "shell"}).token == "shell"


def test_a_token_is_not_shown(environment: Environment) -> None:
    assert "t0ken" not in repr(environment)


def test_secrets_are_found_wherever_they_are_referred_to(root: Path, write: Write) -> None:
    env = "{A: '${{ secrets.b }}', B: 'x${{secrets.a}}', C: '$${{ secrets.c }}', HF_TOKEN: null}"
    text = f"{{server: {{project: p}}, service: {{env: {env}}}}}"
    write("environments/dev.yml", text)
    assert load("dev", root, VARIABLES).secrets == ("a", "b")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2, (2, 2)),
        ("0..3", (0, 3)),
        ({"min": 1, "max": 4}, (1, 4)),
        ("3", (3, 3)),
        ("1 .. 4", (1, 4)),
        ("..4", (0, 4)),
        ({"min": None, "max": 4}, (0, 4)),
    ],
)
def test_ranges_are_read_as_dstack_reads_them(value: object, expected: tuple[int, int]) -> None:
    assert bounds(value) == expected


@pytest.mark.parametrize(
    "value", [None, True, "4..1", "..", "two", 1.5, -1, "", "2..", [1], {}, {"max": [1]}, "9" * 5000]
)
def test_what_is_no_range_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a number or a range"):
        bounds(value)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({}, (1, 1)),
        ({"replicas": None}, (1, 1)),
        ({"replicas": 0}, (0, 0)),
        ({"replicas": "0..3"}, (0, 3)),
        ({"groups": [{"replicas": 2}, {"replicas": "1..4"}]}, (3, 6)),
        ({"groups": [{"count": 2}], "replicas": None}, (2, 2)),
        ({"replicas": [{"count": 2}, {"replicas": 1}]}, (3, 3)),
        ({"groups": []}, (0, 0)),
    ],
)
def test_a_services_replicas_are_counted_over_its_groups(service: Document, expected: tuple[int, int]) -> None:
    assert replica_bounds(service) == expected


@pytest.mark.parametrize(
    "service", [{"replicas": [1]}, {"groups": 3}, {"groups": [3]}, {"groups": [{"replicas": "x"}]}]
)
def test_replicas_that_can_not_be_counted_are_a_value_error(service: Document) -> None:
    with pytest.raises(ValueError, match="is not a"):
        replica_bounds(service)


@pytest.mark.parametrize("line", ["replicas: null", "groups: [{replicas: 2, commands: [a]}]\n  replicas: null"])
def test_a_service_without_replicas_is_loaded(root: Path, write: Write, line: str) -> None:
    write("environments/dev.yml", f"server: {{project: p}}\nservice:\n  {line}\n")
    assert "replicas" not in load("dev", root, VARIABLES).service


def test_anchors_and_merge_keys_work(root: Path, write: Write) -> None:
    merge_key = "<" * 2
    service = f"env: &a {{A: 1}}\n  tags: {{{merge_key}: *a, B: 2}}\n  registry_auth: *a"
    text = f"server: {{project: p}}\nservice:\n  {service}\n"
    write("environments/dev.yml", text)
    loaded = load("dev", root, VARIABLES).service
    assert (loaded["tags"], loaded["registry_auth"]) == ({"A": 1, "B": 2}, {"A": 1})


@pytest.mark.parametrize(
    ("gateway", "dns", "named"),
    [
        ("{domain: internal}", "{vpc_id: v}", "gateway.domain: must be the name of the hosted zone"),
        ("{default: true}", "{vpc_id: v}", "gateway.default: must be false"),
        ("{}, service: {https: true}", "{vpc_id: v}", "service.https: true needs a gateway with a certificate"),
        (
            "{certificate: {type: acm, arn: a}}, service: {https: false}",
            "{vpc_id: v}",
            "service.https: false is impossible: a load balancer with a certificate",
        ),
        ("{region: null}", "{vpc_id: v}", "gateway.region: null removes the line"),
        ("{certificate: null}", "{vpc_id: v}", "gateway.certificate: null removes the line"),
        ("{}", "{}", "dns.vpc_id: is missing: the record of a private gateway belongs into the private zone"),
        ("null", "{vpc_id: v}", "dns: without a gateway there is no address for a record"),
    ],
)
def test_a_wrong_gateway_is_refused(root: Path, write: Write, gateway: str, dns: str, named: str) -> None:
    write("environments/dev.yml", f"{{server: {{project: p}}, gateway: {gateway}, dns: {dns}}}")
    assert named in refusal(root)


def test_a_service_is_registered_at_its_own_gateway(root: Path, write: Write) -> None:
    write("environments/dev.yml", "{server: {project: p}, gateway: {domain: ai.test}, dns: {vpc_id: v}}")
    environment = load("dev", root, VARIABLES)
    assert environment.gateway is not None
    assert environment.gateway["name"] == environment.service["gateway"] == environment.run_name
    assert environment.host == f"{environment.run_name}.ai.test"


@pytest.mark.parametrize(
    ("name", "gateway", "problem"),
    [
        ("gw-b", "null", "-gw-b ends the name of a gateway that replaces another one"),
        ("dev-gw-b", "{domain: ai.test}", "-gw-b ends the name of a gateway that replaces another one"),
    ],
)
def test_a_name_whose_gateway_could_not_be_replaced_is_refused(
    root: Path, write: Write, name: str, gateway: str, problem: str
) -> None:
    write(f"environments/{name}.yml", f"{{server: {{project: p}}, gateway: {gateway}, dns: {{vpc_id: v}}}}")
    with pytest.raises(Failure, match=problem) as refused:
        load(name, root, VARIABLES)
    assert refused.value.code == ExitCode.SETTINGS_INVALID


@pytest.mark.parametrize(("length", "accepted"), [(36, True), (37, False), (41, False)])
def test_a_name_leaves_room_for_that_of_the_gateway_that_replaces_one(
    root: Path, write: Write, length: int, accepted: bool
) -> None:
    name = "a" * (length - len(load("prod", root, VARIABLES).run_name) - 1)
    write(f"environments/{name}.yml", "{server: {project: p}, gateway: {domain: ai.test}, dns: {vpc_id: v}}")
    if accepted:
        assert max(map(len, load(name, root, VARIABLES).gateway_names)) == 41
        return
    with pytest.raises(Failure, match="a service behind a gateway may have 36 characters"):
        load(name, root, VARIABLES)
