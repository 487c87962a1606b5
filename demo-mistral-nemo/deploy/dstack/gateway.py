"""A gateway as the dstack server describes it."""

from pydantic import BaseModel

from deploy.documents.files import Document


class Gateway(BaseModel):
    """A gateway. `hostname` is that of its load balancer. Replicas that ended stay listed."""

    id: str = ""
    name: str = ""
    status: str
    status_message: str | None = None
    hostname: str | None = None
    configuration: Document
    replicas: list[Document] = []

    @property
    def running(self) -> list[Document]:
        return [replica for replica in self.replicas if replica["status"] == "running" and replica["hostname"]]

    @property
    def wanted(self) -> int:
        return self.configuration.get("replicas") or 1

    @property
    def ready(self) -> bool:
        """Whether all its replicas run."""
        return self.status == "running" and len(self.running) == self.wanted

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets of its record: the load balancer's name, or the addresses of the running replicas."""
        return (self.hostname,) if self.hostname else tuple(sorted(replica["hostname"] for replica in self.running))

    @property
    def summary(self) -> str:
        """Status, replicas and addresses in one line."""
        here = f"{len(self.running)} of {self.wanted} replicas running"
        return f"{self.status}, {here}, {' '.join(self.targets) or '-'}"

    @property
    def reason(self) -> str:
        """The reason of its failure, in dstack's words."""
        reasons = [replica["status_message"] for replica in self.replicas if replica.get("status_message")]
        return self.status_message or (reasons[-1] if reasons else "no reason given, see the server's log")
