"""Tags: names for artifacts. They live here alone; the registry behind us never holds one."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from projects.models.artifact import Artifact
from projects.models.repository import Repository


class TagQuerySet(models.QuerySet["Tag"]):
    def live(self) -> TagQuerySet:
        """Tags that are not deleted."""
        return self.filter(deleted__isnull=True)


class Tag(models.Model):
    """One tag of one repository; sorted by bytes, as the OCI spec lists tags."""

    # Not by itself: PostgreSQL might take that index for a tag's name too, and read all tags of the repository.
    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="tags", db_index=False)
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="tags")
    name = models.CharField(max_length=128, db_collation="C")
    pushed = models.DateTimeField(default=timezone.now, db_index=True)
    pulled = models.DateTimeField(null=True)
    deleted = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Tag]] = TagQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["repository", "name"], condition=models.Q(deleted__isnull=True), name="tag_once_per_repository"
            )
        ]
        indexes = [
            models.Index(fields=["repository", "name"], name="tag_by_repository_and_name"),
            models.Index(fields=["artifact"], name="tag_live_of_artifact", condition=models.Q(deleted__isnull=True)),
        ]

    def __str__(self) -> str:
        return self.name
