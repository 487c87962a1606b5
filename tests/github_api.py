"""Stands in for GitHub's REST API, for the real `gh`: environments, variables, secrets, rulesets of one repository.

    with GithubApi(folder) as github:
        subprocess.run(["gh", "api", "repos/acme/demo"], env=github.variables)

gh takes the host github.localhost for one that needs no encryption, and an http_proxy leads it here. Answers follow
https://docs.github.com/rest. Secrets are encrypted by gh with a real key, and decrypted here.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from nacl.public import PrivateKey, SealedBox

HOST, OWNER, NAME = "github.localhost", "acme", "demo"
REPOSITORY = f"repos/{OWNER}/{NAME}"
TOKEN = "gho_0123456789"
PLAN = (
    "Failed to create the environment protection rule. Please ensure the billing plan supports the required reviewers"
)
ADMINS_ONLY = re.compile(rf"/{REPOSITORY}/(actions/|environments/.+/(variables|secrets)|rulesets)")
LISTS = ("branch_policies", "environments", "secrets", "variables")
Answer = tuple[int, Any]


class GithubApi(ThreadingHTTPServer):
    """The API. Tests read and change its attributes; `changes` has each call that changed something."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.lock, self.key = folder, Lock(), PrivateKey.generate()
        self.admin, self.private, self.has_reviewers, self.created = True, False, True, "2026-08-01T00:00:00Z"
        self.environments: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, list[dict[str, Any]]] = {}
        self.variables_of: dict[str, dict[str, str]] = {}  # by environment, "" the repository
        self.secrets_of: dict[str, dict[str, str]] = {}
        self.organization_variables: dict[str, str] = {}
        self.rulesets: list[dict[str, Any]] = []
        self.changes: list[str] = []
        self.failing: dict[str, Answer] = {}  # by a part of "METHOD /path"
        self.after = 0  # changes until the connection is cut; 0: never

    def __enter__(self) -> GithubApi:
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()

    @property
    def variables(self) -> dict[str, str]:
        """Variables for a process that runs gh: it reaches this API, as a person who is signed in."""
        proxy = f"http://127.0.0.1:{self.server_port}"
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        config = {"GH_CONFIG_DIR": str(self.folder / "gh"), "GIT_CONFIG_GLOBAL": os.devnull}
        return kept | config | {"GH_HOST": HOST, "GH_TOKEN": TOKEN, "http_proxy": proxy}

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Answer:
        """Return status and body for one call."""
        call = f"{method} {path}"
        for part, failure in self.failing.items():
            if part in call:
                return failure
        if method != "GET" and not self.admin:
            return 403, {"message": "Must have admin rights to Repository."}
        if not self.admin and ADMINS_ONLY.match(path):
            return 403, {"message": "Resource not accessible"}
        for wanted, pattern, function in _Handler.ROUTES:
            if wanted == method and (found := re.fullmatch(pattern, path)):
                answer = function(self, *map(unquote, found.groups()), **({"body": body} if body is not None else {}))
                if method != "GET" and answer[0] < 300:
                    self.changes.append(call.replace(f"/{REPOSITORY}/", ""))
                return _paged(answer, query)
        return 404, {"message": "Not Found"}

    def repository(self) -> Answer:
        url, owner = f"http://{HOST}/{OWNER}/{NAME}", {"login": OWNER, "id": 1234567, "type": "Organization"}
        rights = {"admin": self.admin, "push": True, "pull": True}
        about = {"private": self.private, "created_at": self.created, "permissions": rights, "html_url": url}
        return 200, {"id": 890123456, "name": NAME, "owner": owner} | about

    def subject(self) -> Answer:
        return 200, {"use_default": True}

    def user(self, login: str) -> Answer:
        known = {"alice": 11, "bob": 12}
        return (200, {"login": login, "id": known[login]}) if login in known else (404, {"message": "Not Found"})

    def team(self, organization: str, slug: str) -> Answer:
        known = (organization, slug) == (OWNER, "platform")
        return (200, {"slug": slug, "id": 21}) if known else (404, {"message": "Not Found"})

    def list_environments(self) -> Answer:
        return 200, {"total_count": len(self.environments), "environments": list(self.environments.values())}

    def put_environment(self, name: str, body: Any = None) -> Answer:
        """Replace an environment's rules: what is not sent is forgotten."""
        body = body or {}
        if body.get("reviewers") and not self.has_reviewers:
            return 422, {"message": f"{PLAN}reviewers protection rule."}
        rules = []
        if body.get("wait_timer"):
            rules.append({"type": "wait_timer", "wait_timer": body["wait_timer"]})
        if body.get("reviewers"):
            names = {11: {"login": "alice"}, 12: {"login": "bob"}, 21: {"slug": "platform"}}
            sent = body["reviewers"]
            found = [{"type": one["type"], "reviewer": {"id": one["id"]} | names[one["id"]]} for one in sent]
            self_review = bool(body.get("prevent_self_review"))
            rules.append({"type": "required_reviewers", "reviewers": found, "prevent_self_review": self_review})
        policy = body.get("deployment_branch_policy")
        if policy and policy["protected_branches"] == policy["custom_branch_policies"]:
            return 422, {"message": "protected_branches and custom_branch_policies cannot have the same value"}
        shown = {"name": name, "protection_rules": rules, "deployment_branch_policy": policy}
        self.environments[name] = shown
        return 200, shown

    def delete_environment(self, name: str) -> Answer:
        if name not in self.environments:
            return 404, {"message": "Not Found"}
        for kept in (self.environments, self.policies, self.variables_of, self.secrets_of):
            kept.pop(name, None)
        return 204, None

    def list_policies(self, name: str) -> Answer:
        return 200, {"branch_policies": self.policies.get(name, [])}

    def add_policy(self, name: str, body: Any) -> Answer:
        policy = self.environments.get(name, {}).get("deployment_branch_policy") or {}
        if not policy.get("custom_branch_policies"):
            return 404, {"message": "Not Found"}
        self.policies.setdefault(name, []).append({"id": len(self.changes)} | body)
        return 200, body

    def list_variables(self, name: str = "") -> Answer:
        found = self.variables_of.get(name, {})
        return 200, {"variables": [{"name": key, "value": value} for key, value in found.items()]}

    def list_organization_variables(self) -> Answer:
        found = self.organization_variables.items()
        return 200, {"variables": [{"name": key, "value": value} for key, value in found]}

    def add_variable(self, *names: str, body: Any) -> Answer:
        name = names[0] if names else ""
        if name and name not in self.environments:
            return 404, {"message": "Not Found"}
        found = self.variables_of.setdefault(name, {})
        if body["name"] in found:
            return 409, {"message": "Already exists - Variable already exists"}
        found[body["name"]] = body["value"]
        return 201, {}

    def change_variable(self, *names: str, body: Any) -> Answer:
        environment, name = names if len(names) == 2 else ("", names[0])
        if name not in self.variables_of.get(environment, {}):
            return 404, {"message": "Not Found"}
        self.variables_of[environment][name] = body["value"]
        return 204, None

    def delete_variable(self, name: str) -> Answer:
        del self.variables_of[""][name]
        return 204, None

    def list_secrets(self, name: str = "") -> Answer:
        return 200, {"secrets": [{"name": key} for key in self.secrets_of.get(name, {})]}

    def no_secrets(self) -> Answer:
        return 200, {"secrets": []}

    def public_key(self, name: str) -> Answer:
        if name not in self.environments:
            return 404, {"message": "Not Found"}
        return 200, {"key_id": "568250167242549743", "key": base64.b64encode(bytes(self.key.public_key)).decode()}

    def put_secret(self, name: str, secret: str, body: Any) -> Answer:
        """Store the value as a job would read it."""
        value = SealedBox(self.key).decrypt(base64.b64decode(body["encrypted_value"])).decode()
        self.secrets_of.setdefault(name, {})[secret] = value
        return 201, {}

    def list_rulesets(self) -> Answer:
        shown = ("target", "enforcement", "name")
        return 200, [{"id": number} | {key: one[key] for key in shown} for number, one in self._numbered()]

    def ruleset(self, number: str) -> Answer:
        return 200, dict(self._numbered())[int(number)]

    def add_ruleset(self, body: Any) -> Answer:
        self.rulesets.append(body)
        return 201, body

    def _numbered(self) -> list[tuple[int, dict[str, Any]]]:
        return list(enumerate(self.rulesets, 1))


def _paged(answer: Answer, query: dict[str, list[str]]) -> Answer:
    """Return the page of a list that was asked for."""
    status, body = answer
    size, page = (int(query.get(key, [usual])[0]) for key, usual in (("per_page", "10"), ("page", "1")))
    part = slice((page - 1) * size, page * size)
    if isinstance(body, list):
        return status, body[part]
    if isinstance(body, dict):
        lists = {key: value[part] for key, value in body.items() if isinstance(value, list) and key in LISTS}
        body = body | lists
    return status, body


class _Handler(BaseHTTPRequestHandler):
    server: GithubApi
    ENVIRONMENT = rf"/{REPOSITORY}/environments/([^/]+)"
    ACTIONS = rf"/{REPOSITORY}/actions"
    ROUTES: ClassVar[list[tuple[str, str, Callable[..., Answer]]]] = [
        ("GET", f"/{REPOSITORY}", GithubApi.repository),
        ("GET", f"{ACTIONS}/oidc/customization/sub", GithubApi.subject),
        ("GET", "/users/([^/]+)", GithubApi.user),
        ("GET", "/orgs/([^/]+)/teams/([^/]+)", GithubApi.team),
        ("GET", f"/{REPOSITORY}/environments", GithubApi.list_environments),
        ("PUT", ENVIRONMENT, GithubApi.put_environment),
        ("DELETE", ENVIRONMENT, GithubApi.delete_environment),
        ("GET", f"{ENVIRONMENT}/deployment-branch-policies", GithubApi.list_policies),
        ("POST", f"{ENVIRONMENT}/deployment-branch-policies", GithubApi.add_policy),
        ("GET", f"{ENVIRONMENT}/variables", GithubApi.list_variables),
        ("POST", f"{ENVIRONMENT}/variables", GithubApi.add_variable),
        ("PATCH", f"{ENVIRONMENT}/variables/([^/]+)", GithubApi.change_variable),
        ("GET", f"{ACTIONS}/variables", GithubApi.list_variables),
        ("POST", f"{ACTIONS}/variables", GithubApi.add_variable),
        ("PATCH", f"{ACTIONS}/variables/([^/]+)", GithubApi.change_variable),
        ("DELETE", f"{ACTIONS}/variables/([^/]+)", GithubApi.delete_variable),
        ("GET", f"{ACTIONS}/organization-variables", GithubApi.list_organization_variables),
        ("GET", f"{ACTIONS}/organization-secrets", GithubApi.no_secrets),
        ("GET", f"{ACTIONS}/secrets", GithubApi.list_secrets),
        ("GET", f"{ENVIRONMENT}/secrets", GithubApi.list_secrets),
        ("GET", f"{ENVIRONMENT}/secrets/public-key", GithubApi.public_key),
        ("PUT", f"{ENVIRONMENT}/secrets/([^/]+)", GithubApi.put_secret),
        ("GET", f"/{REPOSITORY}/rulesets", GithubApi.list_rulesets),
        ("GET", f"/{REPOSITORY}/rulesets/([0-9]+)", GithubApi.ruleset),
        ("POST", f"/{REPOSITORY}/rulesets", GithubApi.add_ruleset),
    ]

    def do_GET(self) -> None:
        api, asked = self.server, urlsplit(self.path)
        given = self._body()
        if self.headers["Authorization"] != f"token {TOKEN}":
            return self._send(401, {"message": "Bad credentials"})
        with api.lock:
            if self.command != "GET" and api.after and len(api.changes) >= api.after:
                self.close_connection = True  # no answer at all
                return None
            status, body = api.answer(self.command, asked.path, parse_qs(asked.query), json.loads(given or "null"))
        return self._send(status, body)

    do_PUT = do_GET  # noqa: N815
    do_POST = do_GET  # noqa: N815
    do_PATCH = do_GET  # noqa: N815
    do_DELETE = do_GET  # noqa: N815

    def _body(self) -> bytes:
        """Return what was sent. gh sends what it reads from a pipe in chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _send(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if body and isinstance(body, dict):
            self._link(body)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _link(self, body: dict[str, Any]) -> None:
        """Say where the next page is, when this one is full."""
        asked = urlsplit(self.path)
        query = {key: value[0] for key, value in parse_qs(asked.query).items()}
        size = int(query.get("per_page", 10))
        if "per_page" in query and any(isinstance(value, list) and len(value) == size for value in body.values()):
            number = int(query.get("page", 1)) + 1
            rest = "&".join(f"{key}={value}" for key, value in query.items() if key != "page")
            self.send_header("Link", f'<http://api.{HOST}{asked.path}?{rest}&page={number}>; rel="next"')

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
