"""What a task told people while it ran."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from core.partitions import monthly

MONTHS = monthly("job_task_log", column="creation_time")


class TaskLog(models.Model):
    """Some lines of a task's log, written together. Partitioned by month."""

    pk = models.CompositePrimaryKey("id", "creation_time")
    id = models.BigIntegerField(db_default=models.expressions.RawSQL("nextval('job_task_log_id_seq')", []))
    creation_time = models.DateTimeField(db_default=Now())
    task_id = models.BigIntegerField()
    text = models.TextField()
    """Whole lines, each with its newline."""

    class Meta:
        managed = False
        db_table = "job_task_log"

    def __str__(self) -> str:
        return self.text
