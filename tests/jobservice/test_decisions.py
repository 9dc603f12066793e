"""What the job service decides without looking anything up: statuses, tries, and times."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from core import errors
from jobservice import cron, housekeeping, retry, status
from jobservice.status import Status
from tests.jobservice.jobs import Permanent

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (set(), Status.SUCCESS),
        ({"Success"}, Status.SUCCESS),
        ({"Success", "Pending"}, Status.RUNNING),
        ({"Error", "Running"}, Status.RUNNING),
        ({"Success", "Stopped"}, Status.STOPPED),
        ({"Success", "Stopped", "Error"}, Status.ERROR),
    ],
)
def test_an_execution_stands_as_its_tasks_do(tasks: set[str], expected: Status) -> None:
    assert status.of_execution(tasks) == expected


def test_tries_come_later_and_later_and_end() -> None:
    waits = [retry.next_try(failures=failures, attempts=4, error=OSError()) for failures in (1, 2, 3, 4)]
    assert waits == [timedelta(seconds=5), timedelta(seconds=10), timedelta(seconds=20), None]
    assert retry.pause(1000) == timedelta(minutes=10)


@pytest.mark.parametrize(
    ("failures", "asked", "wait"),
    [
        (1, None, 5),
        (1, 0, 5),
        (1, 120, 120),
        # Not sooner than it would be by itself: who always asks for a second would be called day and night.
        (6, 1, 160),
        (1, 3600, 600),
        (1, 10**9, 600),
    ],
)
def test_who_asks_to_be_left_alone_for_a_while_is(failures: int, asked: int | None, wait: int) -> None:
    error = errors.Refusal(retry_after=asked)
    assert retry.next_try(failures=failures, attempts=100, error=error) == timedelta(seconds=wait)
    assert retry.next_try(failures=100, attempts=100, error=error) is None


def test_what_cannot_work_is_not_tried_again() -> None:
    assert retry.next_try(failures=1, attempts=4, error=Permanent()) is None


def test_a_lost_worker_is_no_failure_until_it_is_a_habit() -> None:
    assert not retry.is_given_up(deaths=9)
    assert retry.is_given_up(deaths=10)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0 0 * * * *", datetime(2026, 11, 25, 13, tzinfo=UTC)),
        ("0 30 2 * * *", datetime(2026, 11, 26, 2, 30, tzinfo=UTC)),
        ("0 0 0 * * 0", datetime(2026, 11, 29, tzinfo=UTC)),
        ("0 0 0 * * 7", datetime(2026, 11, 29, tzinfo=UTC)),
        ("0 0 0 ? * MON-FRI", datetime(2026, 11, 26, tzinfo=UTC)),
        ("0 */20 * * * ?", datetime(2026, 11, 25, 12, 20, tzinfo=UTC)),
        # When both days are said, either will do (as in Go's cron): the 1st, or a Friday.
        ("0 0 0 1 * 5", datetime(2026, 11, 27, tzinfo=UTC)),
        ("0 0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_the_next_time(written: str, expected: datetime) -> None:
    assert cron.next_after(written, NOON) == expected


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("0 0 * * *", "5 fields, but needs 6"),
        ("", "0 fields, but needs 6"),
        ("30 0 * * * *", "seconds (first field) must be 0"),
        ("* * * * * *", "seconds (first field) must be 0"),
        ("0 61 * * * *", "bad minute; it is 0 to 59"),
        ("0 0 24 * * *", "bad hour; it is 0 to 23"),
        ("0 0 24 * * *", "bad hour"),
        ("0 0 0 30 2 *", "bad day-of-month; it is 1 to 31, and a day that its months have"),
        ("0 0 0 * 13 *", "bad month; it is 1 to 12, or JAN to DEC"),
        ("0 0 0 * * someday", "bad day-of-week; it is 0 to 7, or SUN to SAT"),
        ("0 */0 * * * *", "bad minute"),
        ("0 ? * * * *", "bad minute"),
        ("0 0 0 * * \0", "bad day-of-week"),
        ("0 1-" + "9" * 300 + " * * * *", "bad minute"),
    ],
)
def test_a_bad_cron_is_refused_in_words(written: str, complaint: str) -> None:
    with pytest.raises(errors.BadRequest) as refusal:
        cron.check(written)
    assert complaint in refusal.value.message


def test_history_of_three_whole_months_is_kept() -> None:
    assert housekeeping.oldest_kept(date(2026, 1, 31)) == date(2025, 10, 1)
