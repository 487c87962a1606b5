"""The parts that protect: environments with their reviewers, branches and tags, and the ruleset for tags."""

from collections.abc import Callable

from account.github.client import Refused
from account.github.parts import Calls, Part, Verdict
from account.github.state import GithubEnvironment, Pattern, State
from console.errors import ExitCode, Failure
from deploy.documents.files import Document

Patterns = tuple[Pattern, ...]
DEPLOYING: Patterns = (("branch", "main"), ("tag", "v*"))
CUSTOM = {"protected_branches": False, "custom_branch_policies": True}
RULESET = "tags that deploy"
ADMINS = {"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always"}  # 5 is GitHub's id of that role
UNREVIEWED = "nobody has to approve a deploy"


def plain_environment(calls: Calls, state: State, name: str) -> Part:
    """Return a GitHub environment without any protection: pull requests use it."""
    subject = f"environment {name}"
    if found := state.environment(name):
        chosen = found.reviewers or found.branch_policy
        return Part(subject, Verdict.RIGHT, "exists" + (", and somebody protected it" if chosen else ""))
    path = calls.path("environments", name)
    return Part(
        subject,
        Verdict.MISSING,
        "for jobs that plan, without protection",
        (calls.command("PUT", path),),
        calls.sender("PUT", path),
        readable=state.environments is not None,
    )


def approval(calls: Calls, state: State, name: str, wanted: tuple[str, ...] | None, *, needed: bool) -> Part:
    """Return the GitHub environment whose reviewers approve a deploy.

    `wanted` names users and teams; None when nobody was asked. `needed` says whether it is wrong without reviewers.
    """
    subject, path = f"environment {name}", calls.path("environments", name)
    found = state.environment(name)
    if found and found.reviewers:
        return _reviewed(calls, found, wanted or ())
    if found and not wanted:
        wrong = needed and wanted is None
        return Part(subject, Verdict.INCOMPLETE if wrong else Verdict.RIGHT, f"exists without reviewers: {UNREVIEWED}")
    ids = [_reviewer(calls, one) for one in wanted or ()]
    body = found.body(reviewers=ids) if found else {"reviewers": ids}
    return Part(
        subject,
        Verdict.INCOMPLETE if found else Verdict.MISSING,
        f"reviewers: {', '.join(wanted)}" if wanted else UNREVIEWED,
        (calls.command("PUT", path, body),),
        calls.sender("PUT", path, body),
        readable=state.environments is not None,
    )


def deploying(calls: Calls, state: State, name: str) -> Part:
    """Return the GitHub environment that deploys, from main and from tags v* only."""
    subject, path = f"environment {name}", calls.path("environments", name)
    found = state.environment(name)
    policy = (found and found.branch_policy) or {}
    if found and policy.get("protected_branches"):
        text = "every protected branch may deploy, and no tag v* may"
        commands = _policy_commands(calls, path, found.body(deployment_branch_policy=CUSTOM), DEPLOYING)
        return Part(subject, Verdict.DIFFERENT, text, commands)
    lacking = tuple(one for one in DEPLOYING if not found or one not in found.patterns)
    if found and policy and not lacking:
        more = sorted(pattern for _, pattern in found.patterns - set(DEPLOYING))
        also = f"; somebody added {', '.join(more)}" if more else ""
        return Part(subject, Verdict.RIGHT, f"main and tags v* may deploy{also}")
    changed: Document = {"deployment_branch_policy": CUSTOM}
    body = None if policy else (found.body(**changed) if found else changed)
    names = " and ".join("tags v*" if kind == "tag" else pattern for kind, pattern in lacking)
    if not found:
        text = f"only {names} may deploy"
    else:
        text = f"{names} may not deploy" if policy else "every branch may deploy"
    return Part(
        subject,
        Verdict.INCOMPLETE if found else Verdict.MISSING,
        text,
        _policy_commands(calls, path, body, lacking),
        _policy_sender(calls, path, body, lacking),
        readable=state.environments is not None,
    )


def tag_ruleset(calls: Calls, state: State) -> Part:
    """Return the ruleset that lets only admins create tags v*."""
    subject = "ruleset for tags v*"
    for ruleset in state.tag_rulesets or ():
        if _restricts_creations(ruleset):
            return Part(subject, Verdict.RIGHT, f"{ruleset.get('name')} restricts who creates them")
    body = {
        "name": RULESET,
        "target": "tag",
        "enforcement": "active",
        "conditions": {"ref_name": {"include": ["refs/tags/v*"], "exclude": []}},
        "rules": [{"type": "creation"}, {"type": "update"}, {"type": "deletion"}],
        "bypass_actors": [ADMINS],
    }
    path = calls.path("rulesets")
    return Part(
        subject,
        Verdict.MISSING,
        "only admins of the repository create, move or delete them",
        (calls.command("POST", path, body),),
        calls.sender("POST", path, body),
        readable=state.tag_rulesets is not None,
    )


def _restricts_creations(ruleset: Document) -> bool:
    names = ruleset.get("conditions", {}).get("ref_name", {})
    included = {"refs/tags/v*", "~ALL"} & set(names.get("include", ()))
    rules = {rule.get("type") for rule in ruleset.get("rules", ())}
    return bool(included) and not names.get("exclude") and "creation" in rules


def _reviewed(calls: Calls, found: GithubEnvironment, wanted: tuple[str, ...]) -> Part:
    """Return an environment that has reviewers: they stay, whoever was asked for."""
    has = {_name(one, calls.repository.owner) for one in found.reviewers}
    text = f"reviewers: {', '.join(sorted(has))}"
    if not wanted or has == {one.lower() for one in wanted}:
        return Part(f"environment {found.name}", Verdict.RIGHT, text)
    body = found.body(reviewers=[_reviewer(calls, one) for one in wanted])
    command = calls.command("PUT", calls.path("environments", found.name), body)
    text += f", not {', '.join(wanted)}; you can run {command}"
    return Part(f"environment {found.name}", Verdict.DIFFERENT, text, (command,))


def _name(reviewer: Document, owner: str) -> str:
    who = reviewer["reviewer"]
    return str(who["login"] if reviewer["type"] == "User" else f"{owner}/{who['slug']}").lower()


def _reviewer(calls: Calls, name: str) -> Document:
    """Return a reviewer as GitHub takes it. Fails with SETTINGS_INVALID for a name that GitHub does not know."""
    organization, _, team = name.rpartition("/")
    path = f"orgs/{organization}/teams/{team}" if organization else f"users/{name}"
    try:
        return {"type": "Team" if organization else "User", "id": calls.gh.get(path)["id"]}
    except Refused as refusal:
        if refusal.status != 404:
            raise
    kind = f"team {team} in {organization}, or you may not see it" if organization else f"user {name}"
    raise Failure(ExitCode.SETTINGS_INVALID, f"GitHub has no {kind}", "correct --reviewers")


def _policy_commands(calls: Calls, path: str, body: Document | None, lacking: Patterns) -> tuple[str, ...]:
    first = () if body is None else (calls.command("PUT", path, body),)
    policies = f"{path}/deployment-branch-policies"
    added = (calls.command("POST", policies, {"name": pattern, "type": kind}) for kind, pattern in lacking)
    return (*first, *added)


def _policy_sender(calls: Calls, path: str, body: Document | None, lacking: Patterns) -> Callable[[], None]:
    def carry_out() -> None:
        if body is not None:
            calls.gh.send("PUT", path, body)
        for kind, pattern in lacking:
            calls.gh.send("POST", f"{path}/deployment-branch-policies", {"name": pattern, "type": kind})

    return carry_out
