"""One AWS account, as the credentials of this machine see it: questions, changes, and what AWS's refusals mean."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from account.checks import Unpermitted
from console.errors import ExitCode
from deploy.documents.files import Document
from deploy.route53 import client_of

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
ABSENT = {"NoSuchEntity", "InvalidVpcID.NotFound", "InvalidVpcID.Malformed", "InvalidGroup.NotFound"}
CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
SIGN_IN = "set valid AWS credentials: AWS_PROFILE, a role or a key"


class Refused(Unpermitted):
    """AWS did not do what it was asked. `permission`: the IAM action that is missing, "" for another reason.

    `aws_code`: AWS's own word for the error, such as NoSuchEntity.
    """

    def __init__(self, problem: str, remedy: str, permission: str = "", aws_code: str = "") -> None:
        super().__init__(ExitCode.ACCOUNT_REFUSED, problem, remedy)
        self.permission, self.aws_code = permission, aws_code


@dataclass(frozen=True)
class Call:
    """One change in AWS: the same data is sent through boto3 and printed as a command of the aws CLI.

    `keeps`: a key of the answer that later calls refer to, as `$GroupId`.
    """

    service: str
    operation: str  # as boto3 names it
    arguments: Document
    keeps: str = ""

    def command(self, region: str) -> str:
        """Return the command that makes this call. It can be pasted into a shell."""
        words = [_flag(name, value) for name, value in self.arguments.items()]
        line = " ".join(["aws", self.service, self.operation.replace("_", "-"), "--region", region, *words])
        return f"{self.keeps}=$({line} --query {self.keeps} --output text)" if self.keeps else line


@dataclass(frozen=True)
class Aws:
    """The account in one region. Methods raise Refused, with one line that says what to do."""

    region: str

    def client(self, service: str) -> Any:
        try:
            return client_of(service, self.region)
        except BotoCoreError as error:  # a profile that does not exist
            raise Refused(f"AWS can't be asked: {error}", SIGN_IN) from None

    def ask(self, service: str, operation: str, **arguments: Any) -> Document:
        """Return AWS's answer to one call."""
        client = self.client(service)
        action = f"{service}:{client.meta.method_to_api_mapping[operation]}"
        try:
            answer: Document = getattr(client, operation)(**arguments)
        except (ClientError, BotoCoreError) as error:
            raise refusal(action, error) from None
        return answer

    def find(self, service: str, operation: str, **arguments: Any) -> Document | None:
        """Return AWS's answer to one question; None when AWS says that there is no such thing."""
        try:
            return self.ask(service, operation, **arguments)
        except Refused as refused:
            if refused.aws_code in ABSENT:
                return None
            raise

    def account_id(self) -> str:
        return str(self.ask("sts", "get_caller_identity")["Account"])

    def carry_out(self, calls: Iterable[Call]) -> None:
        """Make the calls, in order."""
        kept: dict[str, str] = {}
        for call in calls:
            arguments = {name: kept.get(str(value), value) for name, value in call.arguments.items()}
            answer = self.ask(call.service, call.operation, **arguments)
            if call.keeps:
                kept[f"${call.keeps}"] = answer[call.keeps]


def refusal(action: str, error: Exception) -> Refused:
    """Return what an error of boto3 means for whoever asked for `action`."""
    response = getattr(error, "response", {})
    code = response.get("Error", {}).get("Code", "")
    problem = f"AWS refused {action}: {' '.join(str(error).split())}"
    if code in DENIED:
        return Refused(problem, f"let somebody give your user or role the permission {action}", action)
    if code in CREDENTIALS:
        return Refused(problem, SIGN_IN)
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return Refused(f"there are no AWS credentials here, and {action} needs them", SIGN_IN)
    if isinstance(error, BotoCoreError):
        return Refused(f"AWS did not answer {action}: {error}", "check network and credentials, then run it again")
    return Refused(problem, "fix it or wait, then run it again: it continues", aws_code=code)


def _flag(name: str, value: Any) -> str:
    """Return an argument of boto3 as a flag of the aws CLI."""
    if isinstance(value, str):
        text = f'"{value}"' if value.startswith("$") else shlex.quote(value)
    else:
        text = shlex.quote(json.dumps(value, separators=(",", ":")))
    return f"--{xform_name(name, '-')} {text}"
