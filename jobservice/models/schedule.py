"""What runs by the clock, as people set it."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Schedule(models.Model):
    """One job that is submitted whenever its cron says so, in UTC."""

    class Kind(models.TextChoices):
        """Harbor's words for how it was chosen."""

        HOURLY = "Hourly"
        DAILY = "Daily"
        WEEKLY = "Weekly"
        CUSTOM = "Custom"

    vendor_type = models.CharField(max_length=64)
    vendor_id = models.BigIntegerField(default=0)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.CUSTOM)
    cron = models.CharField(max_length=255)
    """Harbor's six fields, the seconds first."""
    params = models.JSONField(default=dict)
    fired = models.DateTimeField(db_default=Now())
    """When it last submitted, or was set: the next time is the first one after this."""
    created = models.DateTimeField(db_default=Now())
    updated = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["vendor_type", "vendor_id"], name="one_schedule_for_each_vendor"),
        ]

    def __str__(self) -> str:
        return f"{self.vendor_type} at {self.cron}"
