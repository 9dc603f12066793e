"""What garbage collection takes, and what it leaves alone."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core import clock, errors, locks, oci
from core.store import client, files
from core.store.files import Link
from jobservice import runner, service
from jobservice.context import Stopped
from jobservice.models import Execution, Task
from jobservice.status import Trigger
from projects import artifacts, copies, links, projects, quotas, repositories, tags
from projects.models import Artifact, Blob, Manifest, Project, Repository, RepositoryBlob, Tag
from rbac.models import User
from registry.garbage import collection
from registry.garbage.collection import Totals, Wishes
from registry.jobs import GarbageCollection
from registry.verify import verify
from tests import factories
from tests.e2e.client import make_image, make_index
from tests.jobservice.jobs import log_of, tasks_of
from tests.old_registry import STORE

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_store")]
NOW = timedelta()
LONG_AGO = timedelta(hours=3)


class Recorder:
    """What a job is given, for a test: remembers, and does something at a step."""

    def __init__(self, at_step: Callable[[int], None] = lambda step: None, state: dict[str, Any] | None = None) -> None:
        self.lines: list[str] = []
        self.state: dict[str, Any] = state or {}
        self.told: dict[str, Any] = {}
        self.progressed: list[tuple[int, int]] = []
        self.seen: list[tuple[str, tuple[int, int]]] = []
        """The phase that the log named last, and the bar, whenever somebody may look."""
        self.log = logging.Logger("test")
        self.log.addHandler(self._Lines(self.lines))
        self._steps, self._at_step = 0, at_step

    class _Lines(logging.Handler):
        def __init__(self, lines: list[str]) -> None:
            super().__init__()
            self._lines = lines

        def emit(self, record: logging.LogRecord) -> None:
            self._lines.append(record.getMessage())

    def checkpoint(self, state: dict[str, Any] | None = None) -> None:
        if state is not None:
            self.state = state
        phases = [line for line in self.lines if line.startswith("phase ")]
        if phases and self.progressed:
            self.seen.append((phases[-1], self.progressed[-1]))
        self._steps += 1
        self._at_step(self._steps)

    def progress(self, done: int, total: int) -> None:
        assert 0 <= done <= total
        self.progressed.append((done, total))

    def tell(self, **facts: Any) -> None:
        self.told.update(facts)


def collect(ctx: Recorder | None = None, **wishes: Any) -> Totals:
    used = ctx or Recorder()
    collection.collect(used, Wishes(**{"grace": NOW, **wishes}))  # type: ignore[arg-type]
    return Totals(**used.told)


@pytest.fixture
def app(team: Project) -> Repository:
    return factories.repository(team, "app")


def age(by: timedelta = LONG_AGO) -> None:
    """Let everything that there is have happened some hours earlier, in the rows and in the store."""
    then = clock.now() - by
    RepositoryBlob.objects.update(touched=then)
    Artifact.objects.update(pushed=then)
    Artifact.objects.filter(deleted__isnull=False).update(deleted=then)
    Tag.objects.filter(deleted__isnull=False).update(deleted=then)
    for path in STORE.rglob("*"):
        os.utime(path, (then.timestamp(), then.timestamp()))


def stored() -> set[str]:
    return {digest for digest, _ in files.digests()}


def digests_of(artifact: Artifact) -> set[str]:
    return set(artifact.references.filter(kind__in=("self", "config", "layer")).values_list("digest", flat=True))


def assert_sound() -> None:
    """Nothing that is needed is missing, and nothing is counted wrongly."""
    assert list(verify(deep=True)) == []
    for project in Project.objects.live():
        assert project.quota.used == quotas.usage(project=project)


def test_a_deleted_image_leaves_the_store_and_others_stay(app: Repository, alice: User) -> None:
    kept, gone = factories.push(app, alice, "kept"), factories.push(app, alice, "gone")
    needed, doomed = digests_of(kept), digests_of(gone)
    sizes = dict(files.digests())
    artifacts.delete(artifact=gone, actor=alice)
    totals = collect()
    assert stored() == needed
    assert totals.freed_space == sum(sizes[digest] for digest in doomed - needed)
    assert (totals.purged_manifests, totals.purged_blobs) == (1, len(doomed - needed) - 1)
    assert set(totals.projects) == {"team"}
    assert not Artifact.objects.filter(pk=gone.pk).exists()
    assert not Manifest.objects.filter(pk=gone.digest).exists()
    assert set(Blob.objects.values_list("digest", flat=True)) == needed
    assert_sound()


def test_what_happened_within_the_grace_stays(app: Repository, alice: User) -> None:
    gone = factories.push(app, alice, "gone")
    artifacts.delete(artifact=gone, actor=alice)
    before, early, late = stored(), Recorder(), Recorder()
    assert collect(early, grace=timedelta(hours=2)).freed_space == 0
    assert stored() == before
    assert "deleted artifacts that wait until that is over: 1" in early.lines
    age()
    assert collect(late, grace=timedelta(hours=2)).purged_manifests == 1
    assert not any("wait until" in line for line in late.lines)
    assert stored() == set()


def test_a_layer_that_others_need_stays_for_them(app: Repository, alice: User) -> None:
    shared = os.urandom(200)
    other = factories.repository(app.project, "other")
    factories.push(other, alice, "v1", make_image(shared, os.urandom(100)))
    gone = factories.push(app, alice, "v1", make_image(shared, os.urandom(100)))
    artifacts.delete(artifact=gone, actor=alice)
    collect()
    digest = oci.digest_of(shared)
    assert not factories.registry_has("team/app", digest)
    assert factories.registry_has("team/other", digest)
    assert_sound()


def test_a_copy_stays_when_its_source_goes(app: Repository, alice: User) -> None:
    source = factories.push(app, alice, "v1")
    target = factories.repository(app.project, "copy")
    copies.copy(source=source, repository=target, actor=alice)
    repositories.delete(repository=app, actor=alice)
    collect()
    copied = Artifact.objects.get(repository=target)
    assert client.get_manifest(repository="team/copy", digest=copied.digest) == bytes(copied.manifest.content)
    assert all(factories.registry_has("team/copy", digest) for digest in digests_of(copied) - {copied.digest})
    assert_sound()


def test_of_a_deleted_project_nothing_is_left(app: Repository, alice: User) -> None:
    other = factories.repository(factories.project("other", alice), "app")
    shared = os.urandom(90)
    kept = factories.push(other, alice, "v1", make_image(shared))
    factories.push(app, alice, "v1", make_image(shared, os.urandom(90)))
    repositories.delete(repository=app, actor=alice)
    projects.delete(project=app.project, actor=alice)
    collect()
    assert stored() == digests_of(kept)
    assert not RepositoryBlob.objects.filter(repository=app).exists()
    assert_sound()


def untag(artifact: Artifact, actor: User) -> None:
    for tag in Tag.objects.live().filter(artifact=artifact):
        tags.delete(tag=tag, actor=actor)


def test_untagged_images_go_only_when_asked(app: Repository, alice: User) -> None:
    image = factories.push(app, alice, "v1")
    untag(image, alice)
    assert collect().untagged == 0
    assert Artifact.objects.live().filter(pk=image.pk).exists()
    assert collect(delete_untagged=True).untagged == 1
    assert stored() == set()
    assert_sound()


def test_who_was_tagged_or_pushed_within_the_grace_is_not_untagged_enough(app: Repository, alice: User) -> None:
    image = factories.push(app, alice, "v1")
    untag(image, alice)
    Artifact.objects.update(pushed=clock.now() - LONG_AGO)
    assert collect(delete_untagged=True, grace=timedelta(hours=2)).untagged == 0


def test_parts_of_an_index_stay_with_it_and_go_with_it(app: Repository, alice: User) -> None:
    children = [make_image(os.urandom(100)) for _ in range(2)]
    for child in children:
        factories.push(app, alice, None, child)
    index = oci.parse_manifest(make_index(*children), oci.OCI_INDEX)
    artifacts.push(repository=app, manifest=index, tag="multi", actor=alice)
    assert collect(delete_untagged=True).untagged == 0
    whole = Artifact.objects.get(manifest=index.digest)
    untag(whole, alice)
    assert collect(delete_untagged=True).untagged == 3
    assert stored() == set()
    assert_sound()


def test_signatures_stay_with_their_image_and_keep_it(app: Repository, alice: User) -> None:
    image = factories.push(app, alice, "v1")
    factories.push(app, alice, f"{image.digest.replace(':', '-')}.sig")
    untag(image, alice)
    assert collect(delete_untagged=True).untagged == 0
    artifacts.delete(artifact=image, actor=alice)
    collect()
    assert stored() == set()
    assert_sound()


def test_what_a_push_on_its_way_names_stays(app: Repository, alice: User) -> None:
    image = make_image(os.urandom(100))
    for content in image.blobs.values():
        digest = factories.upload(app, content)
        links.record_present(repository=app, digest=digest, size=len(content))
    attempt = artifacts.Attempt.at(app, factories.parsed(image), tags=["v1"], hung_by="")
    artifacts.begin(app, [attempt])
    age()
    collect()
    assert stored() == set(image.blobs)
    artifacts.give_up([attempt])
    age()
    collect()
    assert stored() == set()


def test_a_repository_with_an_upload_under_way_is_left_alone(app: Repository, alice: User) -> None:
    digest = factories.upload(app, os.urandom(80))
    links.record_present(repository=app, digest=digest, size=80)
    age()
    upload = STORE / "repositories" / app.name / "_uploads" / "0000" / "data"
    upload.parent.mkdir(parents=True)
    upload.write_bytes(b"half of a layer")
    totals = collect(grace=timedelta(hours=2))
    assert (totals.skipped, totals.links) == (1, 0)
    age()
    assert collect(grace=timedelta(hours=2)).links == 1


def test_a_repository_with_a_fresh_layer_and_no_manifest_yet_is_left_alone(app: Repository) -> None:
    old, fresh = (factories.upload(app, os.urandom(80)) for _ in range(2))
    links.record_present(repository=app, digest=old, size=80)
    age()
    links.record_present(repository=app, digest=fresh, size=80)
    assert collect(grace=timedelta(hours=2)).skipped == 1
    assert stored() == {old, fresh}
    age()
    assert collect(grace=timedelta(hours=2)).links == 2
    assert stored() == set()


def test_leftovers_of_uploads_go_when_nothing_was_written_for_long(app: Repository) -> None:
    place = STORE / "repositories" / app.name / "_uploads" / "abc"
    (place / "hashstates" / "sha256").mkdir(parents=True)
    (place / "hashstates" / "sha256" / "0").write_bytes(b"x" * 108)
    assert collect(grace=timedelta(hours=2)).uploads == 0
    age()
    totals = collect(grace=timedelta(hours=2))
    assert (totals.uploads, totals.freed_space) == (1, 108)
    assert not place.exists()


def test_a_dry_run_says_what_would_go_and_changes_nothing(app: Repository, alice: User) -> None:
    factories.push(app, alice, "kept")
    gone, untagged = factories.push(app, alice, "gone"), factories.push(app, alice, "old")
    artifacts.delete(artifact=gone, actor=alice)
    untag(untagged, alice)
    before = (
        stored(),
        list(RepositoryBlob.objects.order_by("pk").values()),
        list(Artifact.objects.order_by("pk").values()),
    )
    ctx = Recorder()
    said = collect(ctx, dry_run=True, delete_untagged=True)
    assert before == (
        stored(), list(RepositoryBlob.objects.order_by("pk").values()), list(Artifact.objects.order_by("pk").values()),
    )  # fmt: skip
    assert f"manifest eligible for deletion: {gone.digest}" in ctx.lines
    assert "4 blobs and 2 manifests eligible for deletion" in ctx.lines
    done = collect(delete_untagged=True)
    assert (said.freed_space, said.purged_blobs, said.purged_manifests, said.links, said.untagged) == (
        done.freed_space, done.purged_blobs, done.purged_manifests, done.links, done.untagged,
    )  # fmt: skip


def test_a_dry_run_promises_nothing_that_another_repositorys_manifest_names(
    app: Repository, alice: User, team: Project
) -> None:
    image = factories.push(app, alice, "v1")
    subject = {"mediaType": image.media_type, "digest": image.digest, "size": image.manifest.size}
    signature = make_image(os.urandom(50), subject=subject)
    factories.push(factories.repository(team, "signatures"), alice, None, signature)
    artifacts.delete(artifact=image, actor=alice)
    said, done = collect(dry_run=True), collect()
    assert (said.freed_space, said.purged_blobs, said.purged_manifests) == (
        done.freed_space, done.purged_blobs, done.purged_manifests,
    )  # fmt: skip
    assert image.digest in stored()


@pytest.mark.parametrize("wishes", [{"audit": True}, {"audit": True, "dry_run": True}, {}, {"dry_run": True}])
def test_a_store_is_not_looked_through_without_asking_whether_to_go_on(
    app: Repository, alice: User, wishes: dict[str, bool]
) -> None:
    """Also when nothing is found there: it may be large."""
    factories.push(app, alice, "v1")
    asked: list[int] = []
    ctx = Recorder(asked.append)
    collect(ctx, **wishes)
    # The repository, for its uploads; with an audit each part of the digests as well.
    places = 1 + (256 if wishes.get("audit") else 0)
    assert len(asked) >= places
    assert (places, places) in ctx.progressed


def test_what_an_audit_found_is_not_forgotten_when_it_dies(app: Repository) -> None:
    factories.upload(app, os.urandom(70))
    age()

    def stop(step: int) -> None:
        if first.state.get("orphans"):
            raise Stopped

    first = Recorder(stop)
    with pytest.raises(Stopped):
        collect(first, audit=True)
    assert (first.state["orphans"], first.state["links"]) == (1, 0)
    second = Recorder(state=first.state)
    totals = collect(second, audit=True)
    assert (totals.orphans, totals.links) == (1, 1)


def test_a_stopped_run_goes_on_where_it_was(app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "BATCH", 2)
    kept = factories.push(app, alice, "kept")
    for _ in range(4):
        artifacts.delete(artifact=factories.push(app, alice), actor=alice)

    def stop_at(step: int) -> None:
        if first.state.get("links", 0) == 6:
            raise Stopped

    first = Recorder(stop_at)
    with pytest.raises(Stopped):
        collection.collect(first, Wishes(grace=NOW))  # type: ignore[arg-type]
    assert_sound()
    second = Recorder(state=first.state)
    totals = collect(second)
    assert stored() == digests_of(kept)
    assert (totals.purged_manifests, totals.purged_blobs) == (4, 8)
    assert_sound()


@pytest.mark.parametrize("died", ["before the store", "after the store"])
def test_what_a_dead_run_had_claimed_is_finished_by_the_next(app: Repository, alice: User, died: str) -> None:
    gone = factories.push(app, alice)
    artifacts.delete(artifact=gone, actor=alice)
    artifacts.purge(artifacts=[gone.pk])
    claimed = links.claim(list(RepositoryBlob.objects.values_list("pk", flat=True)))
    assert len(claimed) == 3
    if died == "after the store":
        files.remove_links(*map(links.in_store, claimed))
    RepositoryBlob.objects.update(touched=clock.now() - timedelta(minutes=2))
    totals = collect()
    assert (totals.links, stored()) == (3, set())


@pytest.mark.parametrize("step", ["remove_links", "remove_data"])
def test_what_a_failed_attempt_had_marked_goes_with_the_next(
    app: Repository, alice: User, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one comes after seconds; a mark counts as abandoned after a minute."""
    monkeypatch.setattr(links, "REMOVAL_LEASE", timedelta(seconds=1))
    monkeypatch.setattr(collection, "_MARK_PAUSE_SECONDS", 0.05)
    artifacts.delete(artifact=factories.push(app, alice), actor=alice)

    def be_away(*_: Any) -> None:
        raise errors.StoreUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(files, step, be_away)
        with pytest.raises(errors.StoreUnavailable):
            collect()
    assert stored() != set()
    totals = collect()
    assert (totals.purged_manifests, totals.purged_blobs) == (1, 2)
    assert stored() == set()
    assert_sound()


def test_a_repository_left_alone_by_two_attempts_is_counted_once(app: Repository) -> None:
    old, fresh = (factories.upload(app, os.urandom(80)) for _ in range(2))
    links.record_present(repository=app, digest=old, size=80)
    age()
    links.record_present(repository=app, digest=fresh, size=80)
    first = Recorder()
    collect(first, grace=timedelta(hours=2))
    assert collect(Recorder(state=first.told), grace=timedelta(hours=2)).skipped == 1


def test_data_whose_remover_died_come_back_by_a_push(app: Repository, alice: User) -> None:
    image = make_image(os.urandom(120))
    artifacts.delete(artifact=factories.push(app, alice, None, image), actor=alice)
    collect()
    digest = next(iter(image.blobs))
    Blob.objects.create(digest=digest, state=Blob.State.DELETING, claimed=timezone.now() - timedelta(minutes=2))
    links.announce(repository=app, digest=digest)
    factories.push(app, alice, "again", image)
    assert_sound()


def test_while_a_collection_lives_nobody_takes_its_claims_over(
    app: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "WAIT_SECONDS", 0.2)
    digest = "sha256:" + "4" * 64
    Blob.objects.create(digest=digest, state=Blob.State.DELETING, claimed=timezone.now() - timedelta(minutes=2))
    with locks.sole(links.COLLECTION), pytest.raises(errors.Unavailable, match="is being removed"):
        links.announce(repository=app, digest=digest)
    links.announce(repository=app, digest=digest)


def test_two_collections_are_not_at_work_together() -> None:
    with locks.sole(links.COLLECTION), pytest.raises(errors.Unavailable, match="another garbage collection"):
        collect()


def test_a_run_that_lost_its_lock_removes_nothing_more(app: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = factories.upload(app, os.urandom(80))
    links.record_present(repository=app, digest=digest, size=80)
    monkeypatch.setattr(locks.Hold, "is_kept", lambda self: False)
    with pytest.raises(errors.Unavailable, match="lost the lock"):
        collect()
    assert stored() == {digest}


def test_what_only_the_store_knows_is_found_by_an_audit(app: Repository, team: Project) -> None:
    by_link = factories.upload(app, os.urandom(70))
    nowhere = factories.upload(factories.repository(team, "x"), os.urandom(71))
    stranger = STORE / "repositories" / "nobody" / "app" / "_layers" / "sha256" / nowhere.removeprefix("sha256:")
    stranger.mkdir(parents=True)
    (stranger / "link").write_text(nowhere)
    Repository.objects.filter(name="team/x").delete()
    lonely = oci.digest_of(b"lonely")
    files.write_data(lonely, b"lonely")
    assert collect(audit=True, grace=timedelta(hours=2)).orphans == 1  # Only the data without a link have no age.
    age()
    ctx = Recorder()
    assert collect(ctx, audit=True, dry_run=True, grace=timedelta(hours=2)).orphans == 3
    assert f"only the store knows: layer link team/app@{by_link}" in ctx.lines
    assert collect(audit=True, grace=timedelta(hours=2)).orphans == 3
    assert stored() == set()
    assert not stranger.exists()


def test_a_repository_at_the_top_of_the_store_is_nobodys_even_where_a_project_is_called_so(app: Repository) -> None:
    """What a registry without us called `team` is none of the project `team`."""
    digest = factories.upload(app, os.urandom(70))
    files.remove_links(Link("team/app", "layer", digest))
    files.write_link(Link("team", "layer", digest))
    age()
    ctx = Recorder()
    assert collect(ctx, audit=True, grace=timedelta(hours=2)).orphans == 1
    assert f"only the store knows: layer link team@{digest}" in ctx.lines
    assert files.read_link(Link("team", "layer", digest)) is None
    collect(audit=True, grace=timedelta(hours=2))
    assert stored() == set()


def test_what_only_the_rows_know_is_doubted_by_an_audit_and_healed_by_a_push(app: Repository, alice: User) -> None:
    """Else every HEAD would say that it is there, and no client would upload it."""
    image = make_image(os.urandom(70), os.urandom(71))
    factories.push(app, alice, "v1", image)
    _, without_data, without_link = image.blobs
    files.remove_data(without_data)
    files.remove_links(Link("team/app", "layer", without_link))
    ctx = Recorder()
    assert collect(ctx, audit=True, dry_run=True).missing == 2
    assert f"the store does not have: data {without_data}" in ctx.lines
    assert f"the store does not have: layer link team/app@{without_link}" in ctx.lines
    assert set(links.sizes(repository=app, digests=image.blobs)) == set(image.blobs)
    assert collect(audit=True).missing == 2
    assert links.sizes(repository=app, digests=image.blobs).keys() == image.blobs.keys() - {without_data, without_link}
    factories.push(app, alice, "v1", image)
    assert links.sizes(repository=app, digests=image.blobs).keys() == image.blobs.keys()
    assert collect(audit=True).missing == 0
    assert_sound()


def test_an_orphan_whose_data_are_gone_is_not_said_to_be_there(app: Repository) -> None:
    digest = factories.upload(app, os.urandom(70))
    files.remove_data(digest)
    links.take_in(repository=app, digest=digest, kind=RepositoryBlob.Kind.LAYER, touched=clock.now() - LONG_AGO)
    assert links.sizes(repository=app, digests=[digest]) == {}
    assert collect(audit=True).links == 1


def test_a_needed_link_without_a_row_is_not_taken_for_an_orphan(app: Repository, alice: User) -> None:
    image = factories.push(app, alice, "v1")
    RepositoryBlob.objects.all().delete()
    Blob.objects.all().delete()
    age()
    collect(audit=True, grace=NOW)
    assert stored() == digests_of(image)


def test_through_the_job_service_with_its_log(app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "GRACE", NOW)
    artifacts.delete(artifact=factories.push(app, alice), actor=alice)
    execution = service.submit(GarbageCollection, trigger=Trigger.MANUAL, params={"workers": 3})
    (task,) = tasks_of(execution)
    runner.run(task.id, worker="test/1")
    done = Execution.objects.get(id=execution.id)
    assert done.status == "Success", log_of(task)
    assert done.extra_attrs["purged_manifests"] == 1
    assert "workers: 3" in log_of(task)
    assert "2 blobs and 1 manifests eligible for deletion" in log_of(task)
    assert "2 blobs and 1 manifests are actually deleted" in log_of(task)
    assert "team/app: 3 links" in log_of(task)
    assert Task.objects.get(id=task.id).total > 0


def test_progress_is_told_within_a_repository_too(app: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "BATCH", 2)
    for _ in range(5):
        links.record_present(repository=app, digest=factories.upload(app, os.urandom(60)), size=60)
    ctx = Recorder()
    collect(ctx)
    assert bars(ctx, "links in 1 repositories") == [(0, 5), (2, 5), (4, 5), (5, 5)]


def bars(ctx: Recorder, phase: str) -> list[tuple[int, int]]:
    """What somebody who always looks sees of the bar while the log's last word is this phase, each state once."""
    return list(dict.fromkeys(bar for line, bar in ctx.seen if phase in line))


def test_each_phase_says_what_it_is_and_how_far(app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar begins anew with each of them, and stands nowhere at the end of the one before."""
    monkeypatch.setattr(collection, "BATCH", 2)
    for _ in range(3):
        artifacts.delete(artifact=factories.push(app, alice), actor=alice)
    untagged = [factories.push(app, alice, None) for _ in range(3)]
    ctx = Recorder()
    assert collect(ctx, delete_untagged=True).untagged == len(untagged)
    assert [line for line in ctx.lines if line.startswith("phase ")] == [
        "phase 1 of 8: what others had begun to remove, and did not live to end, is finished",
        "phase 2 of 8: 3 deleted artifacts are to be forgotten",
        "phase 3 of 8: 3 untagged artifacts are needed by nothing",
        "phase 3 of 8: 0 untagged artifacts are needed by nothing",
        "phase 4 of 8: 18 links in 1 repositories are not needed any more",
        "phase 5 of 8: what an attempt that failed had begun to remove is finished, once it is 0:01:00 old",
        "phase 6 of 8: 12 blobs and 6 manifests eligible for deletion",
        "phase 7 of 8: 6 manifests are in no repository any more",
        "phase 8 of 8: what is left of uploads is looked for in about 1 repositories",
    ]
    # Of nothing counted, a bar that only moves.
    assert bars(ctx, "phase 1 of 8") == bars(ctx, "phase 5 of 8") == [(0, 0)]
    assert bars(ctx, "phase 2 of 8") == [(0, 3), (2, 3), (3, 3)]
    assert bars(ctx, "phase 3 of 8: 3") == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert bars(ctx, "phase 3 of 8: 0") == [(0, 0)]
    assert bars(ctx, "phase 4 of 8")[-1] == (18, 18)
    assert bars(ctx, "phase 6 of 8")[0] == (0, 18)
    assert bars(ctx, "phase 7 of 8") == [(0, 6), (2, 6), (4, 6), (6, 6)]


def test_each_phase_of_a_dry_run_says_so_too(app: Repository, alice: User) -> None:
    artifacts.delete(artifact=factories.push(app, alice), actor=alice)
    untagged = factories.push(app, alice, None)
    ctx = Recorder()
    collect(ctx, dry_run=True, delete_untagged=True, audit=True)
    assert untagged.digest in stored()
    assert [line for line in ctx.lines if line.startswith("phase ")] == [
        "phase 1 of 7: the store is looked through, in about 257 parts, for what no row knows",
        "phase 2 of 7: the rows, in about 257 parts, are looked for in the store",
        "phase 3 of 7: 1 deleted artifacts would be forgotten",
        "phase 4 of 7: 1 untagged artifacts are needed by nothing",
        "phase 5 of 7: 6 links would not be needed any more",
        "phase 6 of 7: 6 blobs and manifests would have no link any more",
        "phase 7 of 7: what is left of uploads is looked for in about 1 repositories",
    ]
    assert bars(ctx, "phase 1 of 7")[:2] == [(0, 257), (1, 257)]
    assert bars(ctx, "phase 4 of 7")[0] == (0, 1)
    assert bars(ctx, "phase 5 of 7") == bars(ctx, "phase 6 of 7") == [(0, 6), (6, 6)]


class Clock:
    """In place of `time`: it stands still but for sleep, and while somebody says that he works."""

    now, slept = 0.0, 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def clock_of_test(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(collection, "time", made := Clock())
    return made


def test_removals_are_no_faster_for_what_was_not_removed_before(clock_of_test: Clock) -> None:
    """An audit of an hour is no reason to remove an hour's worth at once."""
    pace = collection._Pace(10)
    clock_of_test.now += 3600
    for _ in range(10):
        pace.wait(10)
    assert clock_of_test.slept == pytest.approx(9)


def test_without_a_limit_it_rests_longer_than_it_works_but_not_after_an_audit_of_an_hour(clock_of_test: Clock) -> None:
    pace = collection._Pace(0)
    for worked, rested in ((0.2, 0.3), (0.4, 0.9), (3600, 1.9)):
        clock_of_test.now += worked
        pace.wait(10)
        assert clock_of_test.slept == pytest.approx(rested)


def test_no_faster_than_allowed(app: Repository) -> None:
    for _ in range(3):
        links.record_present(repository=app, digest=factories.upload(app, os.urandom(60)), size=60)
    began = time.monotonic()
    collect(removals_per_second=20)
    assert time.monotonic() - began >= 6 / 20
