"""Jobs for tests: what they do is told by their parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jobservice.context import Context
from jobservice.job import Job, Queue, register
from jobservice.models import Execution, Task, TaskLog

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


def tasks_of(execution: Execution) -> list[Task]:
    return list(Task.objects.filter(execution_id=execution.id).order_by("id"))


def log_of(task: Task) -> str:
    return "".join(TaskLog.objects.filter(task_id=task.id).order_by("id").values_list("text", flat=True))
