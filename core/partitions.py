"""Tables partitioned by month: the next partition is made ahead of time, and old months are dropped whole."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from core import clock, locks

# A month is dropped in an idle moment or not at all: everybody else would wait behind us.
_PATIENCE = "2s"


@dataclass(frozen=True)
class MonthlyTable:
    """A table partitioned by a time, with a default partition that catches what has no month of its own."""

    name: str
    column: str

    def make_partitions(self, today: date | None = None) -> list[str]:
        """Make this month's and next month's partition where they are missing; returns the names of those made."""
        first = (today or clock.now().date()).replace(day=1)
        return [name for month in (first, next_month(first)) if (name := self._make(month))]

    def months(self) -> list[date]:
        """The first days of the months that have a partition, oldest first."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [self.name]
            )
            found = [re.fullmatch(rf"{self.name}_(\d{{4}})_(\d\d)", name) for (name,) in cursor.fetchall()]
        return sorted(date(int(each[1]), int(each[2]), 1) for each in found if each)

    def drop_partition(self, month: date) -> None:
        """Drop a month with everything in it. OperationalError when the table is too busy for it now."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
            cursor.execute(f"DROP TABLE {self._partition(month)}")

    def _partition(self, month: date) -> str:
        return f"{self.name}_{month:%Y_%m}"

    def _make(self, first: date) -> str | None:
        name = self._partition(first)
        with transaction.atomic(), connection.cursor() as cursor:
            # Two workers may come at the same moment.
            locks.wait_in_transaction(f"{self.name}_partitions")
            cursor.execute("SELECT to_regclass(%s)", [name])
            if cursor.fetchone()[0] is not None:
                return None
            self._attach(cursor, name, [first.isoformat(), next_month(first).isoformat()])
        return name

    def _attach(self, cursor: CursorWrapper, name: str, bounds: list[str]) -> None:
        """Rows that went to the default partition meanwhile would forbid the new one: they move."""
        theirs = f"FROM {self.name}_default WHERE {self.column} >= %s AND {self.column} < %s"
        cursor.execute(f"CREATE TEMP TABLE moved ON COMMIT DROP AS SELECT * {theirs}", bounds)
        cursor.execute(f"DELETE {theirs}", bounds)
        cursor.execute(f"CREATE TABLE {name} PARTITION OF {self.name} FOR VALUES FROM (%s) TO (%s)", bounds)
        cursor.execute(f"INSERT INTO {self.name} SELECT * FROM moved")  # noqa: S608, a name of our own
        cursor.execute("DROP TABLE moved")


TABLES: dict[str, MonthlyTable] = {}


def monthly(name: str, *, column: str) -> MonthlyTable:
    """Declare a table that is partitioned by month of this column, so that it gets its months in time."""
    return TABLES.setdefault(name, MonthlyTable(name, column))


def make_all(today: date | None = None) -> None:
    """Make this month's and next month's partition of every table."""
    for table in TABLES.values():
        table.make_partitions(today)


def midnight(day: date) -> datetime:
    """The moment at which a day begins; months are divided by their first days' (UTC)."""
    return datetime.combine(day, time(), UTC)


def next_month(first: date) -> date:
    return first.replace(year=first.year + 1, month=1) if first.month == 12 else first.replace(month=first.month + 1)
