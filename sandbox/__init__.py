"""Emulated GPU clouds for a real dstack: see README.md."""

from sandbox.aws.calls import AwsCall
from sandbox.aws.instances import InstanceInfo
from sandbox.calls import Call
from sandbox.errors import SandboxError
from sandbox.faults import Fault
from sandbox.pods import PodInfo
from sandbox.sandbox import Sandbox

__all__ = ["AwsCall", "Call", "Fault", "InstanceInfo", "PodInfo", "Sandbox", "SandboxError"]
