"""Old rows of the audit log are dropped: whole months at once where nothing of them is kept, else in batches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import OperationalError
from django.db.models import Q

from core import clock, partitions
from jobservice.context import Context
from projects.models import AuditLog
from projects.models.audit_log import MONTHS

BATCH = 5000


def purge(ctx: Context, *, older_than: timedelta, event_types: Sequence[str], dry_run: bool) -> None:
    """Drop rows of these kinds (`create_artifact`, …) that are older.

    Nothing when `older_than` is nothing or no kind is named, as in Harbor: who wants an empty log must say so.
    """
    ctx.log.info("Purge audit job start")
    if not older_than:
        ctx.log.info("audit_retention_hour is 0: everything is kept")
        return
    if not event_types:
        ctx.log.info("include_event_types names no type of event: everything is kept")
        return
    before, wanted = clock.now() - older_than, _are_of(event_types)
    if dry_run:
        total = AuditLog.objects.filter(wanted, op_time__lt=before).count()
        ctx.log.info("%d rows of audit logs would be purged", total)
        ctx.tell(purged=0, would_purge=total)
        return
    purged = _Purge(ctx, before, wanted).run()
    ctx.log.info("Purged %d rows of audit logs", purged)


class _Purge:
    """One purge. How many rows it dropped is kept for the next attempt, and told at every step."""

    def __init__(self, ctx: Context, before: datetime, wanted: Q) -> None:
        self._ctx, self._before, self._wanted = ctx, before, wanted
        self._rows = AuditLog.objects.filter(wanted, op_time__lt=before)
        self._gone = int(ctx.state.get("purged", 0))
        self._total = self._gone + self._rows.count()

    def run(self) -> int:
        """Drop everything; how many rows that were, in all attempts."""
        self._count(0)
        self._drop_months()
        self._drop_rows()
        return self._gone

    def _drop_months(self) -> None:
        """Drop the months that ended before and have no row to be kept. One that is in use now is left to batches."""
        for month in MONTHS.months():
            end = partitions.midnight(partitions.next_month(month))
            if end > self._before:
                break
            # Nobody writes into a month that is over: what is counted here is what is dropped.
            rows = AuditLog.objects.filter(op_time__gte=partitions.midnight(month), op_time__lt=end)
            if rows.exclude(self._wanted).exists():
                continue
            count = rows.count()
            try:
                MONTHS.drop_partition(month)
            except OperationalError:
                self._ctx.log.info("the month %s is in use; its rows go one by one", month)
                continue
            self._ctx.log.info("dropped the month %s with %d rows", month, count)
            self._count(count)

    def _drop_rows(self) -> None:
        rows = self._rows.order_by("op_time", "id").values_list("id", "op_time")
        found = list(rows[:BATCH])
        while found:
            oldest, newest = found[0][1], found[-1][1]
            batch = AuditLog.objects.filter(op_time__range=(oldest, newest), id__in=[id for id, _ in found])
            self._count(batch.delete()[0])
            # From where this batch ended: what is kept is not read again each time.
            found = list(rows.filter(op_time__gte=newest)[:BATCH])

    def _count(self, rows: int) -> None:
        self._gone += rows
        self._ctx.tell(purged=self._gone)
        self._ctx.progress(self._gone, max(self._gone, self._total))
        self._ctx.checkpoint({"purged": self._gone})


def _are_of(event_types: Sequence[str]) -> Q:
    wanted = Q()
    for event_type in event_types:
        operation, _, resource_type = event_type.partition("_")
        wanted |= Q(operation=operation, resource_type=resource_type)
    return wanted
