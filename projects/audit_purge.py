"""Old rows of the audit log are dropped: whole months at once where nothing of them is kept, else in batches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from django.db import OperationalError
from django.db.models import Q, QuerySet

from core import clock, partitions
from jobservice.context import Context
from projects.models import AuditLog
from projects.models.audit_log import MONTHS

BATCH = 5000


def purge(ctx: Context, *, older_than: timedelta, event_types: Sequence[str], dry_run: bool) -> None:
    """Drop rows that are older; of these kinds only (`create_artifact`, …) when any are named.

    Nothing when `older_than` is nothing: who wants an empty log must say so in hours.
    """
    ctx.log.info("Purge audit job start")
    if not older_than:
        ctx.log.info("audit_retention_hour is 0: everything is kept")
        return
    before = clock.now() - older_than
    rows = _of_kinds(AuditLog.objects.filter(op_time__lt=before), event_types)
    total, gone = rows.count(), 0
    if dry_run:
        ctx.log.info("%d rows of audit logs would be purged", total)
        ctx.tell(purged=0, would_purge=total)
        return
    if not event_types:
        gone += _drop_months(ctx, before)
    while found := list(rows.order_by("op_time", "id").values_list("id", "op_time")[:BATCH]):
        oldest, newest = found[0][1], found[-1][1]
        batch = AuditLog.objects.filter(op_time__range=(oldest, newest), id__in=[id for id, _ in found])
        gone += batch.delete()[0]
        ctx.progress(gone, max(gone, total))
        ctx.checkpoint()
    ctx.log.info("Purged %d rows of audit logs", gone)
    ctx.tell(purged=gone)


def _of_kinds(rows: QuerySet[AuditLog], event_types: Sequence[str]) -> QuerySet[AuditLog]:
    wanted = Q()
    for event_type in event_types:
        operation, _, resource_type = event_type.partition("_")
        wanted |= Q(operation=operation, resource_type=resource_type)
    return rows.filter(wanted)


def _drop_months(ctx: Context, before: datetime) -> int:
    """Drop the months that ended before; how many rows they had. One that is in use now is left to batches."""
    gone = 0
    for month in MONTHS.months():
        end = _midnight(partitions.next_month(month))
        if end > before:
            break
        count = AuditLog.objects.filter(op_time__gte=_midnight(month), op_time__lt=end).count()
        try:
            MONTHS.drop_partition(month)
        except OperationalError:
            ctx.log.info("the month %s is in use; its rows go one by one", month)
            continue
        ctx.log.info("dropped the month %s with %d rows", month, count)
        gone += count
        ctx.checkpoint()
    return gone


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
