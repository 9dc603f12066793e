"""Whether and when a task is tried again: a pure decision."""

from __future__ import annotations

from datetime import timedelta

FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=10)
# A worker that was killed is not the work's fault; work that kills its workers ends here.
MOST_DEATHS = 10


def next_try(*, failures: int, attempts: int, error: BaseException) -> timedelta | None:
    """How long to wait before the next try after so many failed; None: never.

    An error that calls itself `permanent` is not tried again. One that says `retry_after` (seconds) makes the pause as
    long, if it would be shorter, but no longer than any pause may be.
    """
    if getattr(error, "permanent", False) or failures >= attempts:
        return None
    asked = getattr(error, "retry_after", None) or 0
    return max(pause(failures), timedelta(seconds=min(asked, LONGEST_PAUSE.total_seconds())))


def is_given_up(*, deaths: int) -> bool:
    """Whether so many workers died of the task that it is not tried again."""
    return deaths >= MOST_DEATHS


def pause(failures: int) -> timedelta:
    """5 s after the first failure, doubled after each, at most ten minutes."""
    doublings = min(failures - 1, 20)
    return min(LONGEST_PAUSE, FIRST_PAUSE * (1 << doublings))
