"""Who refers to what: manifests to blobs, indexes to their children, accessories to their subject."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from projects.models.artifact import Artifact
from projects.models.repository import Repository


class ReferenceQuerySet(models.QuerySet["Reference"]):
    def live(self) -> ReferenceQuerySet:
        """References of recorded manifests (deleted ones keep theirs until they are purged)."""
        return self.filter(artifact__isnull=False)

    def pending(self) -> ReferenceQuerySet:
        """References of manifests whose push is under way."""
        return self.filter(artifact__isnull=True)


class Reference(models.Model):
    """One thing that a manifest needs or names.

    Pending (invariant I2): written before the registry gets the manifest, so that nobody removes what it
    refers to meanwhile; such a row belongs to one attempt and has an expiry instead of an artifact.
    """

    class Kind(models.TextChoices):
        SELF = "self"
        CONFIG = "config"
        LAYER = "layer"
        CHILD = "child"
        SUBJECT = "subject"

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="references")
    artifact = models.ForeignKey(
        Artifact, on_delete=models.CASCADE, null=True, related_name="references", db_index=False
    )
    kind = models.CharField(max_length=16, choices=Kind)
    position = models.IntegerField(default=0)
    digest = models.CharField(max_length=71, db_collation="C")
    size = models.BigIntegerField()
    media_type = models.CharField(max_length=255)
    descriptor = models.JSONField(default=dict)
    """What else the descriptor said: platform, annotations, artifactType, urls."""
    attempt = models.UUIDField(null=True)
    expires = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Reference]] = ReferenceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["artifact", "kind", "position"], name="reference_once"),
            models.CheckConstraint(
                name="reference_is_live_or_pending",
                condition=models.Q(artifact__isnull=False, attempt__isnull=True, expires__isnull=True)
                | models.Q(artifact__isnull=True, attempt__isnull=False, expires__isnull=False),
            ),
        ]
        indexes = [
            models.Index(fields=["digest", "repository"], name="reference_by_digest"),
            # Which manifests of a repository are parts of an index: of many other references these are few.
            models.Index(
                fields=["repository", "digest"],
                name="reference_parts_of_repository",
                condition=models.Q(kind="child", artifact__isnull=False),
            ),
            models.Index(fields=["attempt"], name="reference_by_attempt", condition=models.Q(attempt__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.digest}"
