"""Whose turn it is: the tasks that may begin now because they were made, because another one ended, or because nobody
heard their bell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from django.conf import settings
from django.db.models import Q

from jobservice.job import JOBS
from jobservice.models import Task
from jobservice.models.task import TaskQuerySet

Turn = tuple[int, str]
"""A task's id and its queue: what a bell is rung with."""


def at_first(tasks: Iterable[Task]) -> list[Task]:
    """Of tasks that were just made those that may begin: of a series, and of a kind of which only some may run, the
    others follow by themselves."""
    chosen: list[Task] = []
    series: set[str] = set()
    kinds: Counter[str] = Counter()
    for task in tasks:
        most = most_of(task.vendor_type)
        if task.series not in series and (most is None or kinds[task.vendor_type] < most):
            chosen.append(task)
            kinds[task.vendor_type] += 1
            series |= {task.series} - {""}
    return chosen


def after(task: Task) -> list[Turn]:
    """Those that may have waited for it: the next of its series first, then of its kind, where not all may run."""
    turns = of_series(task.series)
    if most_of(task.vendor_type) is not None:
        turns += [turn for turn in of_type(task.vendor_type) if turn not in turns]
    return turns


def of_series(series: str) -> list[Turn]:
    """The first of a series, or nobody."""
    return _turns(Task.objects.ready().filter(id__in=Task.objects.first_of(series).values("id")), 1) if series else []


def of_type(vendor_type: str, *, most: int = 5000) -> list[Turn]:
    """The first of a kind that there is room for."""
    return choose(Task.objects.ready(), vendor_type, most=most)


def choose(ready: TaskQuerySet, vendor_type: str, *, most: int) -> list[Turn]:
    """Of these tasks the first of a kind that there is room for."""
    may_run = most_of(vendor_type)
    if may_run is not None:
        most = min(most, may_run - Task.objects.running().filter(vendor_type=vendor_type).count())
    if most <= 0:
        return []
    # `ready` asks each for the first of its series; of very many that wait in one, only that one is asked.
    ready = ready.filter(Q(series="") | Q(id__in=Task.objects.firsts()))
    return _turns(ready.filter(vendor_type=vendor_type), most)


def most_of(vendor_type: str) -> int | None:
    """How many of a kind may run at a time; None: as many as there are workers.

    As few as the operator wants, but never more than such work can bear.
    """
    bearable = JOBS[vendor_type].most_at_once if vendor_type in JOBS else None
    wanted = settings.JOB_CAPS.get(vendor_type)
    return min((most for most in (bearable, wanted) if most is not None), default=None)


def _turns(tasks: TaskQuerySet, most: int) -> list[Turn]:
    return list(tasks.order_by("id").values_list("id", "queue")[:most])
