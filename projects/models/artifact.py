"""Artifacts: manifests as members of a repository; and accessories, which belong to another artifact."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.apps import apps
from django.db import models
from django.utils import timezone

from projects.models.manifest import Manifest
from projects.models.project import Project
from projects.models.repository import Repository


class LookedUp(models.Exists):
    """EXISTS that is answered row by row, by an index.

    PostgreSQL may read all that is asked about first, to look each row up in it then. That is right for all rows of a
    project and wrong for the hundred of a page, which it does not foresee. An offset keeps it from that.
    """

    template = "EXISTS(%(subquery)s OFFSET 0)"


class ArtifactQuerySet(models.QuerySet["Artifact"]):
    def live(self) -> ArtifactQuerySet:
        """Artifacts that are not deleted."""
        return self.filter(deleted__isnull=True)

    def listed(
        self, tags: models.QuerySet[Any] | None = None, repository: Repository | None = None
    ) -> ArtifactQuerySet:
        """What a list shows: no accessories, and parts of an index only when they have one of these (live) tags.

        Naming the repository that they shall all be of makes it quick.
        """
        # Both point here, so they cannot be imported here.
        reference, tag = apps.get_model("projects", "Reference"), apps.get_model("projects", "Tag")
        # Named, for PostgreSQL may read all that is asked about first, to look each row up in it then.
        here = models.OuterRef("repository_id") if repository is None else repository
        parts = reference.objects.live().filter(kind=reference.Kind.CHILD, repository=here)
        part_of_an_index = models.Exists(parts.filter(digest=models.OuterRef("manifest_id")))
        tags = tag.objects.live() if tags is None else tags
        tagged = models.Exists(tags.filter(artifact=models.OuterRef("pk")))
        # Not by the reverse accessor: a join that must find nothing is taken for one that leaves next to no rows.
        accessory = models.Exists(Accessory.objects.filter(artifact=models.OuterRef("pk")))
        rows = self.live() if repository is None else self.live().filter(repository=repository)
        # In this order: few are parts, so few are asked for their tags.
        return rows.filter(~accessory).filter(~part_of_an_index | tagged)

    def listed_in_project(self, project: Project, tags: models.QuerySet[Any]) -> ArtifactQuerySet:
        """The same of a whole project, quick for its pages and to be counted."""
        reference = apps.get_model("projects", "Reference")
        parts = reference.objects.live().filter(
            kind=reference.Kind.CHILD,
            repository=models.OuterRef("repository_id"),
            digest=models.OuterRef("manifest_id"),
        )
        tagged = tags.filter(artifact=models.OuterRef("pk"))
        accessories = Accessory.objects.filter(repository__project=project).values("artifact")
        rows = self.live().filter(repository__project=project).exclude(pk__in=accessories)
        return rows.filter(~LookedUp(parts) | LookedUp(tagged))

    def unneeded(self, since: datetime) -> ArtifactQuerySet:
        """Live ones that no tag, index, subject or accessory has needed since then, nor anybody pushed or asked for.

        An index on its way, and one that was deleted and is not yet forgotten, needs its parts; a signature on its way
        needs its image. Who asked counts when he might push: he may be about to push an index.
        """
        reference, tag = apps.get_model("projects", "Reference"), apps.get_model("projects", "Tag")
        link = apps.get_model("projects", "RepositoryBlob")
        here = {"repository": models.OuterRef("repository_id")}
        tags = tag.objects.filter(artifact=models.OuterRef("pk"))
        still = models.Q(deleted__isnull=True) | models.Q(deleted__gte=since)
        wholes = reference.objects.filter(**here, kind=reference.Kind.CHILD, digest=models.OuterRef("manifest_id"))
        hanging = Accessory.objects.filter(**here, subject_digest=models.OuterRef("manifest_id"))
        coming = reference.objects.pending().filter(
            **here, kind=reference.Kind.SUBJECT, digest=models.OuterRef("manifest_id")
        )
        own = link.objects.filter(**here, kind=link.Kind.MANIFEST, blob__digest=models.OuterRef("manifest_id"))
        return self.live().filter(
            ~models.Exists(tags.filter(still)),
            ~models.Exists(wholes),
            ~models.Exists(Accessory.objects.filter(artifact=models.OuterRef("pk"))),
            ~models.Exists(hanging.filter(artifact__deleted__isnull=True)),
            ~models.Exists(coming),
            ~models.Exists(own.filter(touched__gte=since)),
            pushed__lt=since,
            repository__deleted__isnull=True,
            repository__project__deleted__isnull=True,
        )

    def trashed(self, before: datetime) -> ArtifactQuerySet:
        """Those that were deleted before this time."""
        return self.filter(deleted__lt=before)


class Artifact(models.Model):
    """A manifest in a repository. Deleted and pushed again it takes over its old row."""

    repository = models.ForeignKey(Repository, on_delete=models.PROTECT, related_name="artifacts", db_index=False)
    manifest = models.ForeignKey(
        Manifest, on_delete=models.PROTECT, related_name="artifacts", db_column="digest", db_index=False
    )
    media_type = models.CharField(max_length=255)
    config_media_type = models.CharField(max_length=255, blank=True)
    artifact_type = models.CharField(max_length=255, blank=True)
    """The OCI artifactType, or the configuration's media type in its stead (OCI image spec 1.1)."""
    kind = models.CharField(max_length=64, default="UNKNOWN")
    """Harbor's `type`: IMAGE, CHART, …"""
    size = models.BigIntegerField(default=0)
    """Bytes of everything it refers to and of itself; of an index, without its children."""
    subject_digest = models.CharField(max_length=71, blank=True, db_collation="C")
    layer_chain = models.CharField(max_length=64, blank=True)
    annotations = models.JSONField(default=dict)
    extra_attrs = models.JSONField(default=dict)
    """What the configuration tells (architecture, os, author, created, config)."""
    severity = models.SmallIntegerField(null=True)
    is_signed = models.BooleanField(default=False)
    pushed = models.DateTimeField(default=timezone.now, db_index=True)
    pulled = models.DateTimeField(null=True)
    deleted = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Artifact]] = ArtifactQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["repository", "manifest"], name="artifact_once_per_repository")]
        indexes = [
            models.Index(
                fields=["repository", "subject_digest"],
                name="artifact_by_subject",
                condition=models.Q(deleted__isnull=True) & ~models.Q(subject_digest=""),
            ),
            models.Index(fields=["repository", "-pushed", "-id"], name="artifact_newest_first"),
            # Not by the foreign key itself, which would bring a second one for LIKE.
            models.Index(fields=["manifest"], name="artifact_by_digest"),
        ]

    def __str__(self) -> str:
        return self.manifest_id

    @property
    def digest(self) -> str:
        return self.manifest_id


class Accessory(models.Model):
    """Says that an artifact hangs on another: a signature, an SBOM, anything with a `subject`."""

    artifact = models.OneToOneField(Artifact, on_delete=models.CASCADE, related_name="accessory_of")
    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="accessories", db_index=False)
    subject_digest = models.CharField(max_length=71, db_collation="C")
    """The subject may be pushed after its accessories."""
    kind = models.CharField(max_length=64)
    """Harbor's accessory type: signature.cosign, signature.notation, sbom.harbor, subject.accessory …"""

    class Meta:
        indexes = [models.Index(fields=["repository", "subject_digest"], name="accessory_by_subject")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.subject_digest}"
