"""Which kinds of work wait until somebody says go on."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class PausedQueue(models.Model):
    """A vendor type whose tasks are not begun; `SCHEDULER` holds all schedules."""

    job_type = models.CharField(max_length=64, primary_key=True)
    since = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.job_type
