"""Blobs and who may read them: a mirror of the registry's own data and links (invariant I14)."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from projects.models.repository import Repository


class Blob(models.Model):
    """Data in the store: a layer, a configuration or a manifest."""

    class State(models.TextChoices):
        ANNOUNCED = "announced"
        PRESENT = "present"
        DELETING = "deleting"

    digest = models.CharField(max_length=71, db_collation="C")
    size = models.BigIntegerField(null=True)
    """In bytes, as the store has it; None until the store told."""
    state = models.CharField(max_length=16, choices=State, default=State.ANNOUNCED)
    created = models.DateTimeField(default=timezone.now)
    claimed = models.DateTimeField(null=True)
    """When somebody began to remove it."""

    class Meta:
        # `unique=True` would bring a second index, for LIKE.
        constraints = [models.UniqueConstraint(fields=["digest"], name="blob_once")]

    def __str__(self) -> str:
        return self.digest


class RepositoryBlob(models.Model):
    """The registry's link that lets a repository read a blob.

    *announced*: an upload, mount or PUT is under way, which proves nothing; *present*: the registry told
    us; *deleting*: claimed for removal.
    """

    class Kind(models.TextChoices):
        LAYER = "layer"
        MANIFEST = "manifest"

    class State(models.TextChoices):
        ANNOUNCED = "announced"
        PRESENT = "present"
        DELETING = "deleting"

    repository = models.ForeignKey(Repository, on_delete=models.PROTECT, related_name="links", db_index=False)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="links")
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.LAYER)
    state = models.CharField(max_length=16, choices=State, default=State.ANNOUNCED)
    touched = models.DateTimeField(default=timezone.now, db_index=True)
    """When a client last counted on it; garbage collection leaves young links alone."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["repository", "blob", "kind"], name="repository_blob_once")]

    def __str__(self) -> str:
        return f"{self.repository_id}:{self.blob_id}"
