"""Emulated GPU clouds for a real dstack: see README.md."""

from sandbox.aws.alarms.actions import Notification
from sandbox.aws.aws_calls import AwsCall
from sandbox.aws.instance_info import InstanceInfo
from sandbox.clouds.pod_info import PodInfo
from sandbox.errors import SandboxError
from sandbox.sandbox import Sandbox
from sandbox.world.calls import Call
from sandbox.world.faults import Fault

__all__ = ["AwsCall", "Call", "Fault", "InstanceInfo", "Notification", "PodInfo", "Sandbox", "SandboxError"]
