"""Who is there to work."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class WorkerPool(models.Model):
    """A worker program with its processes; its heartbeat says that it lives."""

    pool_id = models.CharField(max_length=255, primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    concurrency = models.IntegerField()
    started = models.DateTimeField(db_default=Now())
    heartbeat = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.pool_id
