"""Running tasks in a worker: claim, work, and say how it ended."""

from __future__ import annotations

import time
from datetime import timedelta

import structlog

from core import errors
from jobservice import bell, claims, retry, turns, workers
from jobservice.context import Context, Stopped, WorkerEnds, storable_text
from jobservice.job import JOBS, Job
from jobservice.models import Task
from jobservice.status import Status

log = structlog.get_logger(__name__)
# How long one worker stays with a series before others get a turn.
TURN_SECONDS = 10.0
# A new kind of work may be ordered before the last worker has the program that knows it: half an hour in all.
ATTEMPTS_OF_THE_UNKNOWN = 10
# What is tried again sooner has a bell of its own; for the rest the sweep is early enough.
SOON = timedelta(minutes=1)


def run(id: int, *, worker: str) -> None:
    """Run this task if it is to be run, and then what follows in its series, for some seconds."""
    until = time.monotonic() + TURN_SECONDS
    while task := claims.claim(id, worker=worker):
        run_claimed(task)
        waiting = turns.after(task)
        if workers.is_ending() or time.monotonic() > until or not _is_ours(task, waiting):
            bell.ring(waiting)
            return
        id, _ = waiting.pop(0)
        bell.ring(waiting)


def _is_ours(task: Task, waiting: list[turns.Turn]) -> bool:
    """Whether the first of these is the next of the task's series, and for such workers as this one."""
    return bool(task.series and waiting and waiting[0] in turns.of_series(task.series) and waiting[0][1] == task.queue)


def run_claimed(task: Task) -> None:
    """One attempt at a task that is ours."""
    job = JOBS.get(task.vendor_type, Unknown)
    words = structlog.contextvars.bound_contextvars(task=task.id, vendor_type=task.vendor_type)
    with words, Context(task, longest_seconds=job.longest.total_seconds()) as ctx:
        if task.status_message == claims.DIED:
            # What died could not say so.
            ctx.log.warning("Attempt %d goes on: of the one before, %s", ctx.attempt, claims.DIED)
        try:
            job().run(ctx, task.params)
        except Stopped:
            _stop(ctx)
        except WorkerEnds:
            _pass_on(ctx)
        except Exception as error:
            _fail(ctx, job.attempts, error)
        else:
            _end(ctx, Status.SUCCESS)


class Unknown(Job):
    """In place of a kind that this worker does not know."""

    attempts = ATTEMPTS_OF_THE_UNKNOWN

    def run(self, ctx: Context, params: dict[str, object]) -> None:
        raise errors.Unavailable(f"nobody here knows how to do {ctx.task.vendor_type}")


def _stop(ctx: Context) -> None:
    if ctx.is_ours:
        ctx.log.info("It was stopped.")
        _end(ctx, Status.STOPPED)


def _pass_on(ctx: Context) -> None:
    """Let another worker go on at once. This one ends, so it waits until the bell is rung."""
    ctx.log.info("Its worker ends; another one goes on.")
    if claims.give_back(ctx.task, after=timedelta(), message="its worker ended", **ctx.rest()):
        bell.send_now(bell.Bell(bell.RUN_TASK, (ctx.task_id,), ctx.task.queue))
    else:
        _stop(ctx)


def _fail(ctx: Context, attempts: int, error: Exception) -> None:
    """Have it tried again, or end it."""
    message, failures = _words(error), ctx.task.failures + 1
    wait = retry.next_try(failures=failures, attempts=attempts, error=error)
    log.warning("task_failed", failures=failures, again=wait is not None, exc_info=error)
    if wait is None:
        ctx.log.error("It failed: %s", message)
        _end(ctx, Status.ERROR, message, failures=failures)
        return
    ctx.log.warning("Attempt %d failed, the next one is in %d s: %s", ctx.attempt, wait.total_seconds(), message)
    if not claims.give_back(ctx.task, after=wait, message=message, failures=failures, **ctx.rest()):
        _stop(ctx)
    elif wait < SOON:
        bell.ring([(ctx.task_id, ctx.task.queue)], after=wait)


def _end(ctx: Context, status: Status, message: str = "", **news: int) -> None:
    claims.finish(ctx.task, status=status, message=message, told=ctx.told, **ctx.rest(), **news)


def _words(error: Exception) -> str:
    return storable_text(error.message if isinstance(error, errors.Refusal) else f"{type(error).__name__}: {error}")
