"""Immutable tag rules: which tags of which repositories of a project must stay as they are."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import MD5, Cast
from django.utils import timezone

from projects.models.project import Project


class ImmutableRule(models.Model):
    """One rule of a project; a tag is immutable when any enabled rule names it.

    The selectors are Harbor's, checked by `projects.immutable_rules`: `tag_selectors` a list of
    `{"kind": "doublestar", "decoration": "matches"|"excludes", "pattern": glob}`, `scope_selectors` a list of the same
    with `repoMatches` and `repoExcludes` under the key `repository`, for names without their project.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="immutable_rules")
    priority = models.IntegerField(default=0)
    """Kept for clients that sort by it: rules do not come one after another."""
    disabled = models.BooleanField(default=False)
    tag_selectors = models.JSONField()
    scope_selectors = models.JSONField()
    created = models.DateTimeField(default=timezone.now)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            # Hashed: the selectors themselves may be longer than a row of an index.
            models.UniqueConstraint(
                "project",
                MD5(Cast("tag_selectors", models.TextField())),
                MD5(Cast("scope_selectors", models.TextField())),
                name="immutable_rule_once_per_project",
            )
        ]

    def __str__(self) -> str:
        return f"immutable tag rule {self.pk}"
