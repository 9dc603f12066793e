"""Manifests' bytes, as received, keyed by digest and shared by all repositories."""

from __future__ import annotations

from django.db import models


class Manifest(models.Model):
    """The truth about a manifest's content (invariant I1); never re-serialised."""

    digest = models.CharField(max_length=71, primary_key=True, db_collation="C")
    media_type = models.CharField(max_length=255)
    size = models.IntegerField()
    content = models.BinaryField()

    def __str__(self) -> str:
        return self.digest
