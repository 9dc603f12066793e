"""What time it is: the database's clock, whatever this machine's says.

Replicas of core and workers may run where the clock is wrong, and each reads what the others wrote: when a token
expires, when a lease is over, which push was later. So nobody asks the machine; `make check` refuses
`time.time()` and its like.
"""

from __future__ import annotations

import threading
import time as machine
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from django.db import Error, connections

log = structlog.get_logger(__name__)
# Quartz drifts by microseconds in this time. It also ends what a paused virtual machine believed.
READ_AGAIN_SECONDS = 60.0
TRY_AGAIN_SECONDS = 1.0
WORTH_A_WARNING_SECONDS = 5.0


@dataclass(frozen=True)
class Reading:
    """The database's clock at one moment of this machine's uptime (which runs on while it sleeps, and never jumps)."""

    uptime: float
    time: float

    def at(self, uptime: float) -> float:
        return self.time + uptime - self.uptime


_reading: Reading | None = None
_read_again_at = 0.0
_reader = threading.Lock()


def time() -> float:
    """Seconds since 1970. Read from the database once a minute; the database's error when it never could be."""
    reading = _reading
    if reading is None or _uptime() >= _read_again_at:
        reading = _read_again()
    return reading.at(_uptime())


def now() -> datetime:
    """The same as an aware datetime in UTC."""
    return datetime.fromtimestamp(time(), UTC)


def _read_again() -> Reading:
    """One thread reads; the others go on with what there is, or wait for the very first reading."""
    global _reading, _read_again_at
    known = _reading
    if not _reader.acquire(blocking=known is None) and known is not None:
        return known
    try:
        if _reading is not None and _uptime() < _read_again_at:
            return _reading
        _reading = _read()
        _read_again_at = _uptime() + READ_AGAIN_SECONDS
        _warn_of_difference(_reading)
        return _reading
    except Error:
        if _reading is None:
            raise
        _read_again_at = _uptime() + TRY_AGAIN_SECONDS
        return _reading
    finally:
        _reader.release()


def _read() -> Reading:
    # On a connection of its own: the caller's may be in the middle of a transaction that failed.
    connection = connections["default"].copy()
    try:
        with connection.cursor() as cursor:
            before = _uptime()
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
            seconds = float(cursor.fetchone()[0])
            return Reading((before + _uptime()) / 2, seconds)
    finally:
        connection.close()


def _warn_of_difference(reading: Reading) -> None:
    difference = machine.time() - reading.at(_uptime())
    if abs(difference) > WORTH_A_WARNING_SECONDS:
        log.warning("clock_differs", seconds_ahead_of_database=round(difference))


def _uptime() -> float:
    return machine.clock_gettime(machine.CLOCK_BOOTTIME)
