"""The audit log and its monthly partitions."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from django.db import connection

from core.events import emit
from projects.events import TagDeleted
from projects.models import AuditLog
from projects.models.audit_log import MONTHS

pytestmark = pytest.mark.django_db


def partition_of(row: AuditLog) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM audit_log WHERE id = %s", [row.id])
        return str(cursor.fetchone()[0])


def write(moment: datetime) -> AuditLog:
    AuditLog.objects.create(op_time=moment, username="alice", operation="x", resource_type="y", resource="z")
    return AuditLog.objects.get(op_time=moment)


def test_a_month_gets_its_partition_and_rows_go_there() -> None:
    assert MONTHS.make_partitions(date(2031, 12, 5)) == ["audit_log_2031_12", "audit_log_2032_01"]
    assert MONTHS.make_partitions(date(2031, 12, 6)) == []
    assert partition_of(write(datetime(2031, 12, 31, 23, 59, tzinfo=UTC))) == "audit_log_2031_12"
    assert partition_of(write(datetime(2032, 1, 1, tzinfo=UTC))) == "audit_log_2032_01"


def test_without_a_partition_nothing_is_lost_and_rows_move_to_it_later() -> None:
    row = write(datetime(2033, 5, 5, tzinfo=UTC))
    assert partition_of(row) == "audit_log_default"
    MONTHS.make_partitions(date(2033, 5, 6))
    assert partition_of(row) == "audit_log_2033_05"
    assert AuditLog.objects.filter(op_time=row.op_time).count() == 1


def test_every_event_of_a_change_is_one_row() -> None:
    emit(TagDeleted(actor="bob", project_id=7, project="team", repository="team/app", digest="sha256:0", tag="v1"))
    row = AuditLog.objects.get()
    assert (row.username, row.operation, row.resource_type, row.resource) == ("bob", "delete", "tag", "team/app:v1")


@pytest.mark.django_db(transaction=True)
def test_an_event_outside_a_transaction_is_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="inside the transaction"):
        emit(TagDeleted(actor="bob", project_id=7, project="p", repository="p/r", digest="d", tag="t"))
