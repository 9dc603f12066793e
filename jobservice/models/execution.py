"""An execution: one run of something, as Harbor models it. Its tasks do the work."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Case, F, OuterRef, Subquery, Value, When
from django.db.models.functions import Coalesce, Now

from core.partitions import monthly
from jobservice.models.task import Task
from jobservice.status import UNFINISHED, Status, Trigger

MONTHS = monthly("job_execution", column="start_time")


class ExecutionQuerySet(models.QuerySet["Execution"]):
    def unfinished(self) -> ExecutionQuerySet:
        return self.filter(status__in=UNFINISHED)

    def with_standing(self) -> ExecutionQuerySet:
        """Each with its `standing`: its status, but Pending while none of its tasks was ever begun."""
        # Of each one look at the index of its tasks; as EXISTS all tasks there are might be read for it.
        begun = Task.objects.filter(execution_id=OuterRef("id"), run_count__gt=0).values(word=Value(Status.RUNNING))
        standing = Coalesce(Subquery(begun[:1]), Value(Status.PENDING), output_field=models.CharField())
        return self.annotate(standing=Case(When(status=Status.RUNNING, then=standing), default=F("status")))


class Execution(models.Model):
    """The table is partitioned by month (invariant I15): its key holds the month's column, and others name it by id."""

    pk = models.CompositePrimaryKey("id", "start_time")
    id = models.BigIntegerField(db_default=models.expressions.RawSQL("nextval('job_execution_id_seq')", []))
    start_time = models.DateTimeField(db_default=Now())
    vendor_type = models.CharField(max_length=64)
    vendor_id = models.BigIntegerField(default=0)
    """Of the policy that it runs for; 0 when the platform has only one."""
    status = models.CharField(max_length=16, choices=Status, default=Status.RUNNING)
    status_message = models.TextField(blank=True)
    trigger = models.CharField(max_length=16, choices=Trigger)
    extra_attrs = models.JSONField(default=dict)
    """What it was asked for, and what its tasks told about themselves."""
    update_time = models.DateTimeField(db_default=Now())
    end_time = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Execution]] = ExecutionQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "job_execution"

    def __str__(self) -> str:
        return f"{self.vendor_type} #{self.id}: {self.status}"
