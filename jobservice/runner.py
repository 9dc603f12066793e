"""Running tasks in a worker: claim, work, and say how it ended."""

from __future__ import annotations

import time
from datetime import timedelta

import structlog
from django.db import transaction

from core import errors
from jobservice import bell, claims, retry, turns, workers
from jobservice.context import Context, Stopped, WorkerEnds, storable_text
from jobservice.job import JOBS, Job
from jobservice.models import Task
from jobservice.status import Status

log = structlog.get_logger(__name__)
# How long one worker stays with a series before others get a turn.
TURN_SECONDS = 1.0
# A new kind of work may be ordered before the last worker has the program that knows it: half an hour in all.
ATTEMPTS_OF_THE_UNKNOWN = 10
# What is tried again sooner has a bell of its own; for the rest the sweep is early enough.
SOON = timedelta(minutes=1)


def run(id: int, *, worker: str) -> None:
    """Run this task if it is to be run, and then what follows in its series, for about a second."""
    until = time.monotonic() + TURN_SECONDS
    task = claims.claim(id, worker=worker)
    while task:
        following = run_claimed(task, until=until)
        if following is None:
            bell.ring(turns.after(task))
        task = following


def run_claimed(task: Task, *, until: float = 0.0) -> Task | None:
    """One attempt at a task that is ours.

    When it ends before that moment of the monotonic clock: the next one of its series, which is ours then.
    """
    job = JOBS.get(task.vendor_type, Unknown)
    words = structlog.contextvars.bound_contextvars(task=task.id, vendor_type=task.vendor_type)
    with words, Context(task, longest_seconds=job.longest.total_seconds()) as ctx:
        if task.status_message == claims.DIED:
            # What died could not say so.
            ctx.log.warning("Attempt %d goes on: of the one before, %s", ctx.attempt, claims.DIED)
        try:
            job().run(ctx, task.params)
        except Stopped:
            return _stop(ctx, until)
        except WorkerEnds:
            return _pass_on(ctx)
        except Exception as error:
            return _fail(ctx, job.attempts, error, until)
        return _end(ctx, until, Status.SUCCESS)


class Unknown(Job):
    """In place of a kind that this worker does not know."""

    attempts = ATTEMPTS_OF_THE_UNKNOWN

    def run(self, ctx: Context, params: dict[str, object]) -> None:
        raise errors.Unavailable(f"nobody here knows how to do {ctx.task.vendor_type}")


def _stop(ctx: Context, until: float) -> Task | None:
    if not ctx.is_ours:
        return None
    ctx.log.info("It was stopped.")
    return _end(ctx, until, Status.STOPPED)


def _pass_on(ctx: Context) -> Task | None:
    """Let another worker go on at once. This one ends, so it waits until the bell is rung."""
    ctx.log.info("Its worker ends; another one goes on.")
    if not _give_back(ctx, timedelta(), "its worker ended"):
        return _stop(ctx, until=0.0)
    bell.send_now(bell.Bell(bell.RUN_TASK, (ctx.task_id,), ctx.task.queue))
    return None


def _fail(ctx: Context, attempts: int, error: Exception, until: float) -> Task | None:
    """Have it tried again, or end it."""
    message, failures = _words(error), ctx.task.failures + 1
    wait = retry.next_try(failures=failures, attempts=attempts, error=error)
    _log_failure(error, failures=failures, again=wait is not None)
    if wait is None:
        ctx.log.error("It failed: %s", message)
        return _end(ctx, until, Status.ERROR, message, failures=failures)
    ctx.log.warning("Attempt %d failed, the next one is in %d s: %s", ctx.attempt, wait.total_seconds(), message)
    if not _give_back(ctx, wait, message, failures=failures):
        return _stop(ctx, until)
    if wait < SOON:
        bell.ring([(ctx.task_id, ctx.task.queue)], after=wait)
    return None


def _give_back(ctx: Context, after: timedelta, message: str, **news: int) -> bool:
    with transaction.atomic():
        return claims.give_back(ctx.task, after=after, message=message, **ctx.rest(), **news)


def _end(ctx: Context, until: float, status: Status, message: str = "", **news: int) -> Task | None:
    """End it, and go on with the next one of its series if there is time: in one transaction, the only one."""
    with transaction.atomic():
        is_ended = claims.finish(ctx.task, status=status, message=message, told=ctx.told, **ctx.rest(), **news)
        if is_ended and time.monotonic() < until and not workers.is_ending():
            return claims.take_next(ctx.task)
    return None


def _log_failure(error: Exception, **facts: object) -> None:
    """A line for what has a name, such as a receiver that is away; a traceback for what nobody expected."""
    if not isinstance(error, errors.Refusal):
        log.warning("task_failed", **facts, exc_info=error)
        return
    cause = error.__cause__
    # What a library said, where a refusal was made of that.
    because = {"cause": _words(cause)} if cause and not isinstance(cause, errors.Refusal) else {}
    log.warning("task_failed", **facts, error=_words(error), **because)


def _words(error: BaseException) -> str:
    return storable_text(error.message if isinstance(error, errors.Refusal) else f"{type(error).__name__}: {error}")
