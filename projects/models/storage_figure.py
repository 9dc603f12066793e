"""How much was stored on a day."""

from __future__ import annotations

from django.db import models

from projects.models.project import Project


class StorageFigure(models.Model):
    """One project's bytes on one day; without a project, the whole platform's."""

    day = models.DateField()
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="storage_figures")
    logical = models.BigIntegerField()
    """Bytes of all artifacts as if none shared anything."""
    stored = models.BigIntegerField()
    """Bytes of what they share counted once."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "day"], name="storage_figure_once_a_day"),
            models.UniqueConstraint(
                fields=["day"], condition=models.Q(project=None), name="storage_figure_of_platform_once_a_day"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.stored} of {self.logical}"
