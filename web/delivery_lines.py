"""What lists and pages show of webhooks' deliveries, gathered in a fixed number of queries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core import clock
from jobservice.models import Execution, Task
from projects import webhook_deliveries
from projects.models import WebhookTarget
from projects.webhook_deliveries import Silence


@dataclass(frozen=True)
class Delivery:
    """One message to one endpoint."""

    execution: Execution
    task: Task
    target: WebhookTarget | None
    """The endpoint; None when it is gone."""
    silence: Silence | None
    """Why it cannot be sent again."""

    @property
    def number(self) -> str:
        return str(self.execution.id)

    @property
    def event_type(self) -> str:
        return str(self.execution.extra_attrs.get("event_type", ""))

    @property
    def payload(self) -> str:
        return str(self.execution.extra_attrs.get("payload", ""))

    @property
    def subject(self) -> str:
        return subject_of(self.payload)

    @property
    def may_go_again(self) -> bool:
        return self.task.is_final and self.silence is None

    @property
    def is_waiting(self) -> bool:
        """Whether it failed and will be tried again."""
        return self.task.failures > 0 and not self.task.is_final and self.task.due > clock.now()


def deliveries_of(executions: Sequence[Execution], targets: Sequence[WebhookTarget]) -> list[Delivery]:
    """These executions, each with its one task and with what keeps it from being sent again."""
    tasks = {task.execution_id: task for task in Task.objects.filter(execution_id__in=[each.id for each in executions])}
    known = {target.pk: target for target in targets}
    return [_sent(each, tasks[each.id], known) for each in executions if each.id in tasks]


def _sent(execution: Execution, task: Task, known: Mapping[int, WebhookTarget]) -> Delivery:
    target = known.get(task.params["target"])
    return Delivery(execution, task, target, webhook_deliveries.silence_of(target) if target else Silence.GONE)


def subject_of(payload: str) -> str:
    """What a message is about, such as `team/app:v1`; empty for one that does not say it plainly."""
    try:
        document = json.loads(payload)
        data = document.get("event_data") or document.get("data") or {}
        repository = data["repository"]["repo_full_name"]
        tags = [resource["tag"] for resource in data.get("resources", ())]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    if not tags:
        return str(repository)
    between = "@" if str(tags[0]).startswith("sha256:") else ":"
    return f"{repository}{between}{tags[0]}{' …' if len(tags) > 1 else ''}"


def readable(payload: str) -> str:
    """JSON over several lines; other text as it is."""
    try:
        return json.dumps(json.loads(payload), indent=2, ensure_ascii=False)
    except ValueError:
        return payload
