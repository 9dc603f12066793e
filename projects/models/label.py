"""Labels: words with a colour that people put on artifacts, everywhere or in one project."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from projects.models.artifact import Artifact
from projects.models.project import Project


class LabelQuerySet(models.QuerySet["Label"]):
    def live(self) -> LabelQuerySet:
        """Global labels, and those of projects that are not deleted."""
        return self.filter(project__deleted__isnull=True)

    def usable_in(self, project: Project) -> LabelQuerySet:
        """What may be put on a project's artifacts: its own labels and the global ones."""
        return self.filter(models.Q(project=project) | models.Q(project__isnull=True))


class Label(models.Model):
    """A label of a project or, without one, a global label."""

    class Scope(models.TextChoices):
        """Harbor's word for where a label may be put."""

        GLOBAL = "g"
        PROJECT = "p"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="labels")
    name = models.CharField(max_length=128)
    description = models.TextField(blank=True)
    color = models.CharField(max_length=16, blank=True)
    created = models.DateTimeField(default=timezone.now)
    updated = models.DateTimeField(auto_now=True)
    artifacts = models.ManyToManyField(Artifact, through="ArtifactLabel", related_name="labels")

    objects: ClassVar[models.Manager[Label]] = LabelQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="label_once_per_project"),
            # To the constraint above no two global labels are equal: they have no project.
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(project__isnull=True), name="label_once_globally"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def scope(self) -> Label.Scope:
        return Label.Scope.GLOBAL if self.project_id is None else Label.Scope.PROJECT


class ArtifactLabel(models.Model):
    """Says that an artifact bears a label."""

    label = models.ForeignKey(Label, on_delete=models.CASCADE, related_name="uses")
    # The constraint's index begins with it.
    artifact = models.ForeignKey(Artifact, on_delete=models.CASCADE, related_name="label_uses", db_index=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["artifact", "label"], name="label_once_per_artifact")]

    def __str__(self) -> str:
        return f"{self.label} on {self.artifact}"
