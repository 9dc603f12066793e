"""What the platform itself remembers: the outbox of events, its configuration, and CVEs that it need not mind."""

from __future__ import annotations

from django.db import models


class Outbox(models.Model):
    """An event on its way to who listens; written in the transaction that made it true, and gone when all have it."""

    topic = models.CharField(max_length=64)
    payload = models.JSONField()
    occurred = models.DateTimeField(auto_now_add=True)
    attempts = models.PositiveIntegerField(default=0)
    """How often somebody could not hear it."""
    error = models.TextField(db_default="")
    """What was wrong the last time."""

    def __str__(self) -> str:
        return f"{self.topic} #{self.pk}"


class Setting(models.Model):
    """One value that an operator changed while the platform ran."""

    key = models.CharField(max_length=128, primary_key=True)
    value = models.JSONField()
    updated = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.key


class Allowlist(models.Model):
    """CVEs that no vulnerability policy minds."""

    cve_ids = models.JSONField(default=list)
    expires = models.DateTimeField(null=True)
    """None: never."""
    created = models.DateTimeField(null=True)
    updated = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{len(self.cve_ids)} CVEs"


class CveAllowlist(Allowlist):
    """The system's. One row."""
