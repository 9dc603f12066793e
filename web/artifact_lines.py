"""What lists and pages show of artifacts, gathered in a fixed number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Prefetch, prefetch_related_objects

from projects.models import Accessory, Artifact, Reference, Repository, Tag
from projects.reach import Reach
from web import commands

TAGS_IN_A_LIST = 8


@dataclass(frozen=True)
class Part:
    """One artifact of an index."""

    reference: Reference
    size: int
    command: str


@dataclass(frozen=True)
class Line:
    """An artifact with its newest tags, its parts, and what hangs on it."""

    artifact: Artifact
    tags: list[Tag]
    has_more_tags: bool
    parts: list[Part]
    accessories: list[Accessory]
    command: str

    @property
    def size(self) -> int:
        """Bytes of everything: an index weighs what its parts weigh."""
        return self.artifact.size + sum(part.size for part in self.parts)


def lines_of(repository: Repository, rows: Sequence[Artifact], within: Reach) -> list[Line]:
    """A line for each of a repository's artifacts, with those of its tags that the visitor may see."""
    newest = within.tags(Tag.objects.live(), repository).order_by("-pushed", "name")[: TAGS_IN_A_LIST + 1]
    children = Reference.objects.filter(kind=Reference.Kind.CHILD).order_by("position")
    prefetch_related_objects(
        rows, Prefetch("tags", newest, to_attr="newest_tags"), Prefetch("references", children, to_attr="children")
    )
    parts = _parts(repository, [child for row in rows for child in vars(row)["children"]])
    accessories = _accessories(repository, rows)
    return [_line(repository, row, parts[row.pk], accessories[row.digest]) for row in rows]


def _line(repository: Repository, row: Artifact, parts: list[Part], accessories: list[Accessory]) -> Line:
    tags: list[Tag] = vars(row)["newest_tags"]
    return Line(
        artifact=row,
        tags=tags[:TAGS_IN_A_LIST],
        has_more_tags=len(tags) > TAGS_IN_A_LIST,
        parts=parts,
        accessories=accessories,
        command=commands.pull(
            kind=row.kind, repository=repository.name, tag=tags[0].name if tags else "", digest=row.digest
        ),
    )


def _parts(repository: Repository, children: list[Reference]) -> dict[int | None, list[Part]]:
    """By the index's id. A part weighs what its artifact does; its descriptor only tells its manifest's size."""
    artifacts = Artifact.objects.live().filter(repository=repository, manifest__in={child.digest for child in children})
    found = {digest: (size, kind) for digest, size, kind in artifacts.values_list("manifest_id", "size", "kind")}
    parts = defaultdict(list)
    for child in children:
        size, kind = found.get(child.digest, (child.size, ""))
        command = commands.pull(kind=kind, repository=repository.name, digest=child.digest)
        parts[child.artifact_id].append(Part(reference=child, size=size, command=command))
    return parts


def _accessories(repository: Repository, rows: Sequence[Artifact]) -> dict[str, list[Accessory]]:
    """By the digest of the artifact that they hang on."""
    found = Accessory.objects.filter(
        repository=repository, subject_digest__in=[row.digest for row in rows], artifact__deleted__isnull=True
    )
    by_subject = defaultdict(list)
    for accessory in found.select_related("artifact").order_by("kind", "pk"):
        by_subject[accessory.subject_digest].append(accessory)
    return by_subject
