"""When the small upkeep ran."""

from __future__ import annotations

from django.db import models


class UpkeepRun(models.Model):
    """When an upkeep last began that ended well."""

    name = models.CharField(max_length=255, primary_key=True)
    began = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} {self.began}"
