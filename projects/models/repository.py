"""Repositories: a project's images of one name."""

from __future__ import annotations

from typing import ClassVar

from django.apps import apps
from django.db import models
from django.utils import timezone

from projects.models.project import Project


class RepositoryQuerySet(models.QuerySet["Repository"]):
    def live(self) -> RepositoryQuerySet:
        """Repositories that are not deleted, of projects that are not."""
        return self.filter(deleted__isnull=True, project__deleted__isnull=True)

    def with_artifact_count(self) -> RepositoryQuerySet:
        """Each with `artifact_count`: how many artifacts its list shows (None for none)."""
        # Artifacts point here, so they cannot be imported here.
        listed = apps.get_model("projects", "Artifact").objects.listed().filter(repository=models.OuterRef("pk"))
        numbers = listed.order_by().values("repository").annotate(number=models.Count("pk")).values("number")
        return self.annotate(artifact_count=models.Subquery(numbers))


class Repository(models.Model):
    """A repository. Pushed again after its deletion it takes over its old row and links (invariant I14)."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="repositories", db_index=False)
    name = models.CharField(max_length=255, db_collation="C")
    """The full name, `project/rest`, as clients write it."""
    description = models.TextField(blank=True)
    pull_count = models.BigIntegerField(default=0)
    created = models.DateTimeField(default=timezone.now, db_index=True)
    updated = models.DateTimeField(default=timezone.now)
    deleted = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Repository]] = RepositoryQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="repository_once_per_project"),
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(deleted__isnull=True), name="repository_name_live"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def name_in_project(self) -> str:
        """The name without its project."""
        return self.name.partition("/")[2]
