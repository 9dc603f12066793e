"""The audit log's monthly partitions: made ahead of time, so that old months can be dropped whole."""

from __future__ import annotations

from datetime import date

from django.db import connection, transaction

from core import clock


def make_partitions(today: date | None = None) -> list[str]:
    """Make this month's and next month's partition where they are missing; returns the names of those made."""
    first = (today or clock.now().date()).replace(day=1)
    return [name for month in (first, next_month(first)) if (name := _make(month))]


def next_month(first: date) -> date:
    return first.replace(year=first.year + 1, month=1) if first.month == 12 else first.replace(month=first.month + 1)


def _make(first: date) -> str | None:
    name = f"audit_log_{first:%Y_%m}"
    with transaction.atomic(), connection.cursor() as cursor:
        # Two workers may come at the same moment; the lock ends with the transaction.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('audit_log_partitions'))")
        cursor.execute("SELECT to_regclass(%s)", [name])
        if cursor.fetchone()[0] is not None:
            return None
        bounds = [first.isoformat(), next_month(first).isoformat()]
        # Rows that went to the default partition meanwhile would forbid the new one: they move.
        cursor.execute(
            "CREATE TEMP TABLE moved ON COMMIT DROP AS "
            "SELECT * FROM audit_log_default WHERE op_time >= %s AND op_time < %s",
            bounds,
        )
        cursor.execute("DELETE FROM audit_log_default WHERE op_time >= %s AND op_time < %s", bounds)
        cursor.execute(f"CREATE TABLE {name} PARTITION OF audit_log FOR VALUES FROM (%s) TO (%s)", bounds)
        cursor.execute("INSERT INTO audit_log SELECT * FROM moved")
        cursor.execute("DROP TABLE moved")
    return name
