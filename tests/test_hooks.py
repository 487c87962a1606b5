"""What the hooks say, and that a refused answer leaves nothing behind."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import boto3.session
import pytest
from dstack._internal.core.services import is_valid_dstack_resource_name
from dstack._internal.server.services.projects import is_valid_project_name

from template_answers import AWS_REGIONS
from tests.rendered import ROOT, Bake, typed

REFUSED = [
    # question, answer, part of the reason, example
    ("project_name", "x" * 61, "1 to 60", "Mistral Nemo"),
    ("project_name", " ", "1 to 60", "Mistral Nemo"),
    ("project_name", " Chat", "without a space", "Mistral Nemo"),
    ("project_name", "Chat\n# root", "printable", "Mistral Nemo"),
    ("project_name", "Chat\x1b[31m", "printable", "Mistral Nemo"),
    ("project_name", "Chat\u2028service", "printable", "Mistral Nemo"),
    ("project_slug", "Chat", "a-z", "mistral-nemo"),
    ("project_slug", "c", "2 to 32", "mistral-nemo"),
    ("project_slug", "c" * 33, "2 to 32", "mistral-nemo"),
    ("project_slug", "7b-chat", "start with a letter", "mistral-nemo"),
    ("project_slug", "chat-", "not end with a hyphen", "mistral-nemo"),
    ("project_slug", "xn--chat", "single hyphens", "mistral-nemo"),
    ("project_slug", "chat_bot", "a-z", "mistral-nemo"),
    ("project_slug", "chat\n", "a-z", "mistral-nemo"),
    ("project_slug", "team/chat", "a-z", "mistral-nemo"),
    ("project_slug", "a/b/c", "a-z", "mistral-nemo"),
    ("project_slug", "no", "YAML", "mistral-nemo"),
    ("model_id", "Mistral-Nemo", "organisation/name", "mistralai/Mistral-Nemo-Instruct-2407"),
    ("model_id", "https://huggingface.co/datasets/nemo", "organisation/name", "mistralai/Mistral-Nemo-Instruct-2407"),
    ("model_id", "https://example.com/mistralai/Nemo", "organisation/name", "mistralai/Mistral-Nemo-Instruct-2407"),
    ("model_id", "mistralai/../Nemo", "organisation/name", "mistralai/Mistral-Nemo-Instruct-2407"),
    ("model_id", "mistralai/Nemo..v2", "organisation/name", "mistralai/Mistral-Nemo-Instruct-2407"),
    ("model_id", "mistralai/Nemo--v2", "organisation/name", "mistralai/Mistral-Nemo-Instruct-2407"),
    ("model_id", "mistralai/-Nemo", "organisation/name", "mistralai/Mistral-Nemo-Instruct-2407"),
    ("model_id", "mistralai./Nemo", "organisation/name", "mistralai/Mistral-Nemo-Instruct-2407"),
    ("model_id", "mistralai/Nemo.git", "organisation/name", "mistralai/Mistral-Nemo-Instruct-2407"),
    ("model_id", "mistralai/" + "N" * 97, "organisation/name", "mistralai/Mistral-Nemo-Instruct-2407"),
    ("model_id", "mistralai/Nemo;reboot", "organisation/name", "mistralai/Mistral-Nemo-Instruct-2407"),
    ("model_id", "mistralai/Nemo é", "organisation/name", "mistralai/Mistral-Nemo-Instruct-2407"),
    ("model_id", "qwen/qwen3-8b", "spelt differently", "Qwen/Qwen3-8B"),
    ("model_id", "black-forest-labs/FLUX.1-dev", "seems to draw", "black-forest-labs/FLUX.1-schnell"),
    ("model_id", "Qwen/Qwen-Image-Edit", "seems to draw", "Qwen/Qwen-Image"),
    ("model_id", "stabilityai/stable-diffusion-xl-base-1.0", "seems to draw", "Tongyi-MAI/Z-Image-Turbo"),
    ("model_id", "somebody/Chat-2T", "4,000 GB for its weights", "mistralai/Mistral-Nemo-Instruct-2407"),
    ("hosted_zone", "internal", "two or more labels", "ai.internal"),
    ("hosted_zone", "ai.internal.", "no dot at the end", "ai.internal"),
    ("hosted_zone", "AI.internal", "lower case", "ai.internal"),
    ("hosted_zone", "ai..internal", "not a domain", "ai.internal"),
    ("hosted_zone", "-ai.internal", "not a domain", "ai.internal"),
    ("hosted_zone", "ai_team.internal", "not a domain", "ai.internal"),
    ("hosted_zone", "*.ai.internal", "not a domain", "ai.internal"),
    ("hosted_zone", "http://ai.internal", "not a domain", "ai.internal"),
    ("hosted_zone", "10.0.0.1", "not a domain", "ai.internal"),
    ("hosted_zone", "a" * 64 + ".internal", "not a domain", "ai.internal"),
    ("hosted_zone", f"{'a' * 40}.{'b' * 46}.internal", "100 characters", "ai.internal"),
    ("aws_region", "us-east2", "region", "us-east-2"),
    ("aws_region", "us-esat-1", "region", "us-east-1"),
    ("aws_region", "eu-cnetral-1", "region", "eu-central-1"),
    ("aws_region", "US-WEST-2", "region", "us-west-2"),
    ("aws_region", "eu-west-9", "region", "eu-west-"),
    ("aws_region", "us-east-1a", "region", "us-east-1"),
    ("aws_region", "Frankfurt", "region", "us-east-1"),
    ("aws_region", "cn-north-1", "region", "eu-north-1"),
    ("dstack_server", "dstack.example.com", "not the address", "https://dstack.example.com"),
    ("dstack_server", "https://dstack.example.com/", "not the address", "https://dstack.example.com"),
    ("dstack_server", "https://a:b@dstack.example.com", "not the address", "https://dstack.example.com"),
    ("dstack_server", "https://dstack.example.com/a b", "not the address", "https://dstack.example.com"),
    ("dstack_project", "my project", "1 to 50", "main"),
    ("dstack_project", "p" * 51, "1 to 50", "main"),
    ("dstack_project", "main\n", "1 to 50", "main"),
    ("owner", "o" * 201, "1 to 200", "the platform team"),
    ("owner", "the\tteam", "printable", "the platform team"),
    ("owner", "team\u202eevil", "printable", "the platform team"),
]


@pytest.mark.parametrize(("question", "answer", "why", "example"), REFUSED, ids=lambda value: ascii(value)[1:41])
def test_a_wrong_answer_is_refused_in_one_line(
    refusal: Callable[..., str], question: str, answer: str, why: str, example: str
) -> None:
    said = refusal(**{"project_slug": "chat", question: typed(answer)})
    assert said[-1] == "\n"
    assert said[:-1].isprintable()
    assert said.startswith(f"{question} ")
    assert why in said
    assert example in said.split("for example: ")[1]


REFUSED_PAIRS = [
    # answers that don't fit together, the question that the message names, part of the reason, example
    ({"model_id": "openai/gpt-oss-20b", "precision": "fp8"}, "precision", "in mxfp4 already", "published"),
    ({"model_id": "Qwen/Qwen3-14B-AWQ", "precision": "fp8"}, "precision", "in awq already", "published"),
    (
        {"model_id": "RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "precision": "fp8"},
        "precision",
        "in fp8 already",
        "published",
    ),
    ({"model_id": "somebody/Chat-70B-AWQ", "precision": "fp8"}, "precision", "quantised already", "published"),
    ({"model_id": "Qwen/Qwen3.8-27B-FP8", "precision": "fp8"}, "precision", "in fp8 already", "published"),
    ({"model_id": "Qwen/Qwen3-8B", "precision": "4bit"}, "precision", "no checkpoint of it with 4 bits", "published"),
    ({"model_id": "somebody/Chat-7B", "precision": "4bit"}, "precision", "give its id as model_id", "published"),
    (
        {"model_id": "somebody/Chat-671B", "precision": "published"},
        "precision",
        "the largest machine has 8 GPUs of 180 GB",
        "fp8",
    ),
]


@pytest.mark.parametrize(
    ("answers", "question", "why", "example"), REFUSED_PAIRS, ids=lambda value: str(value)[:40].split("/")[-1]
)
def test_answers_that_do_not_go_together_are_refused_in_one_line(
    refusal: Callable[..., str], bake: Bake, answers: dict[str, str], question: str, why: str, example: str
) -> None:
    said = refusal(project_slug="chat", **answers)
    assert said[:-1].isprintable()
    assert said.startswith(f"{question} {answers[question]!r} is not possible for {answers['model_id']}")
    assert why in said
    assert said.endswith(f"for example: {example}\n")
    assert bake(**answers | {question: example}).is_dir()


@pytest.mark.parametrize("question", sorted({question for question, *_ in REFUSED} - {"project_slug", "dstack_server"}))
def test_an_empty_answer_is_refused(refusal: Callable[..., str], question: str) -> None:
    assert refusal(**{"project_slug": "chat", question: ""}).startswith(f"{question} ''")


@pytest.mark.parametrize("answer", [True, None])
def test_what_a_configuration_file_holds_instead_of_a_text_is_refused(
    refusal: Callable[..., str], answer: bool | None
) -> None:
    """`owner: yes` in somebody's ~/.cookiecutterrc is true, not a name."""
    assert refusal(owner=answer).startswith(f"owner {answer} must have")


def test_every_example_works(bake: Bake) -> None:
    assert bake(**{question: example for question, _, _, example in REFUSED}).is_dir()


def test_the_longest_answers_work(bake: Bake) -> None:
    slug = "s" * 32
    project = bake(
        project_name="n" * 60,
        project_slug=slug,
        model_id=f"{'o' * 96}/{'m' * 96}",
        hosted_zone=f"{'a' * 63}.c23",
        dstack_project="p" * 50,
        owner="w" * 200,
    )
    for environment in (project / "environments").glob("*.yml"):
        assert is_valid_dstack_resource_name(f"{slug}-{environment.stem}")
    assert is_valid_project_name("p" * 50)
    assert not is_valid_project_name("p" * 51)


def test_odd_answers_that_are_right_work(bake: Bake) -> None:
    bake(
        project_name=typed('日本語 👩\u200d💻 "quoted" #1'),
        project_slug="m2",
        model_id="_1/2",
        hosted_zone="1.a-b.xn--p1ai",
        dstack_project="007_-",
        owner=typed("'; DROP TABLE \\ $(reboot) `reboot` ${{ secrets.X }}"),
    )


def test_every_region_that_dstack_works_in_is_known() -> None:
    """Red when AWS has a new region. Accounts of other partitions can't sign in at us-east-1, where dstack tries."""
    assert sorted(AWS_REGIONS) == sorted(boto3.session.Session().get_available_regions("ec2", partition_name="aws"))


def test_answers_never_reach_a_shell_or_the_hooks_code(tmp_path: Path) -> None:
    output, touched = tmp_path / "output", tmp_path / "touched"
    output.mkdir()
    attacks = [
        f"$(touch {touched})",
        f"`touch {touched}`",
        f"'; touch {touched} #",
        f'"""); open("{touched}", "w") #',
        f"'''); open('{touched}', 'w') #",
        f'\\""" + str(open(\'{touched}\', \'w\')) + """',
    ]
    for number, attack in enumerate(attacks):
        result = _cookiecutter(tmp_path, f"owner={attack}", f"project_slug=attack-{number}")
        assert result.returncode == 0, result.stderr
    assert not touched.exists()


def test_cookiecutter_itself_ends_with_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    result = _cookiecutter(tmp_path, "aws_region=us-east2")
    assert result.returncode != 0
    [line] = (result.stdout + result.stderr).splitlines()
    assert line.endswith("for example: us-east-2")
    assert list((tmp_path / "output").iterdir()) == []


def test_a_wrong_answer_is_refused_before_the_next_question(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    result = _cookiecutter(tmp_path, typed="Mistral-Nemo\n")
    assert result.returncode != 0
    assert "[1/10]" in result.stdout
    assert "[2/10]" not in result.stdout
    assert "model_id 'Mistral-Nemo' is not the id of a model" in result.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("question", "answer", "said"),
    [
        ("aws_region", "us-east2", "for example: us-east-2"),
        ("model_id", "somebody/Chat-2T", "4,000 GB for its weights"),
        ("precision", "int4", "precision 'int4' must be published, fp8 or 4bit"),
        ("project_slug", "team/chat", "project_slug 'team/chat' must have"),
    ],
)
def test_replayed_answers_are_checked_too(tmp_path: Path, question: str, answer: str, said: str) -> None:
    (tmp_path / "output").mkdir()
    assert _cookiecutter(tmp_path, "project_slug=chat").returncode == 0
    shutil.rmtree(tmp_path / "output" / "chat")
    [replay] = (tmp_path / ".cookiecutter_replay").glob("*.json")
    answers = json.loads(replay.read_text("utf-8"))
    answers["cookiecutter"][question] = answer
    replay.write_text(json.dumps(answers), "utf-8")
    refused = _cookiecutter(tmp_path, "--replay")
    assert refused.returncode != 0
    assert said in refused.stderr.splitlines()[0]
    assert list((tmp_path / "output").iterdir()) == []


def test_what_cookiecutter_itself_refuses_and_ignores_is_as_the_readme_says(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    refused = _cookiecutter(tmp_path, "precision=int4")
    assert refused.returncode != 0
    assert "['published', 'fp8', '4bit']" in refused.stderr.splitlines()[-1]
    assert _cookiecutter(tmp_path, "project_slug=chat", "modelid=somebody/Chat-7B").returncode == 0
    assert "Mistral-Nemo" in (tmp_path / "output" / "chat" / "README.md").read_text("utf-8").split("## ")[0]


def test_what_was_there_before_stays(tmp_path: Path) -> None:
    kept = tmp_path / "output" / "team" / "notes.txt"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert _cookiecutter(tmp_path, "project_slug=team/chat").returncode != 0
    assert list(kept.parent.iterdir()) == [kept]


def test_the_next_commands_start_in_the_new_project(tmp_path: Path) -> None:
    output = tmp_path / "it's $HOME"
    output.mkdir()
    said = _cookiecutter(tmp_path, "project_slug=chat", output=output).stdout
    commands = [line.strip() for line in said.split("Next:")[1].splitlines() if line.startswith("  ")]
    assert len(commands) == 5
    shell = f"{commands[0]} && pwd && {commands[1]} && git status --porcelain"
    environ = {**os.environ, "HOME": str(tmp_path)} | {
        f"GIT_{role}_{key}": "user@host" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")
    }
    done = subprocess.run(["sh", "-c", shell], cwd="/", env=environ, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == str(output / "chat")
    assert " file" in lines[-1] or "create mode" in lines[-1], "everything is committed"
    for command in commands[2:4]:
        assert command in (output / "chat" / "README.md").read_text("utf-8")
    assert "pip install --require-hashes -r requirements.txt" in commands[4]


@pytest.mark.parametrize("hook", sorted((ROOT / "hooks").glob("*.py")), ids=lambda hook: hook.name)
def test_hooks_use_no_network_no_git_and_no_installer(hook: Path) -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(hook.read_text("utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    # nothing that could start a program or open a connection
    assert imported <= {"contextlib", "json", "pathlib", "shlex", "sys", "tempfile"}


def _cookiecutter(
    folder: Path, *words: str, output: Path | None = None, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs cookiecutter as a person does; what it remembers of a run goes to `folder`, not to the home folder.

    `words`: answers and flags; `typed`: what is answered to the questions, which are not asked without it.
    """
    flags = [word for word in words if word.startswith("-")]
    answers = [word for word in words if not word.startswith("-")]
    flags += [] if typed or flags else ["--no-input"]
    return subprocess.run(
        [sys.executable, "-m", "cookiecutter", *flags, "-o", output or folder / "output", ROOT, *answers],
        env={**os.environ, "HOME": str(folder)},
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
    )
