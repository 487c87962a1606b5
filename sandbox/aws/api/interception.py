"""What every call to the emulated AWS passes: faults, IAM, moto, and the log.

moto's server runs in this process, so the one method through which all its answers go is replaced.
"""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.ec2.models import ec2_backends
from moto.iam.access_control import CreateAccessKeyFailure, IAMPolicy, IAMUserAccessKey
from moto.sts.models import sts_backends
from moto.utilities.utils import get_partition

from sandbox.aws.api import iam
from sandbox.aws.api.moto_server import LOST
from sandbox.aws.aws_calls import AwsCall, AwsCallLog, is_write
from sandbox.aws.aws_state import ACCESS_KEY
from sandbox.world.faults import AWS, Fault, Faults

_ELIDED = {"Action", "Version", "ClientToken", "UserData"}  # the same in all calls, or long
_IAM_NAMES = {"elbv2": "elasticloadbalancing", "elb": "elasticloadbalancing"}  # where moto's name is another one
_CODES = {400: "Throttling", 403: "AccessDenied", 500: "InternalFailure", 503: "ServiceUnavailable"}  # of a fault

warnings.filterwarnings("ignore", "Exception.* does not match an error shape")  # moto: any service may say these

Observer = Callable[[AwsCall], None]
Answer = tuple[int, dict[str, Any], Any]


class _RefusalError(ServiceException):
    """Not in a module of moto: there, whose error it is depends on the module."""


def intercept(log: AwsCallLog, faults: Faults, observe: Observer) -> None:
    """From now `faults` hit calls, IAM refuses some, all are logged, and `observe` hears of each."""
    moto_call_action = BaseResponse.call_action
    lock = threading.Lock()

    def strike(self: BaseResponse, kind: Any) -> Fault | None:
        with lock:
            return faults.strike(kind, AWS, f"{_service(self)}:{self._get_action()}")

    def answer(self: BaseResponse) -> Answer:
        if slow := strike(self, "slow"):
            time.sleep(slow.seconds)
        if broken := strike(self, "error"):
            code = broken.code or _CODES.get(broken.status, "InternalFailure")
            return _refusal(self, broken.status, code, "a fault of the sandbox")
        if refused := _judge(self):
            return refused
        status, headers, body = moto_call_action(self)
        return int(status), {**headers, LOST: "yes"} if strike(self, "lost") else headers, body

    def call_action(self: BaseResponse) -> Answer:
        status = 500  # what the client gets when moto raises
        try:
            answered = answer(self)
            status = answered[0]
            return answered
        finally:
            call = _call(self, status)
            log.add(call)
            observe(call)

    setattr(BaseResponse, "call_action", call_action)  # noqa: B010 (mypy refuses the plain form)


def _judge(response: BaseResponse) -> Answer | None:
    """IAM's refusal; None where the call is permitted.

    The sandbox's own key may do everything, and so may sessions of roles: whom they belong to is not looked up.
    """
    key, ec2 = response.access_key, _service(response) == "ec2"
    if key == ACCESS_KEY or key.startswith("ASIA"):
        return None
    try:
        user = IAMUserAccessKey(response.current_account, get_partition(response.region), key, {})
    except CreateAccessKeyFailure:
        code = "AuthFailure" if ec2 else "InvalidClientTokenId"
        return _refusal(response, 401 if ec2 else 403, code, "The security token included in the request is invalid.")

    def tags(id: str) -> dict[str, str]:
        instance = ec2_backends[response.current_account][response.region].get_instance_by_id(id)
        return {tag["key"]: tag["value"] for tag in instance.get_tags()} if instance else {}

    policies = [IAMPolicy(policy)._policy_json for policy in user.collect_policies()]
    asked = iam.demands(_service(response), response._get_action(), _parameters(response), tags)
    refused = iam.refused(policies, asked)
    if refused is None:
        return None
    text = f"User: {user.arn} is not authorized to perform: {refused.action} on resource: {refused.resource}"
    return _refusal(response, 403, "UnauthorizedOperation" if ec2 else "AccessDenied", text)


def _refusal(response: BaseResponse, status: int, code: str, text: str) -> Answer:
    """An error in the form that clients of this service read."""
    _, headers, body = response.serialized(ActionResult(_RefusalError(code, text)))
    return status, {**headers, "status": str(status)}, body


def _service(response: BaseResponse) -> str:
    """As IAM policies name it."""
    name = str(response.service_name)
    return _IAM_NAMES.get(name, name)


def _parameters(response: BaseResponse) -> dict[str, Any]:
    """As boto3 names them, for the services whose calls moto parses by AWS's own models; else as they were sent."""
    parsed: dict[str, Any] = getattr(response, "params", {})
    if not parsed and "Action" in response.querystring:  # without it moto has put headers there
        parsed = {name: values[0] if len(values) == 1 else values for name, values in response.querystring.items()}
    if not parsed and response.body:
        with suppress(ValueError, TypeError):
            parsed = dict(json.loads(response.body))
    return {name: value for name, value in parsed.items() if name not in _ELIDED}


def _call(response: BaseResponse, status: int) -> AwsCall:
    action = str(response._get_action())
    role = sts_backends[response.current_account][get_partition(response.region)].get_assumed_role_from_access_key(
        response.access_key
    )
    return AwsCall(
        time=time.time(),
        service=_service(response),
        action=action,
        parameters=_parameters(response),
        identity=role.role_arn if role else response.access_key,
        status=status,
        write=is_write(action),
    )
