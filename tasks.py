"""The template's own tasks: to try it, test it and maintain it. `inv --list` shows them."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.runners import Promise
from invoke.tasks import task

import pins

ROOT = Path(__file__).parent
TEMPLATE = ROOT / "<<cookiecutter.project_slug>>"
DEMO = ROOT / "demo-mistral-nemo"
LOCK = "pip compile --quiet --universal --generate-hashes --no-header --no-annotate --extra dev pyproject.toml"
TEMPLATE_LOCKS = {  # by kind of service: an example model, and the name of the template's lock file
    "chat": ("mistralai/Mistral-Nemo-Instruct-2407", "<% if not cookiecutter.__pictures %>requirements.txt<% endif %>"),
    "pictures": ("Tongyi-MAI/Z-Image-Turbo", "<% if cookiecutter.__pictures %>requirements.txt<% endif %>"),
}
VLLM_LOCK = (
    "pip compile --quiet --generate-hashes --no-header --no-annotate --upgrade"
    " --python-platform x86_64-unknown-linux-gnu --override sandbox/vllm/overrides.txt"
    " --output-file sandbox/vllm/requirements.txt sandbox/vllm/requirements.in"
)


def python(module: str) -> str:
    """Return the shell command `python -m module`, with the Python of this environment."""
    return f"{shlex.quote(sys.executable)} -m {module}"


@task(help={"env": "sandbox, or prod (behind a private gateway on a host that boots; needs root on Linux)"})
def demo(c: Context, env: str = "sandbox") -> None:
    """Deploy demo-mistral-nemo in the sandbox, ask it a question, cause a failure, destroy it."""
    c.run(f"{python('demo')} {shlex.quote(env)}", pty=sys.stdout.isatty())


@task(
    help={
        "folder": "keep state and logs there (default: a temporary folder)",
        "aws": "emulate an AWS account too; private gateways in it need root",
        "engine": "stand-in, or vllm (real vLLM on this machine's CPU)",
        "model": "folder of a model for the real engine (default: random weights)",
    }
)
def sandbox(c: Context, folder: str = "", aws: bool = False, engine: str = "", model: str = "") -> None:
    """Run the sandbox until Ctrl-C and print what to export to deploy to it."""
    given = {"--folder": folder, "--engine": engine, "--model": model}
    words = [f"{flag} {shlex.quote(value)}" for flag, value in given.items() if value] + ["--aws"] * aws
    c.run(" ".join([python("sandbox up"), *words]), pty=sys.stdout.isatty())


@task(help={"fast": "skip the tests that start a dstack server or vLLM, and the slowest of the others"})
def test(c: Context, fast: bool = False) -> None:  # noqa: PT028
    """Lint, type-check and test the template, the sandbox, the demo and generated repositories."""
    if fast:
        lint(c)
        c.run(f"{python('pytest')} -n 2 -m 'not server and not vllm and not slow'")
        return
    _lint(c, python("mypy"))  # tests lint and type-check generated code
    if not _all_tests(c):
        raise Exit("Some tests failed, see above.", code=1)


def _all_tests(c: Context) -> bool:
    """Run all tests, and return whether they passed.

    Tests with a dstack server mostly wait. So the others, which need the CPU, run beside them with less priority, those
    of vLLM last and one at a time, because vLLM uses all CPUs. Their output comes at the end. A temporary folder of
    their own keeps each pytest from cleaning up the other's.
    """
    pytest = python("pytest")
    others = f"{pytest} -n 2 -m 'not server and not vllm'; code=$?; {pytest} -m vllm && exit $code"
    # one file per worker, the longest first: each has its own dstack server
    servers = f"{pytest} -n 4 --dist loadfile --no-loadscope-reorder -m 'server and not vllm'"
    with TemporaryDirectory(prefix="t-") as folder:
        beside = c.run(
            f"nice -n 10 bash -c {shlex.quote(others)}",
            env={"PYTEST_DEBUG_TEMPROOT": folder},
            asynchronous=True,
            warn=True,
        )
        with_server = c.run(servers, warn=True)
        without = cast(Promise, beside).join()
    print(without.stdout, without.stderr, sep="", flush=True)
    return bool(with_server and without)


@task(
    help={
        "examples": "number of sequences, each of up to 8 commands; 40 take a minute or two",
        "seed": "the same seed gives the same sequences, another seed others",
        "every": "also try every N-th of all single faults at single calls; 1 takes an hour; default 0: none",
    }
)
def hunt(c: Context, examples: int = 1000, seed: int = 1, every: int = 0) -> None:
    """Search for an order of events in which `inv` breaks a promise, with a stand-in for the dstack server."""
    chosen = {"HUNT_EXAMPLES": str(examples), "HUNT_SEED": str(seed), "HUNT_EVERY": str(every)}
    files = ["test_hunt.py"] + ["test_every_call.py"] * (every > 0)
    paths = " ".join(f"tests/invariants/{file}" for file in files)
    c.run(f"{python('pytest')} --timeout 0 {paths}", env=chosen)


@task
def lint(c: Context) -> None:
    """Run ruff and mypy on the template's own code, and on generated code with its own settings."""
    _lint(c, python("mypy"))
    with TemporaryDirectory() as folder, c.cd(folder):
        stage_python(Path(folder))
        _lint(c, f"{python('mypy')} --cache-dir {shlex.quote(str(ROOT / '.mypy_cache' / 'template'))}")


def _lint(c: Context, mypy: str) -> None:
    c.run(f"{python('ruff')} check --no-cache .")
    c.run(f"{python('ruff')} format --no-cache --check .")
    c.run(mypy)


def python_files(template: Path) -> dict[str, Path]:
    """Return the Python files of `template` by their names in a generated repository.

    Some names have a condition in the template: `<% if … %>chat.py<% endif %>`. Raises ValueError when two files have
    the same name.
    """
    found: dict[str, Path] = {}
    for path in sorted(template.rglob("*")):
        parts = path.relative_to(template).as_posix().split("<%")  # a condition ends with %>
        name = "".join(part.rpartition("%>")[2] for part in parts)
        if name.endswith(".py") and found.setdefault(name, path) != path:
            raise ValueError(f"{found[name]} and {path} have the same name in a generated repository")
    return found


def stage_python(folder: Path) -> None:
    """Copy the template's Python to `folder` under plain names, with the settings of ruff and mypy."""
    for name, path in (python_files(TEMPLATE) | {"pyproject.toml": TEMPLATE / "pyproject.toml"}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)


@task
def rebuild_demo(c: Context) -> None:
    """Render demo-mistral-nemo/ again from the template."""
    render(DEMO)


@task
def docs(c: Context) -> None:
    """Build the documentation site into docs/_build/html. A warning is an error."""
    import documentation

    documentation.build(documentation.BUILT / "html")
    print(documentation.BUILT / "html" / "index.html")


@task(
    help={
        "tables": "write only the tables of models, machines and answers",
        "prompts": "write tables and cookiecutter's questions, not the demo",
    }
)
def record(c: Context, tables: bool = False, prompts: bool = False) -> None:
    """Write tables and recordings of the documentation again: `inv demo` as a picture, cookiecutter's questions."""
    import machine_rooms
    import recording
    import template_docs

    machine_rooms.put_rooms()
    template_docs.put_tables()
    if prompts or not tables:
        print(recording.record_prompts())
    if not (prompts or tables):
        print(recording.record_demo())


@task(help={"exact": "also upgrade what pyproject.toml pins with =="})
def lock(c: Context, exact: bool = False) -> None:
    """Update all lock files (here, for vLLM, in the template) to the newest versions that pyproject.toml allows."""
    from sandbox.vllm import install

    with TemporaryDirectory() as folder, c.cd(folder):
        if exact:
            bounds = (ROOT / "pyproject.toml").read_text("utf-8")
            Path(folder, "pyproject.toml").write_text(bounds.replace("==", ">="), "utf-8")
            c.run(f"uv {LOCK} --output-file newest.txt")
            newest = dict(pins.PACKAGE.findall(Path(folder, "newest.txt").read_text("utf-8")))
            pins.put(ROOT, {name: newest[name] for name, _ in pins.PACKAGE.findall(bounds)})
        with c.cd(ROOT):
            c.run(f"uv {LOCK} --upgrade --output-file requirements.txt")
            c.run(" ".join(["uv", VLLM_LOCK, "--python-version", install.PYTHON, *install.torch_source()]))
        tested = shlex.quote(str(ROOT / "requirements.txt"))  # the versions that are tested here
        for kind, (model_id, name) in TEMPLATE_LOCKS.items():
            render(Path(folder) / kind, model_id=model_id)
            with c.cd(kind):
                c.run(f"uv {LOCK} --upgrade --constraint {tested} --output-file requirements.txt")
            shutil.copyfile(Path(folder, kind, "requirements.txt"), TEMPLATE / name)
    render(DEMO)


@task(name="pins", help={"put": "a version to write everywhere, NAME=VERSION"})
def level_pins(c: Context, put: str = "") -> None:
    """Write the newest version of each pin wherever it is pinned. For packages, run `inv lock` afterwards."""
    name, _, version = put.partition("=")
    for changed in pins.put(ROOT, {name: version} if put else pins.newest(pins.find(ROOT))):
        print(changed)
    render(DEMO)


@task(
    help={
        "json": "print JSON instead of a table",
        "fast": "skip the gateway, which needs root and 15 minutes",
        "faults": "measure what callers lose when something fails, and write docs/faults.md: root, an hour",
    }
)
def benchmark(c: Context, json: bool = False, fast: bool = False, faults: bool = False) -> None:
    """Measure what docs/tested.md says: bake, inv --list, sandbox, first answer, idle deploy, memory, the gateway."""
    if faults:
        c.run(python("tests.faults"), pty=sys.stdout.isatty())
        return
    flags = ["--json"] * json + ["--fast"] * fast
    c.run(" ".join([python("benchmark"), *flags]), pty=sys.stdout.isatty())


def render(folder: Path, **answers: str) -> None:
    """Render the template as `folder`, and replace what is there. The name of the folder is the slug."""
    from cookiecutter.main import cookiecutter

    shutil.rmtree(folder, ignore_errors=True)
    answers["project_slug"] = folder.name
    cookiecutter(str(ROOT), no_input=True, default_config=True, extra_context=answers, output_dir=str(folder.parent))
