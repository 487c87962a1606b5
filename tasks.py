"""The template's own tasks: try it, test it, keep it in order. `inv --list` shows them."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from invoke.context import Context
from invoke.tasks import task

import pins

ROOT = Path(__file__).parent
TEMPLATE = ROOT / "<<cookiecutter.project_slug>>"
DEMO = ROOT / "demo-mistral-nemo"
LOCK = "pip compile --quiet --universal --generate-hashes --no-header --no-annotate --extra dev pyproject.toml"
TEMPLATE_LOCKS = {  # by kind of service: a model, and the lock of what is rendered for it
    "chat": ("mistralai/Mistral-Nemo-Instruct-2407", "<% if not cookiecutter.__pictures %>requirements.txt<% endif %>"),
    "pictures": ("Tongyi-MAI/Z-Image-Turbo", "<% if cookiecutter.__pictures %>requirements.txt<% endif %>"),
}
VLLM_LOCK = (
    "pip compile --quiet --generate-hashes --no-header --no-annotate --upgrade"
    " --python-platform x86_64-unknown-linux-gnu --override sandbox/vllm/overrides.txt"
    " --output-file sandbox/vllm/requirements.txt sandbox/vllm/requirements.in"
)


def python(module: str) -> str:
    """`python -m module` in this very environment, for the shell."""
    return f"{shlex.quote(sys.executable)} -m {module}"


@task(help={"env": "sandbox, or prod: behind a private gateway on a host that boots; takes root on Linux"})
def demo(c: Context, env: str = "sandbox") -> None:
    """Deploy demo-mistral-nemo in the sandbox, ask it a question, let something break, destroy it."""
    c.run(f"{python('demo')} {shlex.quote(env)}", pty=sys.stdout.isatty())


@task(
    help={
        "folder": "keep state and logs there (default: a temporary folder)",
        "aws": "with an AWS account, in which private gateways work when root runs it",
        "engine": "stand-in, or vllm: the real one on this machine's CPU",
        "model": "folder of a model for the real engine (default: random weights)",
    }
)
def sandbox(c: Context, folder: str = "", aws: bool = False, engine: str = "", model: str = "") -> None:
    """Run the sandbox until Ctrl-C and print what to export to deploy to it."""
    given = {"--folder": folder, "--engine": engine, "--model": model}
    words = [f"{flag} {shlex.quote(value)}" for flag, value in given.items() if value] + ["--aws"] * aws
    c.run(" ".join([python("sandbox up"), *words]), pty=sys.stdout.isatty())


@task(help={"fast": "leave out what starts a dstack server or vLLM, and the slowest of the rest"})
def test(c: Context, fast: bool = False) -> None:  # noqa: PT028
    """Lint, type-check and test the template, the sandbox, the demo and what is rendered from them."""
    lint(c)
    c.run(f"{python('pytest')} -n 2 -m 'not server and not vllm{' and not slow' * fast}'")
    if not fast:
        # a file a worker, the longest first: each has a dstack server of its own, and they wait more than they work
        c.run(f"{python('pytest')} -n 4 --dist loadfile --no-loadscope-reorder -m 'server and not vllm'")
        c.run(f"{python('pytest')} -m vllm")  # one at a time: vLLM takes all that there is


@task(
    help={
        "examples": "how many stories of up to 8 commands each; 40 take a minute or two",
        "seed": "another one tells other stories, the same one the same",
        "every": "and of all single faults at single calls each N-th; 1 takes an hour, 0 none (default)",
    }
)
def hunt(c: Context, examples: int = 1000, seed: int = 1, every: int = 0) -> None:
    """Look for an order of events in which `inv` breaks a promise, with a stand-in for the dstack server."""
    chosen = {"HUNT_EXAMPLES": str(examples), "HUNT_SEED": str(seed), "HUNT_EVERY": str(every)}
    files = ["test_hunt.py"] + ["test_every_call.py"] * (every > 0)
    paths = " ".join(f"tests/invariants/{file}" for file in files)
    c.run(f"{python('pytest')} --timeout 0 {paths}", env=chosen)


@task
def lint(c: Context) -> None:
    """Run ruff and mypy on the template's own code, and on the Python that it renders, by the settings it renders."""
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

    Some have a condition in their name there: `<% if … %>chat.py<% endif %>`. Raises ValueError where two have one
    name.
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
    """Render demo-mistral-nemo/ anew from the template."""
    render(DEMO)


@task(help={"exact": "raise what pyproject.toml pins with == as well"})
def lock(c: Context, exact: bool = False) -> None:
    """Resolve requirements.txt anew, here, for vLLM and in the template: newest versions that pyproject.toml allows."""
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
        tested = shlex.quote(str(ROOT / "requirements.txt"))  # the very versions that are tested here
        for kind, (model_id, name) in TEMPLATE_LOCKS.items():
            render(Path(folder) / kind, model_id=model_id)
            with c.cd(kind):
                c.run(f"uv {LOCK} --upgrade --constraint {tested} --output-file requirements.txt")
            shutil.copyfile(Path(folder, kind, "requirements.txt"), TEMPLATE / name)
    render(DEMO)


@task(name="pins", help={"put": "a version to go to, NAME=VERSION"})
def level_pins(c: Context, put: str = "") -> None:
    """Take the newest version of what is pinned in several places; packages then want `inv lock`."""
    name, _, version = put.partition("=")
    for changed in pins.put(ROOT, {name: version} if put else pins.newest(pins.find(ROOT))):
        print(changed)
    render(DEMO)


@task(
    help={
        "json": "print JSON instead of a table",
        "fast": "leave out the gateway: that takes root, and 15 minutes",
    }
)
def benchmark(c: Context, json: bool = False, fast: bool = False) -> None:
    """Measure what the README promises: bake, inv --list, sandbox, first answer, idle deploy, memory, the gateway."""
    flags = ["--json"] * json + ["--fast"] * fast
    c.run(" ".join([python("benchmark"), *flags]), pty=sys.stdout.isatty())


def render(folder: Path, **answers: str) -> None:
    """The template with `folder`'s name as the slug and default `answers`; a folder that is there is replaced."""
    from cookiecutter.main import cookiecutter

    shutil.rmtree(folder, ignore_errors=True)
    answers["project_slug"] = folder.name
    cookiecutter(str(ROOT), no_input=True, default_config=True, extra_context=answers, output_dir=str(folder.parent))
