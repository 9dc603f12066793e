"""Export of tags: the store's own tags made equal to Postgres, so that a registry without us serves the same.

A bare registry reads tags from folders, which Wharf does not keep (invariant I1). Repositories and manifests that
Wharf never took over are none of its business: their tags stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from core.store import files
from core.store.files import TagFolder
from projects.demo import seeding
from projects.models import Artifact, Tag
from registry.adoption import alone, repositories_there


@dataclass
class Change:
    """What makes one repository's tags in the store equal to Postgres."""

    repository: str
    write: dict[str, str] = field(default_factory=dict)
    """Tags to make or move, with their digests."""
    remove: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    """Tags that Wharf never knew: left alone."""
    equal: int = 0


def export(*, dry_run: bool = False) -> Iterator[Change]:
    """Make the store's tags those of Postgres, one repository after the other; `dry_run` only says what it would do.

    May die at any moment and run again. StoreUnavailable, NotFound and Conflict as of `adopt`; Precondition when there
    are images that never had any content.
    """
    seeding.check_content()
    with alone():
        ours = Tag.objects.live().filter(repository__deleted__isnull=True, repository__project__deleted__isnull=True)
        names = {*repositories_there(), *ours.values_list("repository__name", flat=True).distinct()}
        for name in sorted(names):
            change = _difference(name)
            if not dry_run:
                _carry_out(change)
            yield change


def difference(
    name: str,
    *,
    wanted: Mapping[str, str],
    there: Iterable[TagFolder],
    artifacts: Collection[str],
    former_tags: Collection[str],
) -> Change:
    """What is to be changed, given Postgres's tags, the store's, and what Postgres has or had."""
    change = Change(name, write=dict(wanted))
    for tag in there:
        if tag.name in wanted:
            if wanted[tag.name] == tag.digest:
                del change.write[tag.name]
                change.equal += 1
        elif tag.digest in artifacts or tag.name in former_tags:
            change.remove.append(tag.name)
        else:
            change.foreign.append(tag.name)
    return change


def _difference(name: str) -> Change:
    here = {"repository__name": name, "repository__project__deleted__isnull": True}
    tags = Tag.objects.filter(**here)
    return difference(
        name,
        wanted=dict(tags.live().values_list("name", "artifact__manifest_id")),
        there=files.tag_folders(name),
        artifacts=set(Artifact.objects.filter(**here).values_list("manifest_id", flat=True)),
        former_tags=set(tags.filter(deleted__isnull=False).values_list("name", flat=True)),
    )


def _carry_out(change: Change) -> None:
    for tag, digest in change.write.items():
        files.write_tag(change.repository, tag, digest)
    files.remove_tags(change.repository, change.remove)
