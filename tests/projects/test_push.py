"""The order of a manifest push (invariant I2), against the real registry."""

from __future__ import annotations

import functools
import json
import os
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from core import configuration, errors, oci
from core.models import Outbox
from core.store import client, files
from projects import artifacts, links, manifest_repair, quotas, repositories
from projects.models import (
    Accessory,
    Artifact,
    AuditLog,
    Manifest,
    Project,
    Quota,
    Reference,
    Repository,
    RepositoryBlob,
    Tag,
)
from rbac.models import User
from tests import factories
from tests.e2e.client import OCI_INDEX, Image, descriptor, make_bundle, make_image, make_index
from tests.old_registry import STORE

pytestmark = pytest.mark.django_db
State = RepositoryBlob.State


@pytest.fixture
def app(team: Project) -> Repository:
    return factories.repository(team, f"app{factories.number()}")


def after_the_put(monkeypatch: pytest.MonkeyPatch, happen: Callable[[], Any]) -> None:
    """Let something happen between the registry's PUT and the recording transaction."""
    real = client.put_manifest

    def put(**arguments: Any) -> None:
        real(**arguments)
        happen()

    monkeypatch.setattr(client, "put_manifest", put)


def test_a_push_is_recorded_wholly(app: Repository, alice: User) -> None:
    image = make_image()
    artifact = factories.push(app, alice, "v1", image)
    assert bytes(Manifest.objects.get(pk=image.digest).content) == image.manifest
    assert Tag.objects.get(repository=app, name="v1").artifact == artifact
    kinds = sorted(artifact.references.values_list("kind", flat=True))
    assert kinds == ["config", "layer", "layer", "self"]
    assert not Reference.objects.pending().exists()
    assert set(app.links.values_list("state", flat=True)) == {State.PRESENT}
    assert artifact.extra_attrs["architecture"] == "amd64"
    assert artifact.kind == "IMAGE"
    assert artifact.layer_chain == factories.parsed(image).layer_chain
    app.refresh_from_db()
    assert app.deleted is None
    audit = AuditLog.objects.get(operation="create", resource_type="artifact")
    assert (audit.username, audit.resource, audit.project_id) == ("alice", f"{app.name}:v1", app.project_id)
    assert Outbox.objects.get(topic="PUSH_ARTIFACT").payload["digest"] == image.digest
    assert files.data_size(image.digest) == len(image.manifest)


def test_no_tag_ever_reaches_the_registry(app: Repository, alice: User) -> None:
    factories.push(app, alice, "v1")
    store = files._store()
    found = store.filesystem.find(f"{store.root}/repositories/{app.name}")
    assert not [path for path in found if "/_manifests/tags/" in path]


def test_what_it_needs_is_protected_before_the_registry_hears_of_it(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image()
    seen: list[set[str]] = []

    def put(**_: Any) -> None:
        seen.append(set(Reference.objects.pending().values_list("digest", flat=True)))
        raise errors.StoreUnavailable

    monkeypatch.setattr(client, "put_manifest", put)
    with pytest.raises(errors.StoreUnavailable):
        factories.push(app, alice, "v1", image)
    assert seen == [{image.digest, *image.blobs}]
    assert not Artifact.objects.filter(repository=app).exists()
    # The outcome is unknown, so what it names stays protected until it expires.
    pending = Reference.objects.pending().filter(digest=image.digest).get()
    assert pending.expires is not None
    assert pending.expires > timezone.now() + timedelta(minutes=30)


def test_an_attempt_that_slept_too_long_records_nothing(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_the_put(monkeypatch, lambda: Reference.objects.pending().delete())
    with pytest.raises(errors.Unavailable, match="took too long"):
        factories.push(app, alice, "v1")
    assert not Artifact.objects.live().filter(repository=app).exists()
    assert not Tag.objects.filter(repository=app).exists()
    assert not Outbox.objects.filter(topic="PUSH_ARTIFACT").exists()


def test_a_layer_that_is_being_removed_meanwhile_stops_the_push(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image()
    layer = list(image.blobs)[1]
    claim = app.links.filter(blob__digest=layer)
    after_the_put(monkeypatch, lambda: claim.update(state=State.DELETING))
    with pytest.raises(errors.ManifestBlobUnknown):
        factories.push(app, alice, "v1", image)
    assert not Artifact.objects.live().filter(repository=app).exists()


def test_a_project_deleted_meanwhile_stops_the_push(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Project.objects.filter(pk=app.project_id)
    after_the_put(monkeypatch, lambda: rows.update(deleted=timezone.now()))
    with pytest.raises(errors.ProjectUnknown):
        factories.push(app, alice, "v1")
    assert not Artifact.objects.live().filter(repository=app).exists()


def test_read_only_mode_that_began_meanwhile_stops_the_push(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_the_put(monkeypatch, lambda: configuration.change(read_only=True))
    with pytest.raises(errors.ReadOnly):
        factories.push(app, alice, "v1")
    assert not Artifact.objects.live().filter(repository=app).exists()


def test_a_child_deleted_meanwhile_stops_the_index(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image()
    child = factories.push(app, alice, None, image)
    index = oci.parse_manifest(make_index(image), OCI_INDEX)
    rows = Artifact.objects.filter(pk=child.pk)
    after_the_put(monkeypatch, lambda: rows.update(deleted=timezone.now()))
    with pytest.raises(errors.ManifestBlobUnknown):
        artifacts.push(repository=app, manifest=index, tag="multi", actor=alice)


def test_a_child_of_a_pending_index_cannot_be_deleted(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image()
    child = factories.push(app, alice, None, image)
    index = oci.parse_manifest(make_index(image), OCI_INDEX)
    refused: list[bool] = []

    def delete() -> None:
        try:
            artifacts.delete(artifact=child, actor=alice)
        except errors.ManifestReferenced:
            refused.append(True)

    after_the_put(monkeypatch, delete)
    artifacts.push(repository=app, manifest=index, tag="multi", actor=alice)
    assert refused == [True]


def test_a_clear_no_of_the_registry_leaves_nothing_behind(
    app: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(**_: Any) -> None:
        raise errors.ManifestInvalid("no")

    monkeypatch.setattr(client, "put_manifest", put)
    with pytest.raises(errors.ManifestInvalid):
        factories.push(app, alice, "v1")
    assert not Reference.objects.pending().exists()


@pytest.mark.parametrize("damage", [b"", b"half of"])
def test_a_manifest_that_a_crash_truncated_is_mended_by_the_next_push(
    app: Repository, alice: User, damage: bytes
) -> None:
    """kill -9 in a PUT: the file is short, and a second PUT answers 201 without mending it."""
    image = make_image()
    for content in image.blobs.values():
        factories.upload(app, content)
    manifest = factories.parsed(image)
    client.put_manifest(
        repository=app.name, digest=image.digest, content=image.manifest, media_type=manifest.media_type
    )
    files.write_data(image.digest, damage)
    Reference.objects.create(
        repository=app, kind="self", digest=image.digest, size=1, media_type="x",
        attempt=uuid.uuid4(), expires=timezone.now() + timedelta(hours=1),
    )  # fmt: skip
    artifacts.push(repository=app, manifest=manifest, tag="v1", actor=alice)
    with files.open_data(image.digest) as data:
        assert data.read() == image.manifest


def test_a_repair_under_way_makes_others_wait(app: Repository, alice: User) -> None:
    image = make_image()
    with (
        manifest_repair._sole_repairer(image.digest),
        pytest.raises(errors.Unavailable, match="being repaired"),
        manifest_repair._sole_repairer(image.digest),
    ):
        pass
    with manifest_repair._sole_repairer(image.digest):
        pass


def test_pushed_again_it_is_one_artifact(app: Repository, alice: User) -> None:
    image = make_image()
    first = factories.push(app, alice, "v1", image)
    second = factories.push(app, alice, "v2", image)
    assert first == second
    assert first.references.count() == 4
    assert sorted(Tag.objects.filter(artifact=first).values_list("name", flat=True)) == ["v1", "v2"]
    assert Quota.objects.get(project=app.project).used == quotas.usage(project=app.project)


def test_deleted_and_pushed_again_it_takes_over_its_row(app: Repository, alice: User) -> None:
    image = make_image()
    first = factories.push(app, alice, "v1", image)
    artifacts.delete(artifact=first, actor=alice)
    assert quotas.usage(project=app.project) == 0
    assert Quota.objects.get(project=app.project).used == 0
    again = factories.push(app, alice, "v1", image)
    assert (again.pk, again.deleted) == (first.pk, None)
    assert again.references.count() == 4
    assert Quota.objects.get(project=app.project).used == quotas.usage(project=app.project) > 0


def test_a_moved_tag_leaves_the_old_artifact_untagged(app: Repository, alice: User) -> None:
    old, new = factories.push(app, alice, "latest"), factories.push(app, alice, "latest")
    assert Tag.objects.live().get(repository=app, name="latest").artifact == new
    assert Artifact.objects.live().filter(pk=old.pk).exists()


def test_a_blob_counts_once_per_project(app: Repository, alice: User) -> None:
    shared = b"s" * 10_000
    one, two = make_image(shared), make_image(shared)
    factories.push(app, alice, "one", one)
    other = factories.repository(app.project, "other")
    factories.push(other, alice, "two", two)
    sizes = {digest: len(content) for image in (one, two) for digest, content in image.blobs.items()}
    expected = sum(sizes.values()) + len(one.manifest) + len(two.manifest)
    assert quotas.usage(project=app.project) == expected
    assert Quota.objects.get(project=app.project).used == expected
    artifacts.delete(artifact=Artifact.objects.get(manifest_id=two.digest), actor=alice)
    assert Quota.objects.get(project=app.project).used == quotas.usage(project=app.project)


def test_a_push_over_the_quota_is_refused_and_leaves_nothing(alice: User) -> None:
    project = factories.project("small", alice, hard=5000)
    place = factories.repository(project, f"q{factories.number()}")
    factories.push(place, alice, "fits", make_image(b"x" * 3000))
    with pytest.raises(errors.QuotaExceeded, match=r"will exceed the configured upper limit of 4\.9 KiB"):
        factories.push(place, alice, "too-much", make_image(b"y" * 3000))
    assert not Tag.objects.filter(name="too-much").exists()
    assert Quota.objects.get(project=project).used == quotas.usage(project=project)


def test_where_quotas_are_switched_off_a_push_over_one_is_counted_only(alice: User) -> None:
    project = factories.project("small", alice, hard=100)
    place = factories.repository(project, f"q{factories.number()}")
    configuration.change(quota_per_project_enable=False)
    factories.push(place, alice, "large", make_image(b"x" * 3000))
    used = Quota.objects.get(project=project).used
    assert used == quotas.usage(project=project) > 3000
    configuration.change(quota_per_project_enable=True)
    with pytest.raises(errors.QuotaExceeded):
        factories.push(place, alice, "more", make_image(b"y" * 3000))


def test_deleting_an_image_with_two_accessories_takes_back_what_they_share_once(app: Repository, alice: User) -> None:
    image, shared = make_image(), os.urandom(500)
    subject = factories.push(app, alice, "v1", image)
    said = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest)}
    for number in range(2):
        factories.push(app, alice, None, make_image(os.urandom(50 + number), config=shared, subject=said))
    factories.push(app, alice, "stays", make_image())
    artifacts.delete(artifact=subject, actor=alice)
    assert Quota.objects.get(project=app.project).used == quotas.usage(project=app.project)


def test_an_accessory_goes_with_its_subject(app: Repository, alice: User) -> None:
    image = make_image()
    subject = factories.push(app, alice, "v1", image)
    document = json.loads(make_image().manifest)
    empty = factories.upload(app, b"{}")
    entry = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2}
    document.update(
        config=entry,
        layers=[entry],
        artifactType="application/vnd.cncf.notary.signature",
        subject={"mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest)},
    )
    content = json.dumps(document).encode()
    artifacts.push(repository=app, manifest=oci.parse_manifest(content, image.media_type), tag=None, actor=alice)
    accessory = Accessory.objects.get(subject_digest=image.digest)
    assert accessory.kind == "signature.notation"
    assert set(Artifact.objects.listed().filter(repository=app)) == {subject}
    artifacts.delete(artifact=subject, actor=alice)
    assert not Artifact.objects.live().filter(repository=app).exists()


def test_a_cnab_bundle_tells_what_its_configuration_says(app: Repository, alice: User) -> None:
    said = {"name": "helloworld", "version": "0.1.1", "invocationImages": [{"imageType": "docker"}]}
    part, bundle = make_bundle(said)
    factories.push(app, alice, None, part)
    pushed = factories.push(app, alice, "v1", bundle)
    assert (pushed.kind, pushed.extra_attrs) == ("CNAB", said)


def test_an_image_of_nydus_hangs_on_the_one_it_was_made_of(app: Repository, alice: User) -> None:
    image, fast = make_image(), make_image()
    document = json.loads(fast.manifest)
    document["layers"][-1]["annotations"] = {"containerd.io/snapshot/nydus-bootstrap": "true"}
    document["subject"] = descriptor(image.manifest, image.media_type)
    accelerator = Image(json.dumps(document).encode(), fast.blobs)
    for tag, each in (("v1", image), ("v1-nydus", accelerator)):
        factories.push(app, alice, tag, each)
    hung = Accessory.objects.get(subject_digest=image.digest)
    assert (hung.kind, hung.artifact.digest) == ("accelerator.nydus", accelerator.digest)


def test_a_list_shows_an_index_and_not_its_parts(app: Repository, alice: User) -> None:
    images = [make_image(), make_image()]
    parts = [factories.push(app, alice, None, image) for image in images]
    index = factories.push(app, alice, "multi", Image(make_index(*images), {}, OCI_INDEX))
    assert set(Artifact.objects.listed().filter(repository=app)) == {index}
    Tag.objects.create(repository=app, artifact=parts[0], name="amd64")
    assert set(Artifact.objects.listed().filter(repository=app)) == {index, parts[0]}


def test_a_deleted_repository_is_taken_over_with_its_links(app: Repository, alice: User) -> None:
    image = make_image()
    factories.push(app, alice, "v1", image)
    repositories.delete(repository=app, actor=alice)
    assert not Tag.objects.live().filter(repository=app).exists()
    assert quotas.usage(project=app.project) == 0
    with pytest.raises(errors.NotFound):
        repositories.delete(repository=app, actor=alice)
    again = repositories.ensure(project=app.project, name=oci.RepositoryName.parse(app.name))
    assert again.pk == app.pk
    factories.push(again, alice, "v1", image)
    again.refresh_from_db()
    assert again.deleted is None


def test_sizes_are_looked_up_in_the_store_only_once(app: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = factories.upload(app, b"x" * 777)
    assert links.sizes(repository=app, digests=[digest]) == {digest: 777}
    monkeypatch.setattr(files, "linked_size", lambda _: pytest.fail("looked up again"))
    assert links.sizes(repository=app, digests=[digest]) == {digest: 777}


@pytest.mark.django_db(transaction=True)
def test_a_deletion_and_an_index_push_at_once_leave_no_index_without_its_child() -> None:
    """Whoever comes first wins; the other is refused."""
    alice = factories.user("alice")
    app = factories.repository(factories.project("team", alice), f"race{factories.number()}")
    for _ in range(8):
        image = make_image(b"layer%d" % factories.number())
        child = factories.push(app, alice, None, image)
        index = oci.parse_manifest(make_index(image), OCI_INDEX)
        outcome: dict[str, str] = {}

        def run(name: str, work: Callable[[], Any], outcome: dict[str, str] = outcome) -> None:
            try:
                work()
                outcome[name] = "done"
            except errors.Refusal as refusal:
                outcome[name] = type(refusal).__name__
            finally:
                connection.close()

        jobs = {
            "delete": lambda child=child: artifacts.delete(artifact=child, actor=alice),
            "push": lambda index=index: artifacts.push(repository=app, manifest=index, tag="m", actor=alice),
        }
        threads = [threading.Thread(target=run, args=job) for job in jobs.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        child_lives = Artifact.objects.live().filter(pk=child.pk).exists()
        index_lives = Artifact.objects.live().filter(repository=app, manifest_id=index.digest).exists()
        assert child_lives or not index_lives, outcome
        assert "done" in outcome.values()


def test_a_push_reads_as_many_rows_in_a_full_repository_as_in_an_empty_one(app: Repository, alice: User) -> None:
    """Also before the tables were ever analyzed: then a join may begin at any end."""
    with connection.cursor() as cursor:
        # Tables of a few rows would be read from end to end, whatever the statement.
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
    counts = rows_read_by_pushes(app, alice)
    assert counts[-1] == counts[1]


def test_a_push_does_not_read_the_largest_tables_from_end_to_end_while_they_are_small(
    app: Repository, alice: User
) -> None:
    """A connection's plans outlive that time by far."""
    counts = rows_read_by_pushes(app, alice)
    for table in ("projects_blob", "projects_reference", "projects_manifest", "projects_artifact"):
        assert counts[-1].get(table) == counts[1].get(table), table


def rows_read_by_pushes(app: Repository, alice: User) -> list[dict[str, int]]:
    """What each of twelve pushes reads while Postgres knows nothing of the tables."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE relnamespace = 'public'::regnamespace;"
            "DELETE FROM pg_statistic USING pg_class"
            " WHERE starelid = pg_class.oid AND relnamespace = 'public'::regnamespace;"
            "DISCARD PLANS"
        )
    counts = []
    for number in range(12):
        image = make_image(os.urandom(300))
        for content in image.blobs.values():
            factories.upload(app, content)
        pushed = functools.partial(
            artifacts.push, repository=app, manifest=factories.parsed(image), tag=f"v{number}", actor=alice
        )
        counts.append(rows_read(pushed))
    return counts


def rows_read(happen: Callable[[], Any]) -> dict[str, int]:
    """Table → rows that Postgres fetched for what happens."""

    def so_far() -> dict[str, int]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
                " WHERE relname LIKE 'projects_%'"
            )
            return dict(cursor.fetchall())

    before = so_far()
    happen()
    return {table: count - before[table] for table, count in so_far().items() if count != before[table]}


@pytest.mark.parametrize("is_known", [True, False])
def test_a_link_that_the_registry_writes_again_at_this_moment_is_waited_for(
    app: Repository, alice: User, is_known: bool
) -> None:
    """Somebody else uploads or mounts the same blob: registry 2.8 empties the link before it writes it."""
    image = make_image(os.urandom(90))
    for content in image.blobs.values():
        digest = factories.upload(app, content)
        links.announce(repository=app, digest=digest)
        if is_known:
            factories.links_present(app, digest, len(content))
    path = STORE / "repositories" / app.name / "_layers" / "sha256" / digest.removeprefix("sha256:") / "link"
    path.write_text("")
    healing = threading.Timer(0.04, path.write_text, [digest])
    healing.start()
    artifacts.push(repository=app, manifest=factories.parsed(image), tag="v1", actor=alice)
    healing.join()
    assert Artifact.objects.live().filter(repository=app).exists()


def test_a_link_that_stays_empty_is_not_waited_for_for_long(app: Repository, alice: User) -> None:
    image = make_image(os.urandom(90))
    for content in image.blobs.values():
        digest = factories.upload(app, content)
        factories.links_present(app, digest, len(content))
    path = STORE / "repositories" / app.name / "_layers" / "sha256" / digest.removeprefix("sha256:") / "link"
    path.write_text("")
    with pytest.raises(errors.ManifestBlobUnknown):
        artifacts.push(repository=app, manifest=factories.parsed(image), tag="v1", actor=alice)
