"""The audit log: who did what, when, from where, with what result. Partitioned by month."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from core.partitions import monthly
from projects.models.project import Project
from rbac.access import Actor, allowed

MONTHS = monthly("audit_log", column="op_time")


class AuditLogQuerySet(models.QuerySet["AuditLog"]):
    def visible_to(self, actor: Actor) -> AuditLogQuerySet:
        """Rows that an actor may see: of the projects whose log he may list, or all."""
        if allowed(actor, "audit-log", "list"):
            return self
        # Asked apart: the planner must see how few projects it is, or it reads the rows of all others as well.
        mine = Project.objects.allowing(actor, "log", "list").values_list("pk", flat=True)
        return self.filter(project_id__in=list(mine))


class AuditLog(models.Model):
    """One acknowledged change, or a sign-in that failed.

    The table is partitioned by `op_time` (invariant I15), so its key holds the month column and nothing
    can point to a row by id alone: ids of projects and users are plain numbers.
    """

    pk = models.CompositePrimaryKey("id", "op_time")
    id = models.BigIntegerField(db_default=models.expressions.RawSQL("nextval('audit_log_id_seq')", []))
    op_time = models.DateTimeField(db_default=Now())
    username = models.CharField(max_length=600)
    operation = models.CharField(max_length=64)
    resource_type = models.CharField(max_length=64)
    resource = models.CharField(max_length=1024)
    project_id = models.BigIntegerField(null=True)
    succeeded = models.BooleanField(default=True)
    description = models.TextField(blank=True)
    address = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    objects: ClassVar[models.Manager[AuditLog]] = AuditLogQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "audit_log"

    def __str__(self) -> str:
        return f"{self.username} {self.operation} {self.resource}"
