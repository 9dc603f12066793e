"""Whether and when a task is tried again: a pure decision."""

from __future__ import annotations

from datetime import timedelta

FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=10)
# A worker that was restarted or killed is not the work's fault; work that kills its workers ends here.
LOST_WORKERS = 10


def next_try(*, attempt: int, attempts: int, error: BaseException) -> timedelta | None:
    """How long to wait before the next try after this one failed; None: never.

    `attempt` counts from 1. An error that calls itself `permanent` is not tried again.
    """
    if getattr(error, "permanent", False) or attempt >= attempts:
        return None
    return pause(attempt)


def after_lost_worker(*, attempt: int) -> timedelta | None:
    """The same for a try whose worker died."""
    return timedelta() if attempt < LOST_WORKERS else None


def pause(attempt: int) -> timedelta:
    """5 s after the first try, doubled after each, at most ten minutes."""
    doublings = min(attempt - 1, 20)
    return min(LONGEST_PAUSE, FIRST_PAUSE * (1 << doublings))
