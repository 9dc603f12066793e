"""Harbor's cron: six fields, the seconds first and 0, in UTC."""

from __future__ import annotations

from datetime import datetime

from cronsim import CronSim, CronSimError

from core import errors

HOURLY = "0 0 * * * *"
DAILY = "0 0 0 * * *"
WEEKLY = "0 0 0 * * 0"
_FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, and a day that its months have",
    "month": "1 to 12, or JAN to DEC",
    "day-of-week": "0 to 7, or SUN to SAT",
}


def check(cron: str) -> None:
    """BadRequest with what is wrong and what would be right, for what is no cron of ours."""
    _parse(cron, datetime(2000, 1, 1))


def next_after(cron: str, moment: datetime) -> datetime | None:
    """The first time after a moment; None when there is none within fifty years."""
    return next(_parse(cron, moment), None)


def minutes_and_hours(cron: str) -> tuple[str, str]:
    """At which minutes of which hours it may be time, as comma-separated numbers."""
    times = _parse(cron, datetime(2000, 1, 1))
    return ",".join(map(str, sorted(times.minutes))), ",".join(map(str, sorted(times.hours)))


def _parse(cron: str, moment: datetime) -> CronSim:
    fields = cron.split()
    if len(fields) != 6:
        raise errors.BadRequest(
            f"invalid cron {cron!r}: it has {len(fields)} fields, but needs 6: "
            "second minute hour day-of-month month day-of-week, such as 0 30 2 * * *"
        )
    if fields[0] != "0":
        raise errors.BadRequest(f"invalid cron {cron!r}: the seconds (first field) must be 0")
    # Go's cron says ? where any day will do.
    days = ["*" if field == "?" else field for field in fields]
    try:
        return CronSim(" ".join([*fields[:3], days[3], fields[4], days[5]]), moment)
    except CronSimError as error:
        said = str(error).lower()
        right = _FIELDS[said.removeprefix("bad ")]
        raise errors.BadRequest(f"invalid cron {cron!r}: {said}; it is {right}") from error
