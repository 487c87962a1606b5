"""The repository on GitHub."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from account.github.client import Gh, Refused
from console.errors import Failure
from deploy.documents.files import Document

PUBLIC_HOST = "github.com"
IDS_SINCE = "2026-07-15"  # repositories that are created from then on have ids in the subject of OIDC


@dataclass(frozen=True)
class Repository:
    """A repository. `ids_in_subject` says whether GitHub writes ids into the subject that AWS sees."""

    owner: str
    owner_id: int
    name: str
    id: int
    host: str = PUBLIC_HOST
    is_admin: bool = True
    is_private: bool = False
    ids_in_subject: bool = True

    @property
    def path(self) -> str:
        """The repository in GitHub's API."""
        return f"repos/{self.owner}/{self.name}"

    @property
    def full_name(self) -> str:
        """The repository as `gh --repo` takes it."""
        name = f"{self.owner}/{self.name}"
        return name if self.host == PUBLIC_HOST else f"{self.host}/{name}"

    @property
    def name_in_subjects(self) -> str:
        """The repository as GitHub names it to AWS: ORG@ID/REPO@ID, or ORG/REPO for an older repository."""
        if self.ids_in_subject:
            return f"{self.owner}@{self.owner_id}/{self.name}@{self.id}"
        return f"{self.owner}/{self.name}"

    def subject(self, github_environment: str) -> str:
        """Return the subject of a job in this GitHub environment, for a role's trust policy in AWS."""
        return f"repo:{self.name_in_subjects}:environment:{github_environment}"


def repository(gh: Gh | None = None) -> Repository:
    """Return the repository that this folder is a clone of. gh finds it: by GH_REPO, else by git's remotes."""
    gh = gh or Gh()
    answer = gh.get("repos/{owner}/{repo}")
    host = urlsplit(str(answer.get("html_url", ""))).hostname or PUBLIC_HOST
    owner, name = answer["owner"], answer["name"]
    return Repository(
        owner=owner["login"],
        owner_id=owner["id"],
        name=name,
        id=answer["id"],
        host=host,
        is_admin=bool(answer.get("permissions", {}).get("admin")),
        is_private=bool(answer.get("private")),
        ids_in_subject=_ids_in_subject(gh, f"repos/{owner['login']}/{name}", answer),
    )


def name_in_subjects(gh: Gh | None = None) -> str:
    """Return this repository as GitHub names it to AWS; "" when that can't be found out from here."""
    try:
        return repository(gh).name_in_subjects
    except Failure:
        return ""


def _ids_in_subject(gh: Gh, path: str, answer: Document) -> bool:
    """Return the repository's own setting where GitHub shows it, else what its age says.

    GitHub Enterprise Server has no ids. A repository that was renamed since then has ids, whatever its age.
    """
    try:
        chosen = gh.get(f"{path}/actions/oidc/customization/sub").get("use_immutable_subject")
    except Refused:  # only for people with more rights
        chosen = None
    if chosen is not None:
        return bool(chosen)
    host = urlsplit(str(answer.get("html_url", ""))).hostname or PUBLIC_HOST
    return host.endswith(("github.com", "ghe.com", ".localhost")) and str(answer.get("created_at", "")) >= IDS_SINCE
