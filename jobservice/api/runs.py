"""A job of the system's over the API, as Harbor has it for each: started, scheduled, looked at, stopped.

A room says which job it is, what guards it and what it may be asked for:

    class GarbageCollectionRuns(Runs):
        resource, job = "garbage-collection", GarbageCollection
"""

from __future__ import annotations

import json as plain_json
from typing import Any, ClassVar, cast

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.forms import Choice, Form, Text
from core.api.operations import operation
from core.api.resource import Resource
from jobservice import cron, finders, orders, schedules
from jobservice.api import answers
from jobservice.job import Job
from jobservice.models import Execution, Schedule, Task, TaskLog
from jobservice.status import Trigger

MANUAL, NONE = "Manual", "None"
TEXT = "text/plain; charset=utf-8"
# Rows of a log; each has what a task said within a second.
LINES_AT_ONCE = 20
# Harbor's words, with what they mean where no cron is given; the last is an older one for Custom.
KINDS = {
    Schedule.Kind.HOURLY.value: cron.HOURLY,
    Schedule.Kind.DAILY.value: cron.DAILY,
    Schedule.Kind.WEEKLY.value: cron.WEEKLY,
    Schedule.Kind.CUSTOM.value: "",
    "Schedule": "",
}


class When(Form):
    type = Choice([MANUAL, NONE, *KINDS], required=False)
    cron = Text(required=False, max_length=255)


class ScheduleForm(Form):
    schedule = When(required=False)
    parameters = serializers.DictField(required=False)


class JobResource(Resource):
    """What both have in common."""

    job: ClassVar[type[Job]]

    @property
    def actor(self) -> str:
        return str(cast(Any, self.request.user).name)

    @property
    def runs_path(self) -> str:
        """Of the list of runs."""
        return self.request.path.partition("/schedule")[0]


class JobSchedule(JobResource):
    """When a job runs by the clock; and Harbor's way of starting it now."""

    def parameters(self, given: dict[str, Any]) -> dict[str, Any]:
        """The job's parameters of what a body says; BadRequest when it may not be asked for that."""
        raise NotImplementedError

    @operation("Read when it runs by the clock", gives=answers.Schedule)
    def retrieve(self, request: Request) -> Response:
        schedule = schedules.find(vendor_type=self.job.vendor_type)
        return Response(schedule_as_json(schedule) if schedule else {})

    @operation("Start it now, or let it run by the clock", body=ScheduleForm, status=201, refuses=(400, 409))
    def create(self, request: Request) -> Response:
        execution = self._carry_out()
        return self.created(execution.id if execution else 0, under=self.runs_path)

    @operation("Change when it runs by the clock, or start it now", body=ScheduleForm, refuses=(400,))
    def update(self, request: Request) -> Response:
        self._carry_out()
        return self.done()

    def _carry_out(self) -> Execution | None:
        """The execution, when one was started."""
        body = self.body(ScheduleForm)
        kind = body.get("schedule", {}).get("type")
        if kind is None:
            raise errors.BadRequest(f"schedule.type is required: one of {', '.join([MANUAL, NONE, *KINDS])}")
        params = self.parameters(body.get("parameters", {}))
        if kind == MANUAL:
            return orders.start(self.job, params=params, actor=self.actor)
        if kind == NONE:
            orders.unschedule(self.job, actor=self.actor)
            return None
        # The word is for people; a cron that is given beside it is the one that was meant, as in Harbor.
        at = body["schedule"].get("cron") or KINDS[kind]
        stored = Schedule.Kind.CUSTOM if kind == "Schedule" else Schedule.Kind(kind)
        orders.schedule(self.job, kind=stored, cron=at, params=params, actor=self.actor)
        return None


class JobRuns(JobResource):
    """What became of a job's executions."""

    verbs = {"stop": "stop", "log": "read"}
    filter_fields = {
        "id": "id",
        "job_status": "standing",
        "status": "standing",
        "job_kind": "trigger",
        "trigger": "trigger",
        "creation_time": "start_time",
        "start_time": "start_time",
        "update_time": "update_time",
        "end_time": "end_time",
    }
    default_sort = ("-start_time", "-id")

    @operation("List its runs", lists=answers.History)
    def list(self, request: Request) -> Response:
        return self.listing(self._runs(), history_as_json)

    @operation("Read how a run stands", gives=answers.History)
    def retrieve(self, request: Request, run_id: int) -> Response:
        return Response(history_as_json(self._run(run_id)))

    @operation("Stop a run")
    def stop(self, request: Request, run_id: int) -> Response:
        orders.stop(self._run(run_id), actor=self.actor)
        return self.done()

    @operation("Read a run's log", gives=str, media_types=(TEXT,), refuses=(400,))
    def log(self, request: Request, run_id: int) -> StreamingHttpResponse:
        run = self._run(run_id)
        tasks = list(Task.objects.filter(execution_id=run.id).order_by("id").values_list("id", flat=True))
        if not tasks:
            raise errors.NotFound(f"{run.vendor_type} execution {run.id} has no task, and so no log")
        return log_of(tasks)

    def _runs(self) -> QuerySet[Execution]:
        return Execution.objects.with_standing().filter(vendor_type=self.job.vendor_type)

    def _run(self, number: int) -> Execution:
        return finders.find_execution(self._runs(), number)


def log_of(tasks: list[int]) -> StreamingHttpResponse:
    """The logs of some tasks (their ids), one after the other; they leave as they are read, however long they are."""
    lines = TaskLog.objects.filter(task_id__in=tasks).order_by("task_id", "id").values_list("text", flat=True)
    return StreamingHttpResponse(lines.iterator(chunk_size=LINES_AT_ONCE), content_type=TEXT)


def schedule_as_json(schedule: Schedule) -> dict[str, Any]:
    """What is scheduled, which Harbor writes as it writes a run."""
    return {
        "id": schedule.pk,
        "job_name": schedule.vendor_type,
        "job_kind": schedule.kind,
        "job_parameters": plain_json.dumps(schedule.params),
        "schedule": {
            "type": schedule.kind,
            "cron": schedule.cron,
            "next_scheduled_time": json.time(schedules.next_time(schedule)),
        },
        "creation_time": json.time(schedule.created),
        "update_time": json.time(schedule.updated),
    }


def history_as_json(execution: Execution) -> dict[str, Any]:
    """Harbor's GCHistory and ExecHistory, of one that `with_standing` gave."""
    return {
        "id": execution.id,
        "job_name": execution.vendor_type,
        "job_kind": execution.trigger,
        "job_parameters": plain_json.dumps(execution.extra_attrs),
        "schedule": {"type": MANUAL if execution.trigger == Trigger.MANUAL else "Schedule"},
        "job_status": vars(execution)["standing"],
        "creation_time": json.time(execution.start_time),
        "update_time": json.time(execution.update_time),
    }
