"""Links to blobs: who keeps one and who removes one (invariant I14), against the real registry."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from core import errors, locks
from core.store import files
from projects import housekeeping, links, projects
from projects.models import Blob, Project, Repository, RepositoryBlob
from rbac.models import User
from tests import factories

pytestmark = pytest.mark.django_db
State = RepositoryBlob.State


@pytest.fixture
def app(team: Project) -> Repository:
    return factories.repository(team, f"links{factories.number()}")


def test_an_announcement_proves_nothing(app: Repository) -> None:
    digest = "sha256:" + "1" * 64
    links.announce(repository=app, digest=digest)
    link = app.links.get()
    assert (link.state, link.blob.state, link.blob.size) == (State.ANNOUNCED, Blob.State.ANNOUNCED, None)
    assert links.sizes(repository=app, digests=[digest]) == {}


def test_an_announcement_refreshes_and_does_not_weaken(app: Repository) -> None:
    digest = factories.upload(app, os.urandom(50))
    links.record_present(repository=app, digest=digest, size=50)
    app.links.update(touched=timezone.now() - timedelta(hours=5))
    links.announce(repository=app, digest=digest)
    link = app.links.get()
    assert link.state == State.PRESENT
    assert link.touched > timezone.now() - timedelta(minutes=1)


def test_in_a_deleted_project_nothing_is_announced(app: Repository) -> None:
    """Its links are removed by their names, also when others have made a project of that name by then."""
    Project.objects.update(deleted=timezone.now())
    with pytest.raises(errors.ProjectUnknown):
        links.announce(repository=app, digest="sha256:" + "8" * 64)
    assert not RepositoryBlob.objects.exists()


@pytest.mark.parametrize("what", ["link", "data"])
def test_an_announcement_waits_for_a_removal_and_then_says_so(
    app: Repository, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(links, "WAIT_SECONDS", 0.2)
    digest = "sha256:" + "2" * 64
    links.announce(repository=app, digest=digest)
    if what == "link":
        app.links.update(state=State.DELETING, touched=timezone.now())
    else:
        Blob.objects.filter(digest=digest).update(state=Blob.State.DELETING)
    with pytest.raises(errors.Unavailable, match="is being removed"):
        links.announce(repository=app, digest=digest)


def test_an_abandoned_removal_is_finished_by_whoever_meets_it(app: Repository) -> None:
    digest = factories.upload(app, os.urandom(50))
    links.record_present(repository=app, digest=digest, size=50)
    app.links.update(state=State.DELETING, touched=timezone.now() - timedelta(minutes=5))
    links.announce(repository=app, digest=digest)
    assert app.links.get().state == State.ANNOUNCED
    assert not factories.registry_has(app.name, digest)


def test_a_needed_blob_is_not_deleted_not_even_one_of_a_trashed_manifest(app: Repository, alice: User) -> None:
    from projects import artifacts  # what needs the blob

    artifact = factories.push(app, alice, "v1")
    layer = artifact.references.filter(kind="layer").values_list("digest", flat=True)[0]
    with pytest.raises(errors.BlobReferenced):
        links.delete_blob(repository=app, digest=layer)
    artifacts.delete(artifact=artifact, actor=alice)
    with pytest.raises(errors.BlobReferenced):
        links.delete_blob(repository=app, digest=layer)


def test_a_free_blob_is_deleted_here_and_stays_elsewhere(app: Repository) -> None:
    content = os.urandom(60)
    digest = factories.upload(app, content)
    other = factories.repository(app.project, f"links{factories.number()}")
    factories.upload(other, content)
    for place in (app, other):
        links.record_present(repository=place, digest=digest, size=60)
    links.delete_blob(repository=app, digest=digest)
    assert not factories.registry_has(app.name, digest)
    assert factories.registry_has(other.name, digest)
    with pytest.raises(errors.BlobUnknown):
        links.delete_blob(repository=app, digest=digest)


def test_a_blob_being_removed_is_not_touched(app: Repository) -> None:
    digest = factories.upload(app, os.urandom(50))
    links.record_present(repository=app, digest=digest, size=50)
    assert links.touch(repository_name=app.name, digest=digest)
    app.links.update(state=State.DELETING)
    assert not links.touch(repository_name=app.name, digest=digest)


def test_deleting_a_project_takes_its_links_away_and_frees_its_name(alice: User, mallory: User) -> None:
    name = f"gone{factories.number()}"
    old = factories.project(name, alice)
    place = factories.repository(old, "app")
    digest = factories.upload(place, b"secret" * 100)
    links.record_present(repository=place, digest=digest, size=600)
    projects.delete(project=old, actor=alice)
    assert not factories.registry_has(place.name, digest)
    again = projects.create(name=name, public=False, metadata={}, storage_limit=None, actor=mallory)
    assert again.pk != old.pk


def test_a_name_waits_until_the_registry_let_go_of_it(
    alice: User, mallory: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"waiting{factories.number()}"
    old = factories.project(name, alice)
    links.announce(repository=factories.repository(old, "app"), digest="sha256:" + "3" * 64)

    def away(*_: object) -> None:
        raise errors.StoreUnavailable

    monkeypatch.setattr(links, "WAIT_SECONDS", 0.2)
    with monkeypatch.context() as patched:
        patched.setattr(files, "remove_links", away)
        projects.delete(project=old, actor=alice)
        with pytest.raises(errors.Conflict, match="still being removed"):
            projects.create(name=name, public=False, metadata={}, storage_limit=None, actor=mallory)
    links.remove_links_of(project=old, seconds=60)
    projects.create(name=name, public=False, metadata={}, storage_limit=None, actor=mallory)


def test_of_a_large_project_that_is_deleted_housekeeping_removes_the_rest(
    alice: User, mallory: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits in a request for a hundred thousand links."""
    monkeypatch.setattr(links, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(links, "_BATCH", 2)
    name = f"large{factories.number()}"
    old = factories.project(name, alice)
    for place in (factories.repository(old, f"app{number}") for number in range(5)):
        links.record_present(repository=place, digest=factories.upload(place, os.urandom(50)), size=50)
    left = RepositoryBlob.objects.filter(repository__project=old)
    projects.delete(project=old, actor=alice)
    assert left.count() == 3
    with pytest.raises(errors.Conflict, match="still being removed"):
        projects.create(name=name, public=False, metadata={}, storage_limit=None, actor=mallory)
    housekeeping.remove_links_of_deleted_projects()
    assert left.count() == 0
    projects.create(name=name, public=False, metadata={}, storage_limit=None, actor=mallory)


def test_of_many_deleted_projects_housekeeping_removes_what_there_is_time_for_in_the_order_of_deletions(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks at a screen may wait for its process; the next minute goes on."""
    monkeypatch.setattr(links, "_BATCH", 1)
    # Time for a batch.
    monkeypatch.setattr(housekeeping, "_REMOVAL_SECONDS", 0.0)
    second, first = (factories.project(f"{name}{factories.number()}", alice) for name in ("second", "first"))
    for project in (second, first):
        for place in (factories.repository(project, f"app{number}") for number in range(2)):
            links.record_present(repository=place, digest=factories.upload(place, os.urandom(50)), size=50)
    for project in (first, second):
        Project.objects.filter(pk=project.pk).update(deleted=timezone.now())
    left = []
    for _ in range(4):
        housekeeping.remove_links_of_deleted_projects()
        left.append([RepositoryBlob.objects.filter(repository__project=each).count() for each in (first, second)])
    assert left == [[1, 2], [0, 2], [0, 1], [0, 0]]


def test_housekeeping_waits_for_nobody_longer_than_it_has_time(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "_REMOVAL_SECONDS", 0.5)
    held = factories.project(f"held{factories.number()}", alice)
    links.announce(repository=factories.repository(held, "app"), digest="sha256:" + "4" * 64)
    Project.objects.filter(pk=held.pk).update(deleted=timezone.now())
    with locks.shared(links.removals_in(held.pk)):
        began = time.monotonic()
        housekeeping.remove_links_of_deleted_projects()
        assert time.monotonic() - began < links.WAIT_SECONDS / 2
    assert RepositoryBlob.objects.filter(repository__project=held).exists()


@pytest.mark.django_db(transaction=True)
def test_who_keeps_waits_for_who_removes() -> None:
    """A remover holds the link FOR UPDATE; an announcement in that moment must not slip past it."""
    alice = factories.user("alice")
    app = factories.repository(factories.project("team", alice), f"lock{factories.number()}")
    digest = factories.upload(app, os.urandom(50))
    links.record_present(repository=app, digest=digest, size=50)
    order: list[str] = []

    def announce() -> None:
        links.announce(repository=app, digest=digest)
        order.append("announced")
        connection.close()

    with transaction.atomic():
        link = RepositoryBlob.objects.select_for_update().get(repository=app)
        thread = threading.Thread(target=announce)
        thread.start()
        time.sleep(0.3)
        link.state = State.DELETING
        link.touched = timezone.now()
        link.save()
        order.append("claimed")
    time.sleep(0.3)
    order.append("removed")
    RepositoryBlob.objects.filter(pk=link.pk).delete()
    thread.join(15)
    assert order == ["claimed", "removed", "announced"]


@pytest.mark.django_db(transaction=True)
def test_who_counts_on_a_link_hears_when_it_is_claimed_meanwhile() -> None:
    alice = factories.user("alice")
    app = factories.repository(factories.project("team", alice), f"claim{factories.number()}")
    digest = "sha256:" + "7" * 64
    links.record_present(repository=app, digest=digest, size=50)
    heard: list[bool] = []

    def touch() -> None:
        heard.append(links.touch(repository_name=app.name, digest=digest))
        connection.close()

    with transaction.atomic():
        link = RepositoryBlob.objects.select_for_update().get(repository=app)
        thread = threading.Thread(target=touch)
        thread.start()
        time.sleep(0.3)
        assert heard == [], "it waits for the claim's end"
        RepositoryBlob.objects.filter(pk=link.pk).update(state=State.DELETING)
    thread.join(15)
    assert heard == [False]


@pytest.mark.django_db(transaction=True)
def test_a_blob_that_is_claimed_meanwhile_is_not_called_present() -> None:
    """Its lock is waited for, and its row is judged as it is then."""
    alice = factories.user("alice")
    app = factories.repository(factories.project("team", alice), f"late{factories.number()}")
    digests = ["sha256:" + digit * 64 for digit in "123"]
    Blob.objects.bulk_create(Blob(digest=digest, state=Blob.State.ANNOUNCED) for digest in digests)

    def record() -> None:
        links.record_all_present(repository=app, sizes=dict.fromkeys(digests, 50))
        connection.close()

    with transaction.atomic():
        Blob.objects.filter(digest=digests[1]).update(state=Blob.State.DELETING)
        thread = threading.Thread(target=record)
        thread.start()
        time.sleep(0.3)
        assert thread.is_alive(), "it waits for the claim's end"
    thread.join(15)
    states = dict(Blob.objects.values_list("digest", "state"))
    assert [states[digest] for digest in digests] == ["present", "deleting", "present"]
    linked = RepositoryBlob.objects.filter(repository=app).values_list("blob__digest", flat=True)
    assert sorted(linked) == [digests[0], digests[2]]


@pytest.mark.django_db(transaction=True)
def test_many_first_announcements_of_one_digest_all_succeed() -> None:
    alice = factories.user("alice")
    project = factories.project("team", alice)
    places = [factories.repository(project, f"many{number}") for number in range(6)]
    problems: list[Exception] = []

    def announce(place: Repository, digest: str) -> None:
        try:
            links.announce(repository=place, digest=digest)
        except Exception as problem:
            problems.append(problem)
        finally:
            connection.close()

    for number in range(10):
        digest = f"sha256:{number:064x}"
        threads = [threading.Thread(target=announce, args=(place, digest)) for place in places]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert RepositoryBlob.objects.filter(blob__digest=digest).count() == len(places)
