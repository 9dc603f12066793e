"""Adoption: what a registry without us kept in its store becomes Postgres's, tags included.

Repository by repository: what Postgres does not know is read, judged as a push would be, and recorded in batches,
each one transaction. The registry's own tags are removed after the commit that made them ours (invariant I1). So it
may die at any moment: the next run goes on with what is left. What cannot be taken over stays as it lies and is
reported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from graphlib import TopologicalSorter
from itertools import islice
from typing import TypeVar

from django.conf import settings
from django.db import DataError
from django.db.models import Q

from core import clock, errors, locks, oci
from core.oci import RepositoryName
from core.store import files
from core.store.files import FoundLink, Link, TagFolder
from projects import artifact_configs, links, manifest_rows, projects, repositories, stored_manifests
from projects.models import Artifact, Project, Reference, Repository, RepositoryBlob, Tag
from projects.stored_manifests import Stored
from rbac.models import User
from registry.verify import Finding

# Manifests in one transaction.
BATCH = 200
T = TypeVar("T")
# What the registry takes at most, and what is held in memory of a batch.
_MANIFEST_MOST_BYTES = 4 * 1024 * 1024
_BATCH_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Progress:
    """How far it is: the repository at hand, and what was taken over of it until now."""

    repository: str
    number: int
    total: int
    manifests: int
    tags: int
    is_done: bool = False


@dataclass(frozen=True)
class Known:
    """What Postgres has of a repository already."""

    live: Mapping[str, int] = field(default_factory=dict)
    """Digests of the artifacts, with the sizes of their manifests in bytes."""
    deleted: Collection[str] = ()
    """Digests of artifacts that were deleted here."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags and the digests that they point to."""
    former_tags: Collection[str] = ()
    """Names of tags that were deleted here."""
    under_way: Collection[str] = ()
    """Digests of manifests that are being pushed."""
    leftovers: Collection[str] = ()
    """Digests whose links a push made that died, or that are being removed: never acknowledged, or deleted."""


@dataclass
class Plan:
    """What is to be done about one repository."""

    wanted: dict[str, dict[str, datetime]] = field(default_factory=dict)
    """Digests of manifests to take over, with the tags to make for each."""
    settled: list[str] = field(default_factory=list)
    """Tags that Postgres has already: their folders can go."""
    findings: list[Finding] = field(default_factory=list)


def adopt(*, owner: User, dry_run: bool = False, store_wins: bool = False) -> Iterator[Finding | Progress]:
    """Take a store over, and say how it goes and what could not be taken.

    `owner` gets the projects that are made. `dry_run` changes nothing. `store_wins` lets tags of the store count
    where Wharf has, or had, others of the same name. StoreUnavailable when the store does not answer, NotFound when
    it has no repository, Conflict while another adoption or export runs.
    """
    with alone():
        names = repositories_there()
        store = _Store(dict(files.digests()), owner, dry_run, store_wins)
        for number, name in enumerate(names, start=1):
            visit = _Visit(store, name, number, len(names))
            yield from visit.findings_and_progress()


def repositories_there() -> list[str]:
    """The store's repositories; NotFound when there is none, which looks like a store in another place."""
    files.check()
    names = sorted(files.repositories())
    if not names:
        place = f"{settings.STORE_URL.rstrip('/')}/docker/registry/v2/repositories"
        raise errors.NotFound(f"there is no repository in {place}; put the old registry's folder `docker` there")
    return names


@contextmanager
def alone() -> Iterator[None]:
    """One at a time moves tags between store and Postgres; Conflict for whoever comes second."""
    with locks.sole("tags of the store") as is_mine, locks.sole(links.COLLECTION) as is_free:
        if not is_mine:
            raise errors.Conflict("another adopt or export-tags is running; wait until it has ended")
        # What is taken over has no pending rows that would protect it.
        if not is_free:
            raise errors.Conflict("garbage collection is at work; wait until it has ended, or stop it")
        yield


# --- deciding ------------------------------------------------------------------------------------------------------
def plan(
    name: str, *, manifests: Collection[str], tags: Iterable[TagFolder], known: Known, store_wins: bool = False
) -> Plan:
    """What to take over of a repository that has these manifests and tags in the store."""
    result = Plan()
    unfinished = {*known.under_way, *known.leftovers}
    for digest in manifests:
        if digest not in known.live and digest not in known.deleted and digest not in unfinished:
            result.wanted[digest] = {}
    for tag in tags:
        has = known.tags.get(tag.name)
        # A damaged link to a tag that we have is what a dying removal leaves.
        if has is not None and (has == tag.digest or not oci.is_digest(tag.digest)):
            result.settled.append(tag.name)
        elif problem := _problem(tag, manifests, known, store_wins):
            kind, words = problem
            result.findings.append(Finding(kind, f"{name}:{tag.name} {words}"))
        else:
            result.wanted.setdefault(tag.digest, {})[tag.name] = tag.written
    return result


def _problem(tag: TagFolder, manifests: Collection[str], known: Known, store_wins: bool) -> tuple[str, str] | None:
    """Why a tag cannot be taken over: the kind and the words of the finding."""
    if not oci.is_tag(tag.name):
        return "tag-invalid", "is no tag that a client could ask for; remove its folder"
    if not oci.is_digest(tag.digest):
        return "tag-damaged", "has a link that names no digest; tag the image again by its digest"
    if tag.digest not in manifests:
        return "tag-dangling", f"points to {tag.digest}, which the repository does not have; push it again"
    if tag.digest in known.under_way:
        return "tag-under-way", "points to a manifest that is being pushed; adopt again later"
    if store_wins:
        return None
    if has := known.tags.get(tag.name):
        return "tag-differs", f"points to {tag.digest} in the store and to {has} in Wharf, which counts{_CHOICE}"
    if tag.name in known.former_tags or tag.digest in known.deleted:
        return "tag-differs", f"points to {tag.digest} in the store, but was deleted in Wharf, which counts{_CHOICE}"
    return None


_CHOICE = " (--store-wins takes the store's, export-tags makes the store follow)"


# --- one repository --------------------------------------------------------------------------------------------------
@dataclass
class _Store:
    """What all repositories share: the sizes of all data, in bytes, and how to go about it."""

    sizes: dict[str, int]
    owner: User
    dry_run: bool
    store_wins: bool
    busy: dict[str, str] = field(default_factory=dict)
    """Projects that cannot be made, with the reason."""


@dataclass
class _Visit:
    """One repository on its way."""

    store: _Store
    name: str
    number: int
    total: int
    repository: Repository | None = None
    layers: dict[str, FoundLink] = field(default_factory=dict)
    revisions: dict[str, FoundLink] = field(default_factory=dict)
    live: dict[str, int] = field(default_factory=dict)
    kept_back: set[str] = field(default_factory=set)
    """Blobs of images that could not be taken over: garbage collection must not hear of them."""
    manifests: int = 0
    """How many were taken over."""
    tags: int = 0
    """How many are Postgres's alone now."""

    def findings_and_progress(self) -> Iterator[Finding | Progress]:
        """Do it all."""
        try:
            RepositoryName.parse(self.name)
        except errors.NameInvalid as error:
            yield Finding("name-invalid", f"{error.message}. {_how_to_rename(self.name)}")
            return
        self.revisions = {link.digest: link for link in files.found_links(self.name, "manifest")}
        known = _known(self.name)
        todo = plan(
            self.name,
            manifests=self.revisions,
            tags=files.tag_folders(self.name),
            known=known,
            store_wins=self.store.store_wins,
        )
        yield from todo.findings
        for tags in _batches(todo.settled):
            self._remove(tags)
            self.tags += len(tags)
            yield self._progress()
        self.live = dict(known.live)
        self.layers = {link.digest: link for link in files.found_links(self.name, "layer")}
        self.repository = Repository.objects.live().filter(name=self.name).select_related("project").first()
        yield from self._take_over(todo.wanted)
        self._record_unneeded_layers()
        yield self._progress(is_done=True)

    def _take_over(self, wanted: dict[str, dict[str, datetime]]) -> Iterator[Finding | Progress]:
        """Images first, then the indexes over them, then the indexes over those."""
        indexes: dict[str, oci.Manifest] = {}
        for digests in _light_batches(wanted, self.store.sizes):
            found = list(self._read(digests, wanted))
            yield from (each for each in found if isinstance(each, Finding))
            manifests = [each for each in found if isinstance(each, oci.Manifest)]
            indexes.update({manifest.digest: manifest for manifest in manifests if manifest.children})
            yield from self._adopt([manifest for manifest in manifests if not manifest.children], wanted)
        order = TopologicalSorter(
            {digest: {child.digest for child in index.children} & indexes.keys() for digest, index in indexes.items()}
        )
        order.prepare()
        while level := order.get_ready():
            for digests in _batches(level):
                yield from self._adopt([indexes[digest] for digest in digests], wanted)
            order.done(*level)

    def _read(
        self, digests: Iterable[str], wanted: Mapping[str, Mapping[str, datetime]]
    ) -> Iterator[oci.Manifest | Finding]:
        sizes = self.store.sizes
        contents = files.contents(digest for digest in digests if sizes.get(digest, 0) <= _MANIFEST_MOST_BYTES)
        for digest in digests:
            who = self._named(digest, wanted[digest])
            content = contents.get(digest)
            if digest not in sizes:
                yield Finding("manifest-missing", f"{who} has no data in the store; push it again")
            elif content is None or oci.digest_of(content) != digest:
                yield Finding("manifest-damaged", f"{who} is not what it was when it was pushed; push it again")
            else:
                try:
                    yield oci.parse_stored_manifest(content)
                except errors.ManifestInvalid as error:
                    yield Finding("manifest-refused", f"{who}: {error.message}")

    def _adopt(
        self, manifests: Sequence[oci.Manifest], wanted: Mapping[str, Mapping[str, datetime]]
    ) -> Iterator[Finding | Progress]:
        """Take over manifests whose children, if they have any, were taken over before."""
        whole = []
        for manifest in manifests:
            try:
                manifest_rows.check(manifest, blobs=self.store.sizes, children=self.live)
            except errors.Refusal as error:
                self.kept_back |= {blob.digest for blob in manifest.blobs}
                yield Finding(
                    "manifest-refused", f"{self._named(manifest.digest, wanted[manifest.digest])}{_why(error)}"
                )
            else:
                whole.append(manifest)
        if not whole:
            return
        if reason := self._why_no_place():
            self.kept_back |= {blob.digest for manifest in whole for blob in manifest.blobs}
            yield Finding("no-project", f"{self.name}: {len(whole)} manifests have no place: {reason}")
            return
        yield from self._mend_links(whole)
        if self.store.dry_run:
            self._count(whole, sum(len(wanted[manifest.digest]) for manifest in whole))
        else:
            yield from self._record(self._stored(whole, wanted))
        yield self._progress()

    def _mend_links(self, manifests: Sequence[oci.Manifest]) -> Iterator[Finding]:
        """A link that is gone or damaged says nothing that its manifest does not say."""
        for manifest in manifests:
            needed = [(Link(self.name, "manifest", manifest.digest), self.revisions)]
            needed += [(Link(self.name, "layer", blob.digest), self.layers) for blob in manifest.blobs]
            for link, there in needed:
                if link.digest in there and there[link.digest].is_sound:
                    continue
                if not self.store.dry_run:
                    files.write_link(link)
                written = there[link.digest].written if link.digest in there else clock.now()
                there[link.digest] = FoundLink(link.digest, True, written)
                words = f"{link.kind} {self.name}@{link.digest} was damaged or missing"
                yield Finding("link-damaged", words, repaired=True)

    def _stored(self, manifests: Sequence[oci.Manifest], wanted: Mapping[str, Mapping[str, datetime]]) -> list[Stored]:
        told = artifact_configs.read(manifests)
        return [
            Stored(
                manifest=manifest,
                pushed=self.revisions[manifest.digest].written,
                told=told[manifest.digest],
                tags=wanted[manifest.digest],
            )
            for manifest in manifests
        ]

    def _record(self, found: Sequence[Stored]) -> Iterator[Finding]:
        """One transaction; when something in it cannot be recorded, one for each, so that only that one is left."""
        assert self.repository is not None
        try:
            settled = stored_manifests.record(repository=self.repository, found=found, move_tags=self.store.store_wins)
        except (errors.Refusal, DataError) as error:
            if len(found) > 1:
                for each in found:
                    yield from self._record([each])
                return
            self.kept_back |= {blob.digest for blob in found[0].manifest.blobs}
            words = _why(error) if isinstance(error, errors.Refusal) else f": {str(error).strip()}, says the database"
            yield Finding("manifest-refused", self._named(found[0].manifest.digest, found[0].tags) + words)
            return
        self._count([each.manifest for each in found], len(settled))
        self._remove(settled)
        for tag in sorted({tag for each in found for tag in each.tags} - settled):
            yield Finding("tag-differs", f"{self.name}:{tag} was moved by a push meanwhile; adopt again")

    def _record_unneeded_layers(self) -> None:
        """Links that no manifest needs get their rows too, so that garbage collection sees them."""
        if self.repository is None or self.store.dry_run:
            return
        known = set(self.repository.links.filter(kind="layer").values_list("blob__digest", flat=True))
        sizes = self.store.sizes
        sound = {digest for digest, link in self.layers.items() if link.is_sound and digest in sizes}
        for digests in _batches(sorted(sound - known - self.kept_back)):
            links.record_all_present(repository=self.repository, sizes={digest: sizes[digest] for digest in digests})

    def _why_no_place(self) -> str:
        """Make sure of project and repository; why there can be none, '' when there are both."""
        if self.repository is not None or self.store.dry_run:
            return ""
        name = RepositoryName.parse(self.name)
        project = Project.objects.live().filter(name=name.project).first()
        if project is None and name.project not in self.store.busy:
            try:
                project = projects.create_for(name=name.project, owner=self.store.owner)
            except errors.Conflict as error:
                self.store.busy[name.project] = error.message
        if project is None:
            return self.store.busy[name.project]
        self.repository = repositories.ensure(project=project, name=name)
        return ""

    def _remove(self, tags: Collection[str]) -> None:
        if not self.store.dry_run:
            files.remove_tags(self.name, tags)

    def _count(self, manifests: Sequence[oci.Manifest], tags: int) -> None:
        new = {manifest.digest: manifest.size for manifest in manifests if manifest.digest not in self.live}
        self.live.update(new)
        self.manifests += len(new)
        self.tags += tags

    def _named(self, digest: str, tags: Iterable[str]) -> str:
        """A manifest as people know it."""
        names = sorted(tags)
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return f"{self.name}@{digest}" + (f" (tags {shown})" if names else "")

    def _progress(self, *, is_done: bool = False) -> Progress:
        return Progress(self.name, self.number, self.total, self.manifests, self.tags, is_done)


# --- small questions -------------------------------------------------------------------------------------------------
def _known(name: str) -> Known:
    """What Postgres has of the repository of this name."""
    here = {"repository__name": name, "repository__project__deleted__isnull": True}
    artifacts = Artifact.objects.filter(**here)
    tags = Tag.objects.filter(**here)
    live_tags = dict(tags.live().values_list("name", "artifact__manifest_id"))
    under_way = Reference.objects.pending().filter(
        repository__name=name, kind=Reference.Kind.SELF, expires__gt=clock.now()
    )
    # Of a deleted project all links are being removed.
    unfinished = RepositoryBlob.objects.filter(repository__name=name, kind=RepositoryBlob.Kind.MANIFEST).filter(
        ~Q(state=RepositoryBlob.State.PRESENT) | Q(repository__project__deleted__isnull=False)
    )
    return Known(
        live=dict(artifacts.filter(deleted__isnull=True).values_list("manifest_id", "manifest__size")),
        deleted=set(artifacts.filter(deleted__isnull=False).values_list("manifest_id", flat=True)),
        tags=live_tags,
        former_tags=set(tags.filter(deleted__isnull=False).values_list("name", flat=True)) - live_tags.keys(),
        under_way=set(under_way.values_list("digest", flat=True)),
        leftovers=set(unfinished.values_list("blob__digest", flat=True)),
    )


def _why(error: errors.Refusal) -> str:
    """What is wrong with a manifest, to be read after its name."""
    if isinstance(error, errors.ManifestBlobUnknown):
        needed = error.detail if isinstance(error.detail, list) else [error.detail]
        missing = ", ".join(str(each["digest"]) for each in needed[:3])
        return f" needs {missing}, which the store does not have whole; push it again"
    return f": {error.message}"


def _how_to_rename(name: str) -> str:
    """What to do about a repository whose name is none here; projects may be called as one likes."""
    better = "library/" + name.replace("/", "-")
    return (
        "Give it a name in a project, for example, in the store's folder docker/registry/v2/repositories: "
        f"mkdir -p {better} && mv {name}/_* {better}/ - and adopt again"
    )


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _light_batches(digests: Iterable[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Batches that are small in memory too."""
    batch: list[str] = []
    weight = 0
    for digest in digests:
        size = sizes.get(digest, 0)
        if batch and weight + size > _BATCH_MOST_BYTES:
            yield batch
            batch, weight = [], 0
        batch.append(digest)
        weight += size
        if len(batch) == BATCH:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch
