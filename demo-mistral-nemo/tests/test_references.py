"""References to secrets and more: seen where dstack fills them in, refused where it would end or spoil the service."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.documents.references import first_wrong, referred


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${{ secret.api_key }}", "write ${{ secrets.api_key }}"),
        ("${{ Secrets.api_key }}", "write ${{ secrets.api_key }}"),
        ("${{ env.X }}", "only `dstack apply` fills in ${{ env.X }}"),
        ("${{ run.args }}", "only `dstack apply` fills in ${{ run.args }}; write the arguments into the command"),
        ("${{ dstack.job_num }}", "write ${{ secrets.NAME }}"),
        ("write ${{ name", "'${{ name' opens a reference and does not close it"),
        ("${{ secrets.my-key }}", "a name has letters, digits and _"),
        ("${{ secrets }}", "is not a reference that dstack can read"),
        ("${{}}", "is not a reference that dstack can read"),
        ("${{ groups[0].replicas[0].IP_ADDRESS }}", "in commands only"),
        ("${{ secrets.a }} ${{ secret.b }}", "write ${{ secrets.b }}"),
        ("$5 $${{ secret.a }}", "write ${{ secrets.a }}"),  # dstack sees no escape after a lone dollar
    ],
)
def test_what_would_end_a_service_is_refused_with_what_to_write(text: str, said: str) -> None:
    assert said in str(first_wrong("service", {"env": {"A": text}}))
    assert str(first_wrong("service", {"env": {"A": text}})).startswith("service.env.A: ")
    assert first_wrong("service", {"registry_auth": {"password": text}})


@pytest.mark.parametrize(
    "text", ["${{ secrets.a }}", "x${{secrets.a_1}}y", "$${{ secret.a }}", "$${{ a", "$5", "{{ a }}", "$"]
)
def test_what_dstack_fills_in_or_leaves_alone_is_taken(text: str) -> None:
    assert first_wrong("service", {"env": {"A": text}, "registry_auth": {"username": text}}) is None


@pytest.mark.parametrize(
    ("service", "key"),
    [
        ({"image": "${{ secrets.image }}"}, "image"),
        ({"commands": ["a", "b ${{ secrets.a }}"]}, "commands[1]"),
        ({"commands": ["b ${{ run.args }}"]}, "commands[0]"),
        ({"commands": ["b ${{ a"]}, "commands[0]"),
        ({"commands": ["b $${{ a }}"]}, "commands[0]"),
        ({"groups": [{"commands": ["${{ env.A }}"]}]}, "groups[0].commands[0]"),
        ({"groups": [{"image": "${{ secrets.image }}"}]}, "groups[0].image"),
        ({"probes": [{"headers": [{"name": "A", "value": "${{ secrets.a }}"}]}]}, "probes[0].headers[0].value"),
        ({"probes": [{"body": "$${{ a }}"}]}, "probes[0].body"),
        ({"volumes": ["/host/${{ dstack.job_num }}:/data"]}, "volumes[0]"),
        ({"volumes": ["data:/data/${{ dstack.job_num }}"]}, "volumes[0]"),
        ({"volumes": [{"name": "a", "path": "/${{ dstack.job_num }}"}]}, "volumes[0].path"),
        ({"volumes": ["data-${{ dstack.rank }}:/data"]}, "volumes[0]"),
        ({"tags": {"team": "${{ secrets.a }}"}}, "tags.team"),
        ({"model": {"name": "${{ secrets.a }}"}}, "model.name"),
    ],
)
def test_what_dstack_leaves_as_it_stands_is_refused(service: dict[str, Any], key: str) -> None:
    assert str(first_wrong("service", service)).startswith(f"service.{key}: ")


def test_a_secret_for_a_command_goes_through_env() -> None:
    assert "write NAME: ${{ secrets.a }} into env, and $NAME into the command" in str(
        first_wrong("service", {"commands": ["b ${{ secrets.a }}"]})
    )
    wrong = str(first_wrong("service", {"image": "${{ secrets.a }}"}))
    assert wrong.endswith("in env and registry_auth only; write the value itself")


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("service", {"commands": ["ping ${{ groups[0].replicas[0].IP_ADDRESS }}", "echo $$ ${A} {{ b }}"]}),
        ("service", {"groups": [{"commands": ["ping ${{ groups[0].replicas[0].IP_ADDRESS }}"]}]}),
        (
            "service",
            {"volumes": ["data-${{ dstack.job_num }}:/data", {"name": ["a-${{ dstack.node_rank }}"], "path": "/a"}]},
        ),
        ("gateway", {"domain": "${{ run.project_name }}.example.com"}),
    ],
)
def test_what_the_server_fills_in_elsewhere_is_taken(kind: str, document: dict[str, Any]) -> None:
    assert first_wrong(kind, document) is None


def test_a_reference_in_a_fleet_or_a_gateway_is_refused() -> None:
    assert str(first_wrong("fleet", {"regions": ["${{ secrets.a }}"]})).startswith("fleet.regions[0]: ")
    assert str(first_wrong("gateway", {"region": "${{ run.project_name }}"})).startswith("gateway.region: ")


def test_secrets_are_those_that_dstack_fills_in() -> None:
    document = {"configuration": {"env": {"A": "${{ secrets.b }}", "B": ["x${{secrets.a}}"], "C": "$${{ secrets.c }}"}}}
    assert referred(document) == ("a", "b")
    assert referred({"env": {"A": "${{ secrets.a"}}) == ()
