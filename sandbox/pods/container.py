"""What a job sees of its container: its variables, and where its paths lie on this machine."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import Any

from sandbox.pods.spec import PodSpec

_RUNNER_VARIABLES = ("PYTHONPATH",)  # for the runner alone: the job may bring another interpreter


class Container:
    """A pod's folder as the file system of its one job."""

    def __init__(self, spec: PodSpec, application_port: int | None) -> None:
        self._spec = spec
        self._application_port = application_port
        self.activity = spec.folder / "activity.json"  # see metrics.py
        self.hang = spec.hang_file
        self.home = spec.folder / "home"
        for folder in (self.home, spec.folder / "tmp"):
            folder.mkdir(exist_ok=True)

    def place(self, path: str, base: Path) -> Path:
        """Where `path` of the container lies, which is in the pod's folder; a relative one is under `base`."""
        if path == "~" or path.startswith("~/"):
            return self.home / path[2:]
        if Path(path).is_absolute():
            return self._spec.folder / "root" / path.lstrip("/")
        return base / path

    def save_archive(self, id: str, content: bytes) -> None:
        """Keep an archive of the job's `files` until it is extracted."""
        self._archive(id).write_bytes(content)

    def extract_archive(self, id: str, destination: Path) -> None:
        """Extract a saved archive, whose one top-level name becomes `destination`.

        Raises OSError or tarfile.TarError when it wasn't saved or holds paths that lead elsewhere.
        """
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(self._archive(id)) as archive:
            members = archive.getmembers()
            for member in members:
                member.name = str(Path(destination.name, *Path(member.name).parts[1:]))
            archive.extractall(destination.parent, members, filter="data")
        self._archive(id).unlink()

    def environ(self, submitted: dict[str, Any], folder: Path) -> dict[str, str]:
        """The job's variables: the container's own, dstack's, and those of the configuration."""
        job_spec, run, cluster = submitted["job_spec"], submitted["run"], submitted.get("cluster_info") or {}
        nodes = job_spec["jobs_per_replica"]
        environ = {name: value for name, value in os.environ.items() if name not in _RUNNER_VARIABLES}
        environ |= {
            "TERM": "dumb",
            "DSTACK_RUN_ID": run["id"],
            "DSTACK_RUN_NAME": run["run_spec"]["run_name"],
            "DSTACK_REPO_ID": run["run_spec"].get("repo_id") or "",
            "DSTACK_JOB_ID": submitted["job_submission"]["id"],
            "DSTACK_WORKING_DIR": str(folder),
            "DSTACK_NODES_IPS": "\n".join(cluster.get("job_ips", ())),
            "DSTACK_MASTER_NODE_IP": cluster.get("master_job_ip", ""),
            "DSTACK_NODE_RANK": str(job_spec["job_num"]),
            "DSTACK_NODES_NUM": str(nodes),
            "DSTACK_GPUS_PER_NODE": str(self._spec.gpu_count),
            "DSTACK_GPUS_NUM": str(self._spec.gpu_count * nodes),
            "SANDBOX_ACTIVITY": str(self.activity),
            "SANDBOX_HANG": str(self.hang),
            "SANDBOX_LOAD_SECONDS": str(self._spec.load_seconds),
        }
        environ |= job_spec.get("env") or {}
        if not self._spec.ready:  # a fault of the machine, which the job's own setting doesn't change
            environ["SANDBOX_LOAD_SECONDS"] = "inf"
        if self._application_port is not None:
            environ["SANDBOX_PORT"] = str(self._application_port)
        return environ

    def _archive(self, id: str) -> Path:
        return self._spec.folder / f"{Path(id).name}.tar"
