"""/jobservice and /schedules, as in Harbor: queues, workers, and what runs, for those who look after the system."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from django.http import StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.forms import Choice, Form
from core.api.operations import operation
from core.api.resource import Resource
from jobservice import orders, queues, schedules, workers
from jobservice.api import answers
from jobservice.api.runs import TEXT, log_of
from jobservice.models import Schedule, Task, WorkerPool

ALL = "all"
# Named here: in the views `list` is an operation.
POOLS, WORKERS, QUEUES = list[answers.WorkerPool], list[answers.Worker], list[answers.JobQueue]


class Action(Form):
    action = Choice(["stop", "pause", "resume"])


class Monitor(Resource):
    """What all of them guard."""

    resource = "jobservice-monitor"
    verbs = {"act": "stop", "stop": "stop", "log": "list", "workers": "list"}

    @property
    def actor(self) -> str:
        return str(cast(Any, self.request.user).name)


class Pools(Monitor):
    """The worker programs."""

    @operation("List the worker programs", gives=POOLS)
    def list(self, request: Request) -> Response:
        return Response(
            [
                {
                    "worker_pool_id": pool.pool_id,
                    "pid": pool.pid,
                    "host": pool.host,
                    "concurrency": pool.concurrency,
                    "start_at": json.time(pool.started),
                    "heartbeat_at": json.time(pool.heartbeat),
                }
                for pool in workers.present()
            ]
        )

    @operation("List who works in a program, or in all", gives=WORKERS, refuses=(404,))
    def workers(self, request: Request, pool_id: str) -> Response:
        pools = [pool for pool in workers.present() if pool_id in (ALL, pool.pool_id)]
        if not pools and pool_id != ALL:
            raise errors.NotFound(f"worker pool {pool_id} not found; the list of pools names them")
        running = Task.objects.running().order_by("id")
        if pool_id != ALL:
            running = running.filter(worker__startswith=f"{pool_id}/")
        busy = [_worker(task) for task in running]
        return Response(busy + _idle(pools, Counter(worker["pool_id"] for worker in busy)))


class Queues(Monitor):
    """What waits."""

    @operation("List the queues", gives=QUEUES)
    def list(self, request: Request) -> Response:
        return Response(
            [
                json.without_empty(
                    {
                        "job_type": queue.job_type,
                        "count": queue.count,
                        "latency": queue.latency_seconds,
                        "paused": queue.is_paused,
                    },
                    keep=("paused",),
                )
                for queue in queues.all_of_them()
            ]
        )

    @operation("Pause or resume a queue, or stop what waits in it", body=Action, refuses=(404,))
    def act(self, request: Request, job_type: str) -> Response:
        act = {"pause": queues.pause, "resume": queues.resume, "stop": queues.empty}[self.body(Action)["action"]]
        known = {each.lower(): each for each in queues.JOB_TYPES}
        if job_type.lower() not in {ALL, *known}:
            raise errors.NotFound(
                f"job type {job_type[:100]} not found; it is {ALL} or one of {', '.join(known.values())}"
            )
        for each in known.values() if job_type.lower() == ALL else (known[job_type.lower()],):
            act(each, actor=self.actor)
        return self.done()


class Jobs(Monitor):
    """Single tasks, by the job service's own name for them."""

    @operation("Stop a running job, or all of them")
    def stop(self, request: Request, job_id: str) -> Response:
        if job_id == ALL:
            orders.stop_running(actor=self.actor)
            return self.done()
        task = Task.objects.filter(job_id=_number(job_id)).first()
        # As in Harbor, one that is not there has nothing to be stopped.
        if task is not None:
            orders.stop_task(task, actor=self.actor)
        return self.done()

    @operation("Read a job's log", gives=str, media_types=(TEXT,))
    def log(self, request: Request, job_id: str) -> StreamingHttpResponse:
        task = Task.objects.filter(job_id=_number(job_id)).first()
        if task is None:
            raise errors.NotFound(f"job {job_id} not found")
        return log_of([task.id])


class Schedules(Monitor):
    """What runs by the clock."""

    verbs = {"paused": "signed-in"}

    @operation("List what runs by the clock", lists=answers.ScheduleTask)
    def list(self, request: Request) -> Response:
        return self.listing(Schedule.objects.all(), _schedule_task)

    @operation("Whether nothing runs by the clock at present", gives=answers.SchedulerStatus, refuses=(400,))
    def paused(self, request: Request, job_type: str) -> Response:
        if job_type.lower() != ALL:
            raise errors.BadRequest(f"job_type must be {ALL}: schedules are paused all together")
        return Response({"paused": schedules.are_paused()})


def _number(job_id: str) -> uuid.UUID:
    try:
        return uuid.UUID(job_id)
    except ValueError as error:
        raise errors.NotFound(f"job {job_id[:100]} not found: a job's id is a UUID") from error


def _worker(task: Task) -> dict[str, Any]:
    check_in = f"{task.done} of {task.total}" if task.total else ""
    return json.without_empty(
        {
            "id": task.worker,
            "pool_id": task.worker.rpartition("/")[0],
            "job_name": task.vendor_type,
            "job_id": str(task.job_id),
            "start_at": json.time(task.start_time),
            "check_in": check_in,
            "checkin_at": json.time(task.update_time),
        }
    )


def _idle(pools: Sequence[WorkerPool], busy: Mapping[str, int]) -> list[dict[str, Any]]:
    """The processes that are at nothing: as Harbor shows them, without a job. Which ones they are nobody asks."""
    return [
        {"id": f"{pool.pool_id}/idle-{number}", "pool_id": pool.pool_id}
        for pool in pools
        for number in range(1, pool.concurrency - busy.get(pool.pool_id, 0) + 1)
    ]


def _schedule_task(schedule: Schedule) -> dict[str, Any]:
    return json.without_empty(
        {
            "id": schedule.pk,
            "vendor_type": schedule.vendor_type,
            "vendor_id": schedule.vendor_id,
            "cron": schedule.cron,
            "update_time": json.time(schedule.updated),
        }
    )
