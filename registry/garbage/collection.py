"""One run of garbage collection, phase by phase.

Rows decide (invariant I14): deleted artifacts are forgotten, then links that no manifest needs go, then data that no
link leads to, each claimed under lock and looked at again before it goes. A run that dies leaves claims behind, which
the next one finishes; one that is begun again goes on from its last batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice
from typing import TypeVar

from django.db.models import Model, QuerySet

from core import clock, errors, locks
from core.store import files, uploads
from jobservice.context import Context
from projects import artifacts, blobs, links, quotas
from projects.demo import seeding
from projects.models import Artifact, Blob, Repository, RepositoryBlob
from registry.garbage import candidates, leftovers
from registry.garbage.activity import Activity
from registry.garbage.candidates import Chosen

T = TypeVar("T")
M = TypeVar("M", bound=Model)
# So few that who waits for one of them does not wait long, and that a process that dies leaves little to be finished.
BATCH = 100
LONGEST_REST_SECONDS = 1.0
# Times as long as the batch took. With batches of 100 it is what pushes beside it hardly notice: decision 0119.
_RESTS = 1.5
# What died beside it, such as a request that was deleting a blob, is finished so often.
FINISH_EVERY_SECONDS = 60.0
_MARK_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Wishes:
    """What a run is asked for."""

    delete_untagged: bool = False
    dry_run: bool = False
    workers: int = 1
    """How many threads remove from the store side by side."""
    audit: bool = False
    """Look through the whole store for what no row knows."""
    removals_per_second: int = 0
    """At most so many removals; 0 for no limit."""
    grace: timedelta = field(default_factory=lambda: links.GRACE)


@dataclass
class Totals:
    """What a run has removed so far, or would remove."""

    freed_space: int = 0
    """Bytes of data and of uploads."""
    purged_blobs: int = 0
    purged_manifests: int = 0
    links: int = 0
    untagged: int = 0
    uploads: int = 0
    orphans: int = 0
    """What only the store knew."""
    missing: int = 0
    """What only the rows knew."""
    skipped: int = 0
    """Repositories that were left alone because something was being pushed there."""
    projects: dict[str, dict[str, int]] = field(default_factory=dict)
    """Project → its links that went, and the bytes behind them (which others may still need)."""

    def add_links(self, gone: Iterable[RepositoryBlob]) -> None:
        for link in gone:
            self.links += 1
            mine = self.projects.setdefault(link.repository.project.name, {"links": 0, "bytes": 0})
            mine["links"] += 1
            mine["bytes"] += link.blob.size or 0

    def add_data(self, gone: Sequence[Blob]) -> None:
        manifests = candidates.manifests_among([blob.digest for blob in gone])
        self.purged_manifests += len(manifests)
        self.purged_blobs += len(gone) - len(manifests)
        self.freed_space += sum(blob.size or 0 for blob in gone)


def collect(ctx: Context, wishes: Wishes) -> None:
    """Collect garbage, or say what would go. Unavailable while another collection is at work."""
    seeding.check_content()
    files.check()
    ctx.log.info("workers: %d", wishes.workers)
    with locks.sole(links.COLLECTION) as hold:
        if not hold:
            raise errors.Unavailable("another garbage collection, or an adoption, is at work")
        run = DryRun(ctx, wishes, hold) if wishes.dry_run else Run(ctx, wishes, hold)
        run.say_what_stays()
        run.collect()
        ctx.tell(**asdict(run.totals))


class Run:
    """A collection under way."""

    def __init__(self, ctx: Context, wishes: Wishes, hold: locks.Hold) -> None:
        self.log, self.wishes = ctx.log, wishes
        # Of repositories that an earlier attempt left alone those that still have something are looked at again.
        self.totals = Totals(**{**ctx.state, "skipped": 0})
        self.before: datetime = clock.now() - wishes.grace
        """What somebody counted on since then stays."""
        self.activity = Activity(self.before)
        self._ctx, self._hold = ctx, hold
        self._pace = _Pace(wishes.removals_per_second)
        self._batch = min(BATCH, wishes.removals_per_second or BATCH)
        self._skipped: set[int] = set()
        self._finished = 0.0
        self._phase = ""

    def say_what_stays(self) -> None:
        """Who has just deleted much, and sees that nothing goes, finds the reason here."""
        self.log.info("what somebody counted on within %s stays", self.wishes.grace)
        if deleted := Artifact.objects.filter(deleted__gte=self.before).count():
            self.log.info("deleted artifacts that wait until that is over: %d", deleted)

    def collect(self) -> None:
        phases = list(self._phases())
        for number, phase in enumerate(phases, start=1):
            self._phase = f"phase {number} of {len(phases)}"
            phase()
        self._say_what_went()

    def _phases(self) -> Iterator[Callable[[], None]]:
        """What is done in turn; each says by _begin what it is and how much there is of it."""
        yield self._finish_what_others_began
        if self.wishes.audit:
            yield self._find_orphans
            yield self._find_missing
        yield self._forget_deleted
        if self.wishes.delete_untagged:
            yield self._delete_untagged
        yield self._remove_links
        yield self._wait_for_marks
        yield self._remove_data
        yield self._forget_manifests
        yield self._remove_uploads

    # --- what earlier runs left, and what only the store knows -------------------------------------------------------
    def _finish_what_others_began(self) -> None:
        self._begin("what others had begun to remove, and did not live to end, is finished")
        self._finish_abandoned()

    def _finish_abandoned(self) -> None:
        """What others claimed who died since, and what an earlier run did."""
        self._finished = time.monotonic()
        stale = clock.now() - links.REMOVAL_LEASE
        left = links.abandoned(stale)
        for project in sorted(set(left.values_list("repository__project", flat=True))):
            with locks.sole(links.removals_in(project)) as alone:
                # As many as can be there: of what one dead process had claimed.
                self._take_links_away(links.reclaim(left.filter(repository__project=project), alone) if alone else [])
            self._step()
        for rows in candidates.in_pages(blobs.abandoned(stale), BATCH):
            with links.promptly(self._hold):
                claimed = blobs.reclaim(blobs.abandoned(stale).filter(pk__in=[blob.pk for blob in rows]))
            self._take_data_away(claimed)

    def _wait_for_marks(self) -> None:
        """What an attempt that failed had marked is finished in this one, as soon as that is old enough."""
        self._begin(
            f"what an attempt that failed had begun to remove is finished, once it is {links.REMOVAL_LEASE} old"
        )
        began = clock.now()
        while self._is_too_young(began):
            self._ctx.checkpoint()
            time.sleep(_MARK_PAUSE_SECONDS)
        self._finish_abandoned()

    def _is_too_young(self, before: datetime) -> bool:
        """Whether somebody marked a link or data before this time, but too lately to be taken for dead."""
        stale = clock.now() - links.REMOVAL_LEASE
        return (
            links.abandoned(before).filter(touched__gte=stale).exists()
            or blobs.abandoned(before).filter(claimed__gte=stale).exists()
        )

    def _find_orphans(self) -> None:
        """An audit's first half, from the store to the rows; a dry run only says what it finds."""
        about = Repository.objects.count() + leftovers.SHARDS
        self._begin(f"the store is looked through, in about {about} parts, for what no row knows", about)
        for orphan in self._one_by_one(leftovers.orphans(self.before), about):
            self.log.info("only the store knows: %s", orphan)
            if not self.wishes.dry_run:
                leftovers.take_in(orphan)
            self.totals.orphans += 1

    def _find_missing(self) -> None:
        """The other half, from the rows to the store."""
        about = Repository.objects.count() + leftovers.SHARDS
        self._begin(f"the rows, in about {about} parts, are looked for in the store", about)
        for missing in self._one_by_one(leftovers.missing(), about):
            self.log.warning("the store does not have: %s", missing)
            if not self.wishes.dry_run:
                leftovers.doubt(missing)
            self.totals.missing += 1

    # --- manifests ---------------------------------------------------------------------------------------------------
    def _forget_deleted(self) -> None:
        deleted = Artifact.objects.trashed(self.before)
        total = deleted.count()
        self._begin(f"{total} deleted artifacts are to be forgotten", total)
        for batch in self._in_steps(candidates.ids(deleted), total):
            artifacts.purge(artifacts=batch)

    def _delete_untagged(self) -> None:
        """Until nothing more is found: the parts of an index are needed until it is forgotten."""
        before = -1
        while before < self.totals.untagged:
            before = self.totals.untagged
            # How far it is, _untagged tells.
            for batch in _batches((artifact.pk for artifact in self._untagged() if self._delete(artifact)), BATCH):
                artifacts.purge(artifacts=batch)
                self._step()

    def _untagged(self) -> Iterator[Artifact]:
        """Those that nothing needs at this moment, but where something is being pushed; how far it is is told."""
        unneeded = Artifact.objects.unneeded(self.before).select_related("repository")
        total = unneeded.count()
        self._begin(f"{total} untagged artifacts are needed by nothing", total)
        for number, artifact in enumerate(chain.from_iterable(candidates.in_pages(unneeded)), start=1):
            self._ctx.checkpoint()
            if not self._is_busy(artifact.repository_id, artifact.repository.name):
                yield artifact
            self._ctx.progress(min(number, total), total)

    def _delete(self, artifact: Artifact) -> bool:
        if not artifacts.delete_unneeded(artifact=artifact, since=self.before):
            return False
        self.log.info("untagged artifact deleted: %s@%s", artifact.repository.name, artifact.digest)
        self.totals.untagged += 1
        return True

    def _forget_manifests(self) -> None:
        nowhere = candidates.manifests_nowhere()
        total = nowhere.count()
        self._begin(f"{total} manifests are in no repository any more", total)
        for batch in self._in_steps(candidates.ids(nowhere), total):
            candidates.forget_manifests(batch)

    # --- links, then data --------------------------------------------------------------------------------------------
    def _remove_links(self) -> None:
        plan = candidates.repositories(self.before)
        total, done = sum(count for _, _, _, count in plan), 0
        self._begin(f"{total} links in {len(plan)} repositories are not needed any more", total)
        for repository, name, project, count in plan:
            self.log.info("%s: %d links", name, count)
            for gone in self._remove_links_of(repository, name, project):
                self._ctx.progress(min(done + gone, total), total)
            done += count
            self._ctx.progress(done, total)
            self._ctx.checkpoint()

    def _remove_links_of(self, repository: int, name: str, project: int) -> Iterator[int]:
        """How many it has looked at so far, after each batch."""
        looked_at = 0
        for batch in _batches(candidates.links_of(repository, self.before), self._batch):
            # Between two batches somebody may begin.
            if self._is_busy(repository, name):
                return
            with locks.shared(links.removals_in(project)) as hold:
                if not hold:
                    self.log.info("left for the next run, other removals are being finished there: %s", name)
                    return
                with links.promptly(self._hold, hold):
                    claimed = links.claim(batch, untouched_since=self.before)
                self._take_links_away(claimed)
            looked_at += len(batch)
            yield looked_at
            # Without the lock, for this may take its time.
            self._step(len(claimed))
            if time.monotonic() - self._finished > FINISH_EVERY_SECONDS:
                self._finish_abandoned()

    def _take_links_away(self, claimed: Sequence[RepositoryBlob]) -> None:
        self._side_by_side(lambda part: files.remove_links(*map(links.in_store, part)), claimed)
        links.forget(claimed)
        self.totals.add_links(claimed)

    def _remove_data(self) -> None:
        total, manifests, done = candidates.data().count(), candidates.manifests_unlinked(), 0
        self._begin(f"{total - manifests} blobs and {manifests} manifests eligible for deletion", total)
        for batch in _batches(candidates.ids(candidates.data()), self._batch):
            with links.promptly(self._hold):
                claimed = blobs.claim(batch)
                self._say_eligible(claimed)
            self._take_data_away(claimed)
            done += len(batch)
            self._ctx.progress(done, total)

    def _take_data_away(self, claimed: Sequence[Blob]) -> None:
        for blob in claimed:
            self.log.info("delete blob from storage: %s", blob.digest)
        self._side_by_side(lambda part: files.remove_data(*(blob.digest for blob in part)), claimed)
        self.totals.add_data(claimed)
        blobs.forget(claimed)
        self._step(len(claimed))

    def _remove_uploads(self) -> None:
        for name, uuid, size in self._old_uploads():
            if not uploads.remove(name, uuid, before=self.before):
                continue
            self.log.info("delete what is left of an upload: %s %s", name, uuid)
            self.totals.uploads += 1
            self.totals.freed_space += size
            self._step(1)

    # --- between the steps -------------------------------------------------------------------------------------------
    def _is_busy(self, repository: int, name: str) -> bool:
        is_busy = self.activity.is_busy(repository, name)
        if is_busy and repository not in self._skipped:
            self._skipped.add(repository)
            self.totals.skipped += 1
            self.log.info("left alone, something is being pushed there: %s", name)
        return is_busy

    def _side_by_side(self, remove: Callable[[Sequence[T]], None], claimed: Sequence[T]) -> None:
        count = self.wishes.workers
        parts = [part for first in range(count) if (part := claimed[first::count])]
        with ThreadPoolExecutor(count, thread_name_prefix="gc") as threads:
            list(threads.map(remove, parts))

    def _old_uploads(self) -> Iterator[tuple[str, str, int]]:
        about = Repository.objects.count()
        self._begin(f"what is left of uploads is looked for in about {about} repositories", about)
        return self._one_by_one(leftovers.old_uploads(self.before), about)

    def _begin(self, what: str, total: int = 0) -> None:
        """A phase, or another round of it: the log says what it is about, and the bar begins anew; for something that
        is not counted it only shows that somebody is at work."""
        self.log.info("%s: %s", self._phase, what)
        self._ctx.progress(0, total)
        self._ctx.checkpoint()

    def _in_steps(self, found: Iterable[T], total: int) -> Iterator[list[T]]:
        """A batch at a time; after each is told how far it is, and asked whether to go on."""
        done = 0
        for batch in _batches(found, BATCH):
            yield batch
            done += len(batch)
            self._ctx.progress(min(done, total), total)
            self._step()

    def _one_by_one(self, places: Iterable[Sequence[T]], about: int) -> Iterator[T]:
        """What is found at each place, of about so many: how far it is is told at all of them, and whether to go on
        asked; what was found is written down."""
        for number, found in enumerate(places, start=1):
            for each in found:
                yield each
                self._ctx.checkpoint()
            self._ctx.progress(min(number, about), about)
            if found:
                self._step()
            else:
                self._ctx.checkpoint()

    def _step(self, removed: int = 0) -> None:
        """After each batch: what was done is written down, and whether to go on is asked."""
        self._ctx.tell(**asdict(self.totals))
        self._ctx.checkpoint(asdict(self.totals))
        self._pace.wait(removed)

    def _say_eligible(self, found: Sequence[Blob]) -> None:
        manifests = candidates.manifests_among([blob.digest for blob in found])
        for blob in found:
            self.log.info(
                "%s eligible for deletion: %s", "manifest" if blob.digest in manifests else "blob", blob.digest
            )

    def _say_what_went(self) -> None:
        for name, of_project in sorted(self.totals.projects.items()):
            self.log.info("%s: %d links, %s behind them", name, of_project["links"], quotas.human(of_project["bytes"]))
        blobs_gone, manifests_gone = self.totals.purged_blobs, self.totals.purged_manifests
        self.log.info("%d blobs and %d manifests are actually deleted", blobs_gone, manifests_gone)
        self.log.info("The GC freed up %s space", quotas.human(self.totals.freed_space))


class DryRun(Run):
    """What would go, if nothing changed; it locks nothing and changes nothing. One that is begun again begins anew."""

    def _phases(self) -> Iterator[Callable[[], None]]:
        if self.wishes.audit:
            yield self._find_orphans
            yield self._find_missing
        doomed, gone = Chosen("doomed"), Chosen("gone")
        yield partial(self._choose_deleted, doomed)
        if self.wishes.delete_untagged:
            yield partial(self._choose_untagged, doomed)
        yield partial(self._links, doomed, gone)
        yield partial(self._data, gone, doomed)
        yield self._uploads

    def _choose_deleted(self, doomed: Chosen) -> None:
        deleted = list(candidates.ids(Artifact.objects.trashed(self.before)))
        self._begin(f"{len(deleted)} deleted artifacts would be forgotten", len(deleted))
        doomed.add(deleted)

    def _choose_untagged(self, doomed: Chosen) -> None:
        for artifact in self._untagged():
            self.log.info("untagged artifact eligible for deletion: %s@%s", artifact.repository.name, artifact.digest)
            self.totals.untagged += 1
            doomed.add([artifact.pk])

    def _links(self, doomed: Chosen, gone: Chosen) -> None:
        found = candidates.links_without(doomed, self.before).select_related("repository__project", "blob")
        total = found.count()
        self._begin(f"{total} links would not be needed any more", total)
        for page in self._pages(found.order_by("repository"), total):
            going = [link for link in page if not self._is_busy(link.repository_id, link.repository.name)]
            self.totals.add_links(going)
            gone.add([link.pk for link in going])

    def _data(self, gone: Chosen, doomed: Chosen) -> None:
        found = candidates.data_without(gone, doomed)
        total = found.count()
        self._begin(f"{total} blobs and manifests would have no link any more", total)
        for page in self._pages(found, total):
            self._say_eligible(page)
            self.totals.add_data(page)

    def _uploads(self) -> None:
        for name, uuid, size in self._old_uploads():
            self.log.info("upload eligible for deletion: %s %s", name, uuid)
            self.totals.uploads += 1
            self.totals.freed_space += size

    def _pages(self, found: QuerySet[M], total: int) -> Iterator[list[M]]:
        """All rows of a question, so many at a time."""
        return self._in_steps(found.iterator(chunk_size=BATCH), total)

    def _step(self, removed: int = 0) -> None:
        """Nothing was done from which another attempt could go on."""
        self._ctx.checkpoint()

    def _say_what_went(self) -> None:
        """What would go."""
        blobs_gone, manifests_gone = self.totals.purged_blobs, self.totals.purged_manifests
        self.log.info("%d blobs and %d manifests eligible for deletion", blobs_gone, manifests_gone)
        self.log.info(
            "The GC could free up %s space, the size is a rough estimation.", quotas.human(self.totals.freed_space)
        )


class _Pace:
    """No more than so many a second, and time in which nothing was removed is not made up for. Without such a limit, a
    rest after each batch, half as long again as the batch took: who pushes meanwhile notices next to nothing."""

    def __init__(self, per_second: float) -> None:
        self._per_second, self._last = per_second, time.monotonic()

    def wait(self, removed: int) -> None:
        worked = time.monotonic() - self._last
        if not self._per_second:
            time.sleep(min(_RESTS * worked, LONGEST_REST_SECONDS))
        elif removed:
            time.sleep(max(0.0, removed / self._per_second - worked))
        else:
            return
        self._last = time.monotonic()


def _batches(found: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(found)
    while batch := list(islice(rest, size)):
        yield batch
