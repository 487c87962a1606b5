"""Where moto's alarms and status checks are made to be AWS's: alarms act, and what is not emulated is refused.

moto's server runs in this process, so a few methods of its classes are replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from moto.cloudwatch.exceptions import ValidationError
from moto.cloudwatch.models import Alarm, CloudWatchBackend, cloudwatch_backends
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.ec2.models.instances import Instance
from moto.sns.models import sns_backends

from sandbox.aws.alarms.actions import AlarmActions
from sandbox.aws.alarms.evaluation import COMPARISONS, MINUTE, MISSING, STATISTICS, Missing, Rule, State
from sandbox.aws.alarms.samples import METRICS
from sandbox.aws.aws_state import REGION
from sandbox.aws.vpc.status_checks import StatusChecks

NAMESPACE = "AWS/EC2"
_DAY = 24 * 60 * 60  # seconds
_DIMENSION = "InstanceId"


class StoredAlarm:
    """An alarm of moto, as watch.py sees it."""

    def __init__(self, alarm: Alarm) -> None:
        self._alarm = alarm

    @property
    def rule(self) -> Rule:
        return rule_of(self._alarm)

    @property
    def state(self) -> State:
        found: State = next(one for one in get_args(State) if one == self._alarm.state_value)
        return found

    def change(self, state: State, reason: str) -> None:
        """Give it another state, and let it act."""
        self._alarm.update_state(reason, "{}", state)


def alarms() -> list[StoredAlarm]:
    """Return the alarms of the account, in the region where its hosts are."""
    return [StoredAlarm(alarm) for alarm in list(_backend().alarms.values())]


def topic_exists(arn: str) -> bool:
    """Whether SNS has a topic."""
    return arn in sns_backends[DEFAULT_ACCOUNT_ID][REGION].topics


def rule_of(alarm: Alarm) -> Rule:
    """Return when an alarm goes off. Call refusal() first."""
    missing: Missing = next(one for one in MISSING if one == (alarm.treat_missing_data or MISSING[0]))
    return Rule(
        instance=str(alarm.dimensions[0].value),
        metric=alarm.metric_name,
        period=int(alarm.period),
        periods=int(alarm.evaluation_periods),
        breaching=int(alarm.datapoints_to_alarm or alarm.evaluation_periods),
        statistic=alarm.statistic,
        comparison=alarm.comparison_operator,
        threshold=float(alarm.threshold),
        missing=missing,
    )


def refusal(alarm: Alarm) -> str | None:
    """Return why an alarm is refused: by AWS, or because it would never go off here. None: it is accepted."""
    period, periods = int(alarm.period or 0), int(alarm.evaluation_periods or 0)
    reasons = {
        f"the sandbox has hosts in {REGION}, so alarms too": alarm.region_name != REGION,
        "the sandbox has no metric math and no percentiles": alarm.metric_data_queries or alarm.extended_statistic,
        f"the sandbox has only metrics of {NAMESPACE}, not {alarm.namespace}": alarm.namespace != NAMESPACE,
        f"the sandbox has no metric {alarm.metric_name}, only {', '.join(METRICS)}": alarm.metric_name not in METRICS,
        f"the sandbox has metrics of one {_DIMENSION}": [one.name for one in alarm.dimensions] != [_DIMENSION],
        f"Statistic {alarm.statistic} is not valid": alarm.statistic not in STATISTICS,
        f"the sandbox does not compare with {alarm.comparison_operator}": alarm.comparison_operator not in COMPARISONS,
        f"TreatMissingData {alarm.treat_missing_data} is not valid": alarm.treat_missing_data not in (None, *MISSING),
        f"Period {period} is not valid, only multiples of {MINUTE} are": period <= 0 or period % MINUTE != 0,
        "Metrics cannot be checked across more than a day": periods <= 0 or periods * period > _DAY,
        "DatapointsToAlarm is more than EvaluationPeriods": int(alarm.datapoints_to_alarm or 1) > periods,
    }
    return next((reason for reason, found in reasons.items() if found), None)


def make_alarms_act(actions: AlarmActions) -> None:
    """From now on an alarm is checked when it is written, and acts when its state changes.

    A new alarm has the state INSUFFICIENT_DATA, and one that is written again keeps its state. A call that asks for the
    alarms of a state gets only those, whatever else it asks for.
    """
    moto_put, moto_update = CloudWatchBackend.put_metric_alarm, Alarm.update_state
    moto_describe = CloudWatchResponse.describe_alarms

    def put_metric_alarm(self: CloudWatchBackend, tags: Any = None, **fields: Any) -> Alarm:
        alarm = Alarm(self.account_id, self.region_name, **fields)
        wanted = (*alarm.alarm_actions, *alarm.ok_actions, *alarm.insufficient_data_actions)
        reasons = [refusal(alarm), *(actions.refusal(one, alarm.region_name, alarm.metric_name) for one in wanted)]
        if refused := next(filter(None, reasons), None):
            raise ValidationError(refused)
        before = self.alarms.get(alarm.name)
        stored: Alarm = moto_put(self, tags=None if before else tags, **fields)  # AWS ignores them in an update
        stored.state_value = before.state_value if before else "INSUFFICIENT_DATA"
        return stored

    def update_state(self: Alarm, reason: str, reason_data: str, state_value: str) -> None:
        before = self.state_value
        moto_update(self, reason, reason_data, state_value)
        if before == state_value or not self.actions_enabled:
            return
        wanted = {"ALARM": self.alarm_actions, "OK": self.ok_actions}.get(state_value, self.insufficient_data_actions)
        for action in wanted:
            actions.perform(action, self.name, str(self.dimensions[0].value), state_value, before, reason)

    def describe_alarms(self: CloudWatchResponse) -> ActionResult:
        found: Any = moto_describe(self).result
        state = self._get_param("StateValue")
        kept = [alarm for alarm in found["MetricAlarms"] if state in (None, alarm.state_value)]
        return ActionResult({**found, "MetricAlarms": kept})

    setattr(CloudWatchResponse, "describe_alarms", describe_alarms)  # noqa: B010
    setattr(CloudWatchBackend, "put_metric_alarm", put_metric_alarm)  # noqa: B010 (mypy refuses the plain form)
    setattr(Alarm, "update_state", update_state)  # noqa: B010


def make_status_checks_real(checks: Callable[[str], StatusChecks]) -> None:
    """Let EC2 describe the status of instances as the checks of their hosts find it."""

    def status(failed: Callable[[StatusChecks], bool]) -> property:
        def get(self: Instance) -> dict[str, Any]:
            if self.state != "running":
                return {"Status": "not-applicable"}
            found = checks(self.id)
            bad = failed(found)
            word = "impaired" if bad else "initializing" if found.initializing else "ok"
            detail = "failed" if bad else "initializing" if found.initializing else "passed"
            return {"Details": [{"Name": "reachability", "Status": detail}], "Status": word}

        return property(get)

    setattr(Instance, "system_status", status(lambda found: found.system))  # noqa: B010
    setattr(Instance, "instance_status", status(lambda found: found.instance))  # noqa: B010


def _backend() -> CloudWatchBackend:
    found: CloudWatchBackend = cloudwatch_backends[DEFAULT_ACCOUNT_ID][REGION]
    return found
