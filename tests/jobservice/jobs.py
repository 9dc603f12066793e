"""Jobs for tests, whose parameters tell what they do, and what tests do with them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from jobservice import claims, runner, service
from jobservice.context import Context
from jobservice.job import Job, Queue, register
from jobservice.models import Execution, Task, TaskLog
from jobservice.status import Trigger

Deed = Callable[[Context, dict[str, Any]], None]


class Permanent(Exception):  # noqa: N818
    permanent = True


@register
class Work(Job):
    """Does what the test put into `deed`."""

    vendor_type = "TEST_WORK"
    queue = Queue.INTERACTIVE
    deed: Deed = staticmethod(lambda ctx, params: None)

    def run(self, ctx: Context, params: dict[str, Any]) -> None:
        type(self).deed(ctx, params)


@register
class Capped(Work):
    vendor_type = "TEST_CAPPED"
    queue = Queue.BULK
    most_at_once = 2


def submit(job: type[Work] = Work, **wanted: Any) -> Execution:
    return service.submit(job, trigger=Trigger.MANUAL, **wanted)


def run(*tasks: Task) -> None:
    for task in tasks:
        runner.run(task.id, worker="test/1")


def now(execution: Execution) -> Execution:
    return Execution.objects.get(id=execution.id)


def make_due() -> None:
    Task.objects.update(due=Now())


def lose(task: Task) -> Task:
    """Let a worker take the task and die."""
    held = claims.claim(task.id, worker="dead/1")
    assert held is not None
    Task.objects.filter(id=task.id).update(lease=Now() - timedelta(seconds=1))
    return held


def tasks_of(execution: Execution) -> list[Task]:
    return list(Task.objects.filter(execution_id=execution.id).order_by("id"))


def log_of(task: Task) -> str:
    return "".join(TaskLog.objects.filter(task_id=task.id).order_by("id").values_list("text", flat=True))


@register
class Steps(Job):
    """For real workers: notes in a file that it began, takes so many steps, and notes that it ended."""

    vendor_type = "TEST_STEPS"
    queue = Queue.INTERACTIVE

    def run(self, ctx: Context, params: dict[str, Any]) -> None:
        begun = ctx.state.get("step", 0)
        note(params, f"begin {ctx.task_id} {begun} {os.getpid()}")
        for step in range(begun, params["steps"]):
            ctx.progress(step, params["steps"])
            ctx.checkpoint({"step": step})
            time.sleep(0.02)
        note(params, f"end {ctx.task_id} {params['steps']} {os.getpid()}")


@register
class TwoAtOnce(Steps):
    vendor_type = "TEST_TWO_AT_ONCE"
    most_at_once = 2


def note(params: dict[str, Any], line: str) -> None:
    """Append a line, whole: several processes do."""
    with open(params["notes"], "a") as notes:
        notes.write(f"{line}\n")
