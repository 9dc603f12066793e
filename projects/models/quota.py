"""How much a project may store."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from projects.models.project import Project


class QuotaQuerySet(models.QuerySet["Quota"]):
    def live(self) -> QuotaQuerySet:
        """Quotas of projects that are not deleted."""
        return self.filter(project__deleted__isnull=True)


class Quota(models.Model):
    """A project's limit and use in bytes. `used` is what the usage query says (invariant I13), kept for lists."""

    UNLIMITED = -1

    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="quota")
    hard = models.BigIntegerField(default=UNLIMITED)
    used = models.BigIntegerField(default=0)
    updated = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager[Quota]] = QuotaQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.used} of {self.hard}"
