"""Running tasks in a worker: claim, work, and say how it ended."""

from __future__ import annotations

import time

import structlog

from core import errors
from jobservice import bell, claims, retry
from jobservice.context import Context, Stopped
from jobservice.job import JOBS
from jobservice.models import Task
from jobservice.status import Status

log = structlog.get_logger(__name__)
# How long one worker stays with a series before others get a turn.
TURN_SECONDS = 10.0


def run(id: int, *, worker: str) -> None:
    """Run this task if it is to be run, and then what follows in its series, for some seconds."""
    until = time.monotonic() + TURN_SECONDS
    following: int | None = id
    while following is not None:
        task = claims.claim(following, worker=worker)
        if task is None:
            return
        run_claimed(task)
        if waiting := claims.next_of_type(task):
            bell.ring([waiting])
        following = claims.next_of_series(task)
        if following is not None and time.monotonic() > until:
            bell.ring([(following, task.queue)])
            return


def run_claimed(task: Task) -> None:
    """One attempt at a task that is ours."""
    job = JOBS.get(task.vendor_type)
    if job is None:
        claims.finish(task, status=Status.ERROR, message=f"nobody here knows how to do {task.vendor_type}")
        return
    words = structlog.contextvars.bound_contextvars(task=task.id, vendor_type=task.vendor_type)
    with words, Context(task, longest_seconds=job.longest.total_seconds()) as ctx:
        try:
            job().run(ctx, task.params)
        except Stopped:
            ctx.log.info("It was stopped.")
            _end(ctx, Status.STOPPED)
        except Exception as error:
            _fail(ctx, job.attempts, error)
        else:
            _end(ctx, Status.SUCCESS)


def _end(ctx: Context, status: Status, message: str = "") -> None:
    claims.finish(ctx.task, status=status, message=message, told=ctx.told, **ctx.rest())


def _fail(ctx: Context, attempts: int, error: Exception) -> None:
    """Have it tried again, or end it."""
    message = _words(error)
    wait = retry.next_try(attempt=ctx.attempt, attempts=attempts, error=error)
    log.warning("task_failed", attempt=ctx.attempt, again=wait is not None, exc_info=error)
    if wait is None:
        ctx.log.error("It failed: %s", message)
        _end(ctx, Status.ERROR, message)
    else:
        ctx.log.warning("Attempt %d failed, the next one is in %d s: %s", ctx.attempt, wait.total_seconds(), message)
        claims.give_back(ctx.task, after=wait, message=message, **ctx.rest())


def _words(error: Exception) -> str:
    return error.message if isinstance(error, errors.Refusal) else f"{type(error).__name__}: {error}"
