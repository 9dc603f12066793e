"""Executions of a policy and their tasks over the API, in the form that Harbor has for all that runs by policies.

A room says which jobs they are, what guards them, and whose they are:

    class WebhookExecutions(PolicyExecutions, InProject):
        resource, verbs = "notification-policy", {"list": "read"}

        def executions(self) -> QuerySet[Execution]: ...  # NotFound when there is no such policy under its parent

    class WebhookTasks(PolicyTasks, WebhookExecutions): ...
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db.models import Count, QuerySet
from django.http import StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.operations import operation
from core.api.pagination import BoundedPagination
from core.api.resource import Resource
from jobservice import finders
from jobservice.api import answers
from jobservice.api.runs import TEXT, log_of
from jobservice.models import Execution, Task
from jobservice.status import Status

_TIMES = {"start_time": "start_time", "end_time": "end_time", "update_time": "update_time"}
_COUNTS: dict[str, str] = {
    Status.SUCCESS: "success_task_count",
    Status.ERROR: "error_task_count",
    Status.PENDING: "pending_task_count",
    Status.RUNNING: "running_task_count",
    Status.STOPPED: "stopped_task_count",
}


class OfPolicy(Resource):
    """What executions and tasks have in common: they are looked up under their policy, and nowhere else."""

    pagination_class = BoundedPagination

    def executions(self) -> QuerySet[Execution]:
        """Those of the policy that the path names; NotFound when there is none that the caller may know of."""
        raise NotImplementedError

    def get_execution(self) -> Execution:
        """The one that the path names as `execution_id`."""
        return finders.find_execution(self.executions(), self.kwargs["execution_id"])


class PolicyExecutions(OfPolicy):
    """One run of a policy each."""

    filter_fields = {
        "id": "id",
        "vendor_type": "vendor_type",
        "status": "status",
        "status_message": "status_message",
        "trigger": "trigger",
        **_TIMES,
    }
    # The latest first, as the index has them.
    default_sort = ("-id",)

    @operation("List the executions of a policy", lists=answers.Execution, refuses=(404,))
    def list(self, request: Request, **_: Any) -> Response:
        return self.listing(self.executions(), execution_as_json, with_metrics)

    @operation("Read how an execution stands", gives=answers.Execution)
    def retrieve(self, request: Request, **_: Any) -> Response:
        (execution,) = with_metrics([self.get_execution()])
        return Response(execution_as_json(execution))


class PolicyTasks(OfPolicy):
    """What an execution had to do, task by task."""

    verbs = {"log": "read"}
    filter_fields = {
        "id": "id",
        "vendor_type": "vendor_type",
        "status": "status",
        "status_message": "status_message",
        "run_count": "run_count",
        "creation_time": "creation_time",
        **_TIMES,
    }
    default_sort = ("-id",)

    @operation("List the tasks of an execution", lists=answers.Task, refuses=(404,))
    def list(self, request: Request, **_: Any) -> Response:
        return self.listing(self.tasks(), task_as_json)

    @operation("Read a task's log", gives=str, media_types=(TEXT,))
    def log(self, request: Request, **_: Any) -> StreamingHttpResponse:
        return log_of([self.get_task().id])

    def tasks(self) -> QuerySet[Task]:
        """Those of the execution that the path names."""
        return Task.objects.filter(execution_id=self.get_execution().id)

    def get_task(self) -> Task:
        """The one that the path names as `task_id`."""
        number = self.kwargs["task_id"]
        found = self.tasks().filter(id=number).first()
        if found is None:
            raise errors.NotFound(f"task {number} not found")
        return found


def with_metrics(executions: list[Execution]) -> list[Execution]:
    """The same, each with its `metrics`: how many tasks stand how; asked once for all of them."""
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    tasks = Task.objects.filter(execution_id__in=[execution.id for execution in executions])
    for row in tasks.values("execution_id", "status").annotate(number=Count("id")).order_by():
        counts[row["execution_id"]][_COUNTS[row["status"]]] = row["number"]
    for execution in executions:
        known = counts[execution.id]
        vars(execution)["metrics"] = {"task_count": sum(known.values()), **known}
    return executions


def execution_as_json(execution: Execution) -> dict[str, Any]:
    """Harbor's Execution, of one that `with_metrics` gave."""
    return json.without_empty(
        {
            "id": execution.id,
            "vendor_type": execution.vendor_type,
            "vendor_id": execution.vendor_id,
            "status": execution.status,
            "status_message": execution.status_message,
            "metrics": json.without_empty(vars(execution)["metrics"]),
            "trigger": execution.trigger,
            "extra_attrs": execution.extra_attrs,
            "start_time": json.time(execution.start_time),
            "end_time": json.time(execution.end_time),
        }
    )


def task_as_json(task: Task) -> dict[str, Any]:
    """Harbor's Task."""
    return json.without_empty(
        {
            "id": task.id,
            "execution_id": task.execution_id,
            "status": task.status,
            "status_message": task.status_message,
            "run_count": task.run_count,
            "extra_attrs": task.extra_attrs,
            "creation_time": json.time(task.creation_time),
            "update_time": json.time(task.update_time),
            "start_time": json.time(task.start_time),
            "end_time": json.time(task.end_time),
        }
    )
