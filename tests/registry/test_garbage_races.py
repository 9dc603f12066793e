"""Garbage collection meets those who push, mount, copy, tag and delete, step against step, in both orders.

Real threads and transactions: somebody is held at one step, others act, and he goes on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from core import clock, errors, oci
from core.store import client, files
from jobservice import claims, orders, runner, service
from jobservice.models import Execution
from jobservice.status import Trigger
from projects import artifacts, copies, links, manifest_repair, projects, repositories, tags
from projects.models import Accessory, Artifact, Blob, Manifest, Repository, RepositoryBlob, Tag
from rbac.models import User
from registry.garbage import candidates, collection
from registry.jobs import GarbageCollection
from registry.verify import verify
from tests import factories
from tests.e2e.client import Image, make_image, make_index
from tests.jobservice.jobs import tasks_of
from tests.old_registry import STORE
from tests.registry.test_garbage import NOW, age, assert_sound, collect, digests_of, stored, untag

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_store")]
State = RepositoryBlob.State
PATIENCE = 20.0


@pytest.fixture
def alice(db: None) -> User:
    return factories.user("alice")


@pytest.fixture
def app(alice: User) -> Repository:
    return factories.repository(factories.project("team", alice), "app")


class Someone:
    """Does something in a thread of his own."""

    def __init__(self, does: Callable[[], Any]) -> None:
        self._does = does
        self._outcome: Any = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._does()
        except Exception as problem:
            self._outcome = problem
        finally:
            connection.close()

    def is_waiting(self) -> bool:
        """Whether he is still not done after a while."""
        self._thread.join(0.4)
        return self._thread.is_alive()

    def outcome(self) -> Any:
        """What came of it; an exception too."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "he does not come to an end"
        return self._outcome


class Halt:
    """The first to call a function is held there until the test lets him go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, *, after: bool = False) -> None:
        self._there, self._on, self._is_taken = threading.Event(), threading.Event(), threading.Lock()
        original = getattr(place, name)

        def halting(*arguments: Any, **named: Any) -> Any:
            is_first = self._is_taken.acquire(blocking=False)
            result = original(*arguments, **named) if after else None
            if is_first:
                self._there.set()
                assert self._on.wait(PATIENCE)
            return result if after else original(*arguments, **named)

        monkeypatch.setattr(place, name, halting)

    def reached(self) -> None:
        assert self._there.wait(PATIENCE), "nobody came there"

    def go_on(self) -> None:
        self._on.set()


def free_link(app: Repository, content: bytes | None = None) -> str:
    """A layer that nobody needs, known to be there."""
    content = content or os.urandom(90)
    digest = factories.upload(app, content)
    links.record_present(repository=app, digest=digest, size=len(content))
    return digest


def put(app: Repository, actor: User, image: Image, tag: str = "v1") -> None:
    """The manifest alone, by a client that counts on layers without having asked for them."""
    artifacts.push(repository=app, manifest=factories.parsed(image), tag=tag, actor=actor)


def push_as_clients_do(app: Repository, actor: User, image: Image, tag: str = "v1") -> None:
    for digest, content in image.blobs.items():
        links.announce(repository=app, digest=digest)
        factories.upload(app, content)
    put(app, actor, image, tag)


def assert_whole(app: Repository, image: Image) -> None:
    """The registry gives out every byte, and Postgres agrees."""
    assert client.get_manifest(repository=app.name, digest=image.digest) == image.manifest
    assert all(factories.registry_has(app.name, digest) for digest in image.blobs)
    assert_sound()


# --- a link is being removed ---------------------------------------------------------------------------------
@pytest.mark.parametrize("step", ["remove_links", "remove_data"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_who_pushes_what_is_being_removed_waits_and_uploads_it_again(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    image = make_image(os.urandom(90))
    gone = factories.push(app, alice, "v1", image)
    artifacts.delete(artifact=gone, actor=alice)
    halt = Halt(monkeypatch, files, step, after=when == "after")
    collector = Someone(collect)
    halt.reached()
    pusher = Someone(lambda: push_as_clients_do(app, alice, image))
    assert pusher.is_waiting()
    halt.go_on()
    assert pusher.outcome() is None
    assert collector.outcome().links == 3
    assert_whole(app, image)
    assert collect().links == 0
    assert_whole(app, image)


def test_who_waits_too_long_is_told_to_try_again(app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "WAIT_SECONDS", 0.3)
    digest = free_link(app)
    halt = Halt(monkeypatch, files, "remove_links")
    collector = Someone(collect)
    halt.reached()
    with pytest.raises(errors.Unavailable, match="is being removed"):
        links.announce(repository=app, digest=digest)
    halt.go_on()
    assert collector.outcome().links == 1
    links.announce(repository=app, digest=digest)


def test_while_a_link_is_being_removed_it_is_neither_there_nor_mounted(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = free_link(app)
    halt = Halt(monkeypatch, files, "remove_links")
    collector = Someone(collect)
    halt.reached()
    # The registry still has it; whoever would mount or count on it uploads instead.
    assert factories.registry_has(app.name, digest)
    assert not links.touch(repository_name=app.name, digest=digest)
    halt.go_on()
    assert collector.outcome().links == 1


def test_who_touched_a_link_first_keeps_it(app: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = free_link(app)
    age()
    halt = Halt(monkeypatch, links, "claim")
    collector = Someone(lambda: collect(grace=timedelta(hours=2)))
    halt.reached()
    assert links.touch(repository_name=app.name, digest=digest)
    halt.go_on()
    assert collector.outcome().links == 0
    assert stored() == {digest}


def test_a_push_that_has_begun_keeps_its_links(app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    image = make_image(os.urandom(90))
    for content in image.blobs.values():
        free_link(app, content)
    halt = Halt(monkeypatch, manifest_repair, "store")
    pusher = Someone(lambda: put(app, alice, image))
    halt.reached()
    assert collect().links == 0
    halt.go_on()
    assert pusher.outcome() is None
    assert_whole(app, image)


def test_a_push_whose_links_went_before_it_began_is_refused(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image(os.urandom(90))
    for content in image.blobs.values():
        free_link(app, content)
    halt = Halt(monkeypatch, artifacts, "begin")
    pusher = Someone(lambda: put(app, alice, image))
    halt.reached()
    assert collect().links == 2
    halt.go_on()
    assert isinstance(pusher.outcome(), errors.ManifestBlobUnknown)
    assert not Artifact.objects.exists()
    push_as_clients_do(app, alice, image)
    assert_whole(app, image)


def test_a_push_whose_link_went_and_is_coming_back_is_not_acknowledged(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry took the manifest while the link was still there; then it went, and somebody began to upload."""
    image = make_image(os.urandom(90))
    for content in image.blobs.values():
        free_link(app, content)
    begins, records = Halt(monkeypatch, artifacts, "begin"), Halt(monkeypatch, artifacts, "record")
    pusher = Someone(lambda: put(app, alice, image))
    begins.reached()
    removes = Halt(monkeypatch, files, "remove_links")
    collector = Someone(collect)
    removes.reached()
    begins.go_on()
    records.reached()
    removes.go_on()
    assert collector.outcome().links == 2
    for digest in image.blobs:
        links.announce(repository=app, digest=digest)
    records.go_on()
    assert isinstance(pusher.outcome(), errors.Unavailable)
    assert not Artifact.objects.exists()
    push_as_clients_do(app, alice, image)
    assert_whole(app, image)


def test_an_answer_of_the_store_that_is_too_old_is_not_remembered(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every HEAD would say that it is there, and every push of it would fail."""
    digest = factories.upload(app, os.urandom(90))
    links.announce(repository=app, digest=digest)
    halt = Halt(monkeypatch, files, "linked_size", after=True)
    asker = Someone(lambda: links.sizes(repository=app, digests=[digest]))
    halt.reached()
    assert collect().links == 1
    halt.go_on()
    assert asker.outcome() == {}
    assert not app.links.exclude(state=State.ANNOUNCED).exists()


def test_what_was_never_announced_but_is_there_counts(app: Repository) -> None:
    digest = factories.upload(app, b"from before the database was restored")
    assert links.sizes(repository=app, digests=[digest]) == {digest: 37}
    assert app.links.get().state == State.PRESENT


# --- nobody takes over from the living --------------------------------------------------------------------------
def test_nobody_finishes_what_a_sleeping_request_began(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it wakes up it removes the link, whoever has made it meanwhile."""
    monkeypatch.setattr(links, "WAIT_SECONDS", 0.3)
    digest = free_link(app, b"wanted by two")
    halt = Halt(monkeypatch, files, "remove_links")
    sleeper = Someone(lambda: links.delete_blob(repository=app, digest=digest))
    halt.reached()
    RepositoryBlob.objects.update(touched=clock.now() - timedelta(minutes=5))
    with pytest.raises(errors.Unavailable):
        links.announce(repository=app, digest=digest)
    assert collect().links == 0
    halt.go_on()
    assert sleeper.outcome() is None
    links.announce(repository=app, digest=digest)
    factories.upload(app, b"wanted by two")
    assert links.sizes(repository=app, digests=[digest]) == {digest: 13}


def test_who_slept_too_long_before_removing_does_not_begin(app: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = free_link(app)
    monkeypatch.setattr(links, "BEGIN_SECONDS", -1.0)
    with pytest.raises(errors.Unavailable, match="slept"):
        links.delete_blob(repository=app, digest=digest)
    assert factories.registry_has(app.name, digest)


def test_links_of_a_deleted_project_are_removed_by_one_alone(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "WAIT_SECONDS", 0.3)
    old = factories.project("gone", alice)
    digest = free_link(factories.repository(old, "app"), b"old and new")
    halt = Halt(monkeypatch, files, "remove_links")
    sleeper = Someone(lambda: projects.delete(project=old, actor=alice))
    halt.reached()
    links.remove_links_of(project=old, seconds=60)
    with pytest.raises(errors.Conflict, match="still being removed"):
        projects.create(name="gone", public=False, metadata={}, storage_limit=None, actor=alice)
    halt.go_on()
    assert sleeper.outcome() is None
    new = projects.create(name="gone", public=False, metadata={}, storage_limit=None, actor=alice)
    assert free_link(factories.repository(new, "app"), b"old and new") == digest


def test_a_project_deleted_while_its_links_are_collected_waits_for_that(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_link(app)
    halt = Halt(monkeypatch, files, "remove_links")
    collector = Someone(collect)
    halt.reached()
    deletion = Someone(lambda: projects.delete(project=app.project, actor=alice))
    assert deletion.is_waiting()
    halt.go_on()
    assert (collector.outcome().links, deletion.outcome()) == (1, None)
    assert not RepositoryBlob.objects.exists()
    assert collect().links == 0
    assert stored() == set()


def test_data_that_somebody_counts_on_after_all_are_given_back(app: Repository, alice: User) -> None:
    """What a dead collector had marked is looked at again before it goes."""
    image = make_image(os.urandom(90))
    factories.push(app, alice, "v1", image)
    Blob.objects.update(state=Blob.State.DELETING, claimed=clock.now() - timedelta(minutes=5))
    collect()
    assert_whole(app, image)
    assert links.sizes(repository=app, digests=image.blobs).keys() == image.blobs.keys()


def test_what_is_pushed_while_verify_clears_away_there_is_whole(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A torn link in a repository of which no row was left."""
    image = make_image(os.urandom(90))
    digest = next(iter(image.blobs))
    torn = STORE / "repositories" / "team" / "new" / "_layers" / "sha256" / digest.removeprefix("sha256:") / "link"
    torn.parent.mkdir(parents=True)
    torn.write_text("")
    halt = Halt(monkeypatch, files, "remove_links")
    verifier = Someone(lambda: [finding.kind for finding in verify(repair=True)])
    halt.reached()
    new = factories.repository(app.project, "new")
    pusher = Someone(lambda: push_as_clients_do(new, alice, image))
    pusher.is_waiting()
    halt.go_on()
    assert verifier.outcome() == ["leftover-damaged"]
    assert pusher.outcome() is None
    assert_whole(new, image)


# --- artifacts ----------------------------------------------------------------------------------------------
def test_a_tag_given_while_an_untagged_image_is_deleted_wins_or_is_refused(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = factories.push(app, alice, "v1")
    untag(image, alice)
    with transaction.atomic():
        tags.create(artifact=image, name="kept", actor=alice)
        deleter = Someone(lambda: artifacts.delete_unneeded(artifact=image, since=clock.now() + timedelta(hours=1)))
        assert deleter.is_waiting()
    assert deleter.outcome() is False
    Tag.objects.all().delete()
    with transaction.atomic():
        assert artifacts.delete_unneeded(artifact=image, since=clock.now() + timedelta(hours=1))
        tagger = Someone(lambda: tags.create(artifact=image, name="late", actor=alice))
        assert tagger.is_waiting()
    assert isinstance(tagger.outcome(), errors.NotFound)


def test_an_untagged_image_pushed_again_while_it_is_deleted_is_whole(app: Repository, alice: User) -> None:
    image = make_image(os.urandom(90))
    untag(factories.push(app, alice, "v1", image), alice)
    artifact = Artifact.objects.get()
    with transaction.atomic():
        assert artifacts.delete_unneeded(artifact=artifact, since=clock.now() + timedelta(hours=1))
        pusher = Someone(lambda: push_as_clients_do(app, alice, image, "again"))
        assert pusher.is_waiting()
    assert pusher.outcome() is None
    collect(delete_untagged=True)
    assert_whole(app, image)


def test_a_part_named_by_an_index_on_its_way_stays(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = make_image(os.urandom(90))
    factories.push(app, alice, None, child)
    index = oci.parse_manifest(make_index(child), oci.OCI_INDEX)
    halt = Halt(monkeypatch, manifest_repair, "store")
    pusher = Someone(lambda: artifacts.push(repository=app, manifest=index, tag="multi", actor=alice))
    halt.reached()
    assert collect(delete_untagged=True).untagged == 0
    halt.go_on()
    assert pusher.outcome().digest == index.digest
    assert_whole(app, child)


def test_a_part_that_went_before_its_index_began_refuses_the_index(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = make_image(os.urandom(90))
    factories.push(app, alice, None, child)
    index = oci.parse_manifest(make_index(child), oci.OCI_INDEX)
    halt = Halt(monkeypatch, artifacts, "begin")
    pusher = Someone(lambda: artifacts.push(repository=app, manifest=index, tag="multi", actor=alice))
    halt.reached()
    assert collect(delete_untagged=True).untagged == 1
    halt.go_on()
    assert isinstance(pusher.outcome(), errors.ManifestBlobUnknown)
    assert not Artifact.objects.live().exists()
    assert_sound()


def test_an_image_that_is_being_signed_stays(app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    image = factories.push(app, alice, None)
    subject = {"mediaType": image.media_type, "digest": image.digest, "size": image.manifest.size}
    signature = make_image(os.urandom(50), subject=subject)
    for content in signature.blobs.values():
        free_link(app, content)
    halt = Halt(monkeypatch, manifest_repair, "store")
    signer = Someone(
        lambda: artifacts.push(repository=app, manifest=factories.parsed(signature), tag=None, actor=alice)
    )
    halt.reached()
    assert collect(delete_untagged=True).untagged == 0
    halt.go_on()
    assert signer.outcome().subject_digest == image.digest
    assert Accessory.objects.count() == 1
    assert collect(delete_untagged=True).untagged == 0
    assert_sound()


def test_a_deleted_image_pushed_again_while_it_is_forgotten_is_whole(app: Repository, alice: User) -> None:
    image = make_image(os.urandom(90))
    gone = factories.push(app, alice, "v1", image)
    artifacts.delete(artifact=gone, actor=alice)
    with transaction.atomic():
        assert artifacts.purge(artifacts=[gone.pk]) == 1
        pusher = Someone(lambda: push_as_clients_do(app, alice, image))
        assert pusher.is_waiting()
    assert pusher.outcome() is None
    collect()
    assert_whole(app, image)


def test_a_deleted_image_that_is_being_pushed_again_is_not_forgotten(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image(os.urandom(90))
    gone = factories.push(app, alice, "v1", image)
    artifacts.delete(artifact=gone, actor=alice)
    halt = Halt(monkeypatch, manifest_repair, "store")
    pusher = Someone(lambda: push_as_clients_do(app, alice, image))
    halt.reached()
    assert collect().links == 0
    halt.go_on()
    assert pusher.outcome() is None
    assert Artifact.objects.get().pk == gone.pk
    assert_whole(app, image)


def test_bytes_of_a_manifest_dropped_while_it_is_pushed_come_back(app: Repository, alice: User) -> None:
    image = make_image(os.urandom(90))
    gone = factories.push(app, alice, "v1", image)
    artifacts.delete(artifact=gone, actor=alice)
    artifacts.purge(artifacts=[gone.pk])
    with transaction.atomic():
        candidates.forget_manifests([image.digest])
        assert not Manifest.objects.exists()
        pusher = Someone(lambda: push_as_clients_do(app, alice, image))
        assert pusher.is_waiting()
    assert pusher.outcome() is None
    assert_whole(app, image)


def test_bytes_of_a_manifest_that_is_being_pushed_stay(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image(os.urandom(90))
    gone = factories.push(app, alice, "v1", image)
    artifacts.delete(artifact=gone, actor=alice)
    artifacts.purge(artifacts=[gone.pk])
    halt = Halt(monkeypatch, artifacts, "record")
    pusher = Someone(lambda: push_as_clients_do(app, alice, image))
    halt.reached()
    candidates.forget_manifests([image.digest])
    assert Manifest.objects.exists()
    halt.go_on()
    assert pusher.outcome() is None
    assert_whole(app, image)


# --- copies and deletions ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("step", ["_mount_all", "_mount"])
def test_a_copy_of_what_is_deleted_and_collected_meanwhile_is_whole_or_refused(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    image = make_image(os.urandom(90))
    source = factories.push(app, alice, "v1", image)
    target = factories.repository(app.project, "copy")
    halt = Halt(monkeypatch, copies, step)
    copier = Someone(lambda: copies.copy(source=source, repository=target, actor=alice))
    halt.reached()
    artifacts.delete(artifact=source, actor=alice)
    collect()
    halt.go_on()
    assert isinstance(copier.outcome(), errors.NotFound)
    assert not Artifact.objects.exists()
    collect()
    assert stored() == set()


def test_a_copy_that_has_its_links_survives_its_source(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image(os.urandom(90))
    source = factories.push(app, alice, "v1", image)
    target = factories.repository(app.project, "copy")
    halt = Halt(monkeypatch, manifest_repair, "store")
    copier = Someone(lambda: copies.copy(source=source, repository=target, actor=alice))
    halt.reached()
    artifacts.delete(artifact=source, actor=alice)
    assert collect().links == 3
    halt.go_on()
    assert copier.outcome() is None
    assert_whole(target, image)


def test_a_repository_deleted_while_a_push_is_recorded_is_collected_wholly_or_not_at_all(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image(os.urandom(90))
    factories.push(app, alice, "old")
    halt = Halt(monkeypatch, artifacts, "record")
    pusher = Someone(lambda: push_as_clients_do(app, alice, image))
    halt.reached()
    repositories.delete(repository=app, actor=alice)
    assert collect().purged_manifests == 1
    halt.go_on()
    assert pusher.outcome() is None
    assert_whole(app, image)


def test_the_api_deletes_what_a_collection_wants_to_delete(app: Repository, alice: User) -> None:
    image = factories.push(app, alice, None)
    with transaction.atomic():
        artifacts.delete(artifact=image, actor=alice)
        collector = Someone(lambda: collect(delete_untagged=True))
        assert collector.is_waiting()
    assert collector.outcome().untagged == 0
    collect()
    assert stored() == set()
    assert_sound()


# --- runs --------------------------------------------------------------------------------------------------------
def test_a_second_run_waits_for_the_first(app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "GRACE", NOW)
    artifacts.delete(artifact=factories.push(app, alice), actor=alice)
    runs = [service.submit(GarbageCollection, trigger=Trigger.MANUAL) for _ in range(2)]
    first, second = (tasks_of(run)[0] for run in runs)
    halt = Halt(monkeypatch, files, "remove_links")
    worker = Someone(lambda: runner.run(first.id, worker="test/1"))
    halt.reached()
    assert claims.claim(second.id, worker="test/2") is None
    halt.go_on()
    assert worker.outcome() is None
    runner.run(second.id, worker="test/2")
    assert list(Execution.objects.values_list("status", flat=True)) == ["Success"] * 2
    assert stored() == set()


def test_a_run_that_is_stopped_in_its_middle_leaves_nothing_half_done(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "GRACE", NOW)
    monkeypatch.setattr(collection, "BATCH", 2)
    kept = factories.push(app, alice, "kept")
    for _ in range(4):
        artifacts.delete(artifact=factories.push(app, alice), actor=alice)
    before, halt = stored(), Halt(monkeypatch, files, "remove_links")
    stopped, later = (service.submit(GarbageCollection, trigger=Trigger.MANUAL) for _ in range(2))
    worker = Someone(lambda: runner.run(tasks_of(stopped)[0].id, worker="test/1"))
    halt.reached()
    orders.stop(stopped, actor="root")
    assert worker.is_waiting()
    halt.go_on()
    assert worker.outcome() is None
    run = Execution.objects.get(id=stopped.id)
    assert (run.status, run.extra_attrs["links"]) == ("Stopped", 2)
    # Its batch it has ended, and no other one begun.
    assert not RepositoryBlob.objects.filter(state=State.DELETING).exists()
    assert stored() == before
    assert_sound()
    runner.run(tasks_of(later)[0].id, worker="test/1")
    assert stored() == digests_of(kept)
    assert_sound()
