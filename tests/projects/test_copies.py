"""Copying artifacts, against the real registry: Alice owns `team` and `other`, Bob develops in `team`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings

from core import clock, configuration, errors, oci
from core.models import Outbox
from core.store import client, files
from core.store.files import Link
from projects import artifacts, copies, links, quotas, repositories
from projects.housekeeping import drop_expired_attempts
from projects.models import Accessory, Artifact, AuditLog, Project, Quota, Reference, Repository, RepositoryBlob, Tag
from rbac.roles import Role
from tests import factories
from tests.e2e.client import EMPTY, OCI_INDEX, OCI_MANIFEST, Image, descriptor, make_image, make_index
from tests.rest import Api, code
from tests.rows import Story, add_member, make_project, make_robot

pytestmark = pytest.mark.django_db


@pytest.fixture
def app(story: Story) -> Repository:
    return factories.repository(story.team, f"app{factories.number()}")


@pytest.fixture
def other(story: Story) -> Project:
    """Another project of Alice's."""
    return make_project("other", story.alice)


@pytest.fixture
def target(other: Project) -> Repository:
    return factories.repository(other, f"copy/of{factories.number()}")


def url(target: Repository, source: str = "") -> str:
    path = f"/projects/{target.name.partition('/')[0]}/repositories/{target.name_in_project.replace('/', '%252F')}"
    return f"{path}/artifacts?from={source}" if source else f"{path}/artifacts"


def image_of(repository: Repository, tag: str) -> Artifact | None:
    found: Artifact | None = Artifact.objects.live().filter(repository=repository, tags__name=tag).first()
    return found


def tags_of(artifact: Artifact) -> set[str]:
    return set(Tag.objects.live().filter(artifact=artifact).values_list("name", flat=True))


def is_pullable(repository: Repository, image: Image) -> bool:
    """Whether the real registry has all of it."""
    manifest = client.get_manifest(repository=repository.name, digest=image.digest)
    blobs = all(factories.registry_has(repository.name, digest) for digest in image.blobs)
    return manifest == image.manifest and blobs


def hang(repository: Repository, story: Story, subject: bytes, artifact_type: str, tag: str | None = None) -> Artifact:
    """Push something with a subject."""
    content = os.urandom(50)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": descriptor(b"{}", EMPTY),
        "layers": [descriptor(content, "application/octet-stream")],
        "subject": descriptor(subject, OCI_MANIFEST),
    }
    blobs = {oci.digest_of(blob): blob for blob in (b"{}", content)}
    return factories.push(repository, story.alice, tag, Image(json.dumps(document).encode(), blobs))


def during(monkeypatch: pytest.MonkeyPatch, name: str, happen: Callable[[], Any]) -> None:
    """Let something happen right after a call of the registry."""
    real = getattr(client, name)

    def call(**arguments: Any) -> Any:
        answer = real(**arguments)
        happen()
        return answer

    monkeypatch.setattr(client, name, call)


# --- what is there afterwards --------------------------------------------------------------------------------
def test_a_copy_has_the_tags_and_the_blobs_of_its_source(story: Story, app: Repository, target: Repository) -> None:
    image = make_image()
    source = factories.push(app, story.alice, "v1", image)
    artifacts.push(repository=app, manifest=factories.parsed(image), tag="stable", actor=story.alice)
    answer = Api(story.alice).post(url(target, f"{app.name}:v1"))
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer["Location"].endswith("/artifacts/v1")
    shown = Api(story.alice).get(answer["Location"]).json()
    assert shown["digest"] == image.digest
    copy = image_of(target, "v1")
    assert copy is not None
    assert tags_of(copy) == {"v1", "stable"}
    same = ("media_type", "config_media_type", "kind", "size", "layer_chain", "extra_attrs", "annotations")
    assert [getattr(copy, name) for name in same] == [getattr(source, name) for name in same]
    assert is_pullable(target, image)
    assert not Reference.objects.pending().exists()
    assert set(target.links.values_list("state", flat=True)) == {RepositoryBlob.State.PRESENT}
    assert quotas.usage(project=target.project) == Quota.objects.get(project=target.project).used > 0
    events = Outbox.objects.filter(topic="PUSH_ARTIFACT", payload__repository=target.name)
    assert sorted(event.payload["tag"] for event in events) == ["stable", "v1"]
    assert AuditLog.objects.filter(resource=f"{target.name}:v1", operation="create", username="alice").exists()


def test_by_digest(story: Story, app: Repository, target: Repository) -> None:
    image = make_image()
    factories.push(app, story.alice, None, image)
    answer = Api(story.alice).post(url(target, f"{app.name}@{image.digest}"))
    assert answer.status_code == 201
    assert answer["Location"].endswith(f"/artifacts/{image.digest}")
    assert is_pullable(target, image)


def test_no_bytes_move(story: Story, app: Repository, target: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, int]] = []
    real = client._send

    def send(method: str, address: str, headers: Any, data: bytes | None) -> Any:
        sent.append((method, len(data or b"")))
        return real(method, address, headers, data)

    image = make_image(os.urandom(100_000), os.urandom(200_000))
    factories.push(app, story.alice, "v1", image)
    monkeypatch.setattr(client, "_send", send)
    assert Api(story.alice).post(url(target, f"{app.name}:v1")).status_code == 201
    # Three mounts and the manifest.
    assert sent == [("POST", 0)] * 3 + [("PUT", len(image.manifest))]


def test_the_copy_stays_whole_when_its_source_and_the_sources_links_are_gone(
    story: Story, app: Repository, target: Repository
) -> None:
    image = make_image()
    factories.push(app, story.alice, "v1", image)
    assert Api(story.alice).post(url(target, f"{app.name}:v1")).status_code == 201
    repositories.delete(repository=app, actor=story.alice)
    links.remove_links_of(project=story.team, seconds=60)
    assert not factories.registry_has(app.name, next(iter(image.blobs)))
    assert is_pullable(target, image)


def test_an_index_comes_with_its_parts_and_what_hangs_on_them(
    story: Story, app: Repository, target: Repository
) -> None:
    parts = [make_image(), make_image()]
    for place, part in enumerate(parts):
        factories.push(app, story.alice, f"part{place}", part)
    content = make_index(*parts)
    artifacts.push(repository=app, manifest=oci.parse_manifest(content, OCI_INDEX), tag="v1", actor=story.alice)
    sbom = hang(app, story, parts[0].manifest, "application/vnd.goharbor.harbor.sbom.v1")
    digest = oci.digest_of(content)
    signature = hang(app, story, content, "application/vnd.cncf.notary.signature")
    of_signature = hang(app, story, bytes(signature.manifest.content), "application/vnd.example.note")
    assert Api(story.alice).post(url(target, f"{app.name}:v1")).status_code == 201
    for part in parts:
        assert is_pullable(target, part)
        copy = Artifact.objects.live().get(repository=target, manifest=part.digest)
        assert tags_of(copy) == set(), "only the tags of what was asked for"
    assert client.get_manifest(repository=target.name, digest=digest) == content
    kinds = dict(Accessory.objects.filter(repository=target).values_list("artifact__manifest_id", "kind"))
    assert kinds == {
        sbom.digest: "sbom.harbor",
        signature.digest: "signature.notation",
        of_signature.digest: "subject.accessory",
    }
    listed = Api(story.alice).get(url(target) + "?with_accessory=true").json()
    assert [row["digest"] for row in listed] == [digest]
    assert [each["digest"] for each in listed[0]["accessories"]] == [signature.digest]


def test_cosigns_signatures_keep_their_tag_and_hang_on_the_copy(
    story: Story, app: Repository, target: Repository
) -> None:
    image = make_image()
    factories.push(app, story.alice, "v1", image)
    tag = image.digest.replace(":", "-") + ".sig"
    simple = "application/vnd.dev.cosign.simplesigning.v1+json"
    factories.push(app, story.alice, tag, make_image(os.urandom(90), layer_type=simple))
    lost = make_image(os.urandom(90), layer_type=simple)
    factories.push(app, story.alice, image.digest.replace(":", "-") + ".att", lost)
    Tag.objects.filter(repository=app, name__endswith=".att").update(deleted=clock.now())
    factories.push(app, story.alice, "unrelated")
    assert Api(story.alice).post(url(target, f"{app.name}:v1")).status_code == 201
    copy = image_of(target, "v1")
    assert copy is not None
    here = set(Tag.objects.live().filter(repository=target).values_list("name", flat=True))
    assert here == {"v1", tag}
    hanging = Accessory.objects.filter(repository=target)
    assert set(hanging.values_list("subject_digest", flat=True)) == {image.digest}
    assert hanging.count() == 2
    assert hanging.get(artifact__tags__name=tag).kind == "signature.cosign"


def test_onto_itself_changes_nothing(story: Story, app: Repository) -> None:
    source = factories.push(app, story.alice, "v1")
    assert Api(story.alice).post(url(app, f"{app.name}:v1")).status_code == 201
    again = Artifact.objects.get(pk=source.pk)
    assert (again.pushed, tags_of(again)) == (source.pushed, {"v1"})
    assert AuditLog.objects.filter(resource=f"{app.name}:v1").count() == 1


def test_again_moves_the_tags_and_brings_what_came_since(story: Story, app: Repository, target: Repository) -> None:
    image = make_image()
    factories.push(app, story.alice, "v1", image)
    assert Api(story.alice).post(url(target, f"{app.name}:v1")).status_code == 201
    factories.push(target, story.alice, "v1")
    signature = hang(app, story, image.manifest, "application/vnd.cncf.notary.signature")
    assert Api(story.alice).post(url(target, f"{app.name}:v1")).status_code == 201
    copy = image_of(target, "v1")
    assert copy is not None
    assert copy.digest == image.digest
    assert Accessory.objects.filter(repository=target, artifact__manifest=signature.digest).exists()
    assert quotas.usage(project=target.project) == Quota.objects.get(project=target.project).used


def test_into_another_repository_of_the_same_project_costs_no_storage(story: Story, app: Repository) -> None:
    factories.push(app, story.alice, "v1")
    used = Quota.objects.get(project=story.team).used
    beside = factories.repository(story.team, "beside")
    Quota.objects.filter(project=story.team).update(hard=used)
    assert Api(story.bob).post(url(beside, f"{app.name}:v1")).status_code == 201
    assert Quota.objects.get(project=story.team).used == used


def test_a_repository_that_was_deleted_lives_again(story: Story, app: Repository, target: Repository) -> None:
    image = make_image()
    factories.push(app, story.alice, "v1", image)
    factories.push(target, story.alice, "v1", image)
    repositories.delete(repository=target, actor=story.alice)
    assert Api(story.alice).post(url(target, f"{app.name}:v1")).status_code == 201
    assert image_of(target, "v1") is not None
    assert is_pullable(target, image)


# --- who may -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("who", "status"),
    [("admin", 201), ("alice", 201), ("bob", 403), ("carol", 403), ("mallory", 403), (None, 401)],
)
def test_who_may_copy_into_a_project(
    story: Story, app: Repository, target: Repository, who: str | None, status: int
) -> None:
    """Alice owns both; Bob may pull from the source alone."""
    factories.push(app, story.alice, "v1")
    assert Api(getattr(story, who) if who else None).post(url(target, f"{app.name}:v1")).status_code == status
    assert (image_of(target, "v1") is not None) == (status == 201)


def test_whoever_may_pull_may_copy_into_his_own(story: Story, app: Repository) -> None:
    factories.push(app, story.alice, "v1")
    mine = factories.repository(make_project("carols", story.carol), "app")
    assert Api(story.carol).post(url(mine, f"{app.name}:v1")).status_code == 201


def test_a_source_out_of_reach_looks_like_none(story: Story, app: Repository) -> None:
    factories.push(app, story.alice, "v1")
    mine = factories.repository(make_project("mallorys", story.mallory), "app")
    answers = [Api(story.mallory).post(url(mine, source)) for source in (f"{app.name}:v1", "team/none:v1", "no/app:v1")]
    assert {(answer.status_code, answer.content) for answer in answers} == {(403, answers[0].content)}
    assert Api(story.admin).post(url(mine, "no/app:v1")).status_code == 404
    assert not Artifact.objects.filter(repository=mine).exists()


def test_a_guest_of_some_tags_copies_none_of_them(story: Story, app: Repository) -> None:
    factories.push(app, story.alice, "v1")
    add_member(story.team, story.mallory, Role.GUEST, {"**": ["v1*"]})
    mine = factories.repository(make_project("mallorys", story.mallory), "app")
    assert Api(story.mallory).get(url(app)).status_code == 200
    assert Api(story.mallory).post(url(mine, f"{app.name}:v1")).status_code == 403
    # Nor may he copy into the project.
    assert Api(story.mallory).post(url(app, f"{app.name}:v1")).status_code == 403


@pytest.mark.parametrize(
    ("access", "status"),
    [
        (["artifact:create", "artifact:read", "repository:push"], 201),
        (["artifact:create", "artifact:read", "repository:pull"], 403),
        (["artifact:create", "repository:push"], 403),
        (["artifact:read", "repository:push"], 403),
    ],
)
def test_a_robot_needs_every_right_of_it(story: Story, app: Repository, access: list[str], status: int) -> None:
    factories.push(app, story.alice, "v1")
    beside = factories.repository(story.team, "beside")
    robot = make_robot(story.team, access)
    assert Api(robot).post(url(beside, f"{app.name}:v1")).status_code == status


# --- what cannot be copied ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("team/{app}:none", 404),
        ("team/{app}@sha256:" + "0" * 64, 404),
        ("team/none:v1", 404),
        ("team/{app}", 400),
        ("team/{app}:", 400),
        ("team/{app}@sha256:0", 400),
        ("team/{app}:-x", 400),
        ("{app}:v1", 400),
        ("TEAM/{app}:v1", 400),
        ("team/{app}:v1@", 201),
        ("", 422),
    ],
)
def test_sources_that_are_none(story: Story, app: Repository, target: Repository, source: str, status: int) -> None:
    factories.push(app, story.alice, "v1")
    wanted = source.format(app=app.name_in_project)
    answer = Api(story.alice).post(f"{url(target)}?from={wanted}")
    assert answer.status_code == status, answer.content
    assert status == 201 or answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("name", ["App", "a b", "a%252F", "-a"])
def test_targets_that_are_none(story: Story, app: Repository, name: str) -> None:
    factories.push(app, story.alice, "v1")
    answer = Api(story.alice).post(f"/projects/team/repositories/{name}/artifacts?from={app.name}:v1")
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")


def test_a_signature_is_not_copied_by_itself(story: Story, app: Repository, target: Repository) -> None:
    image = make_image()
    factories.push(app, story.alice, "v1", image)
    signature = hang(app, story, image.manifest, "application/vnd.cncf.notary.signature")
    answer = Api(story.alice).post(url(target, f"{app.name}@{signature.digest}"))
    assert (answer.status_code, code(answer)) == (403, "DENIED")


@pytest.mark.parametrize("limit", ["MOST_MANIFESTS", "MOST_BYTES", "MOST_BLOBS"])
def test_more_than_one_request_can_do(
    story: Story, app: Repository, target: Repository, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    image = make_image()
    factories.push(app, story.alice, "v1", image)
    hang(app, story, image.manifest, "application/vnd.example.note")
    monkeypatch.setattr(copies, limit, 1)
    answer = Api(story.alice).post(url(target, f"{app.name}:v1"))
    assert (answer.status_code, code(answer)) == (412, "PRECONDITION")
    assert "skopeo copy --all" in answer.json()["errors"][0]["message"]
    assert not Reference.objects.pending().exists()


def test_what_does_not_fit_into_the_quota_is_not_there(story: Story, app: Repository, target: Repository) -> None:
    factories.push(app, story.alice, "v1")
    Quota.objects.filter(project=target.project).update(hard=100)
    answer = Api(story.alice).post(url(target, f"{app.name}:v1"))
    assert (answer.status_code, code(answer)) == (403, "DENIED")
    assert "will exceed the configured upper limit" in answer.json()["errors"][0]["message"]
    assert not Artifact.objects.filter(repository=target).exists()
    assert not Tag.objects.filter(repository=target).exists()


def test_nothing_is_copied_in_read_only_mode(
    story: Story, app: Repository, target: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.push(app, story.alice, "v1")
    during(monkeypatch, "put_manifest", lambda: configuration.change(read_only=True))
    for _ in ("it begins meanwhile", "it holds"):
        answer = Api(story.alice).post(url(target, f"{app.name}:v1"))
        assert (answer.status_code, code(answer)) == (403, "DENIED")
        assert not Artifact.objects.filter(repository=target).exists()


# --- what goes wrong ---------------------------------------------------------------------------------------------
def test_a_blob_that_the_source_has_lost_comes_from_whoever_has_it(
    story: Story, app: Repository, target: Repository
) -> None:
    image = make_image()
    factories.push(app, story.alice, "v1", image)
    holder = factories.repository(make_project("hidden", story.admin), "x")
    factories.push(holder, story.admin, "v1", image)
    lost = list(image.blobs)[1]
    files.remove_links(Link(app.name, "layer", lost))
    assert Api(story.alice).post(url(target, f"{app.name}:v1")).status_code == 201
    assert is_pullable(target, image)
    # The upload that the registry began instead of the mount was cancelled; registry 2.8 leaves a hash's state.
    store = files._store()
    left = store.filesystem.find(f"{store.root}/repositories/{target.name}/_uploads")
    assert [path for path in left if "/hashstates/" not in path] == []


def test_a_blob_that_nobody_has_is_said_and_leaves_nothing(story: Story, app: Repository, target: Repository) -> None:
    image = make_image()
    factories.push(app, story.alice, "v1", image)
    lost = list(image.blobs)[1]
    files.remove_links(Link(app.name, "layer", lost))
    answer = Api(story.alice).post(url(target, f"{app.name}:v1"))
    assert answer.status_code == 404
    assert lost in answer.json()["errors"][0]["message"]
    assert not Artifact.objects.filter(repository=target).exists()
    assert not Reference.objects.pending().exists()


def test_a_link_of_the_source_that_is_being_removed_is_not_counted_on(
    story: Story, app: Repository, target: Repository
) -> None:
    factories.push(app, story.alice, "v1")
    app.links.update(state=RepositoryBlob.State.DELETING)
    assert Api(story.alice).post(url(target, f"{app.name}:v1")).status_code == 404


def test_the_sources_links_are_touched_so_that_nobody_removes_them_meanwhile(
    story: Story, app: Repository, target: Repository
) -> None:
    factories.push(app, story.alice, "v1")
    app.links.update(touched=clock.now() - timedelta(days=1))
    assert Api(story.alice).post(url(target, f"{app.name}:v1")).status_code == 201
    young = app.links.filter(kind="layer", touched__gt=clock.now() - timedelta(minutes=1))
    assert young.count() == 2


@pytest.mark.parametrize("step", ["mount_blob", "put_manifest"])
def test_whoever_dies_in_the_middle_leaves_only_what_expires(
    story: Story, app: Repository, target: Repository, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    image = make_image()
    factories.push(app, story.alice, "v1", image)

    def die() -> None:
        raise SystemExit("kill -9")

    with monkeypatch.context() as meanwhile:
        during(meanwhile, step, die)
        with pytest.raises(SystemExit):
            copies.copy(source=image_of(app, "v1"), repository=target, actor=story.alice)  # type: ignore[arg-type]
    assert not Artifact.objects.filter(repository=target).exists()
    assert not Tag.objects.filter(repository=target).exists()
    assert Api(story.alice).get(url(target)).status_code == 404
    # What it announced is protected for a while, then forgotten.
    pending = Reference.objects.pending().filter(repository=target)
    assert set(pending.values_list("digest", flat=True)) == {image.digest, *image.blobs}
    pending.update(expires=clock.now() - timedelta(seconds=1))
    drop_expired_attempts()
    assert not Reference.objects.filter(repository=target).exists()
    assert Api(story.alice).post(url(target, f"{app.name}:v1")).status_code == 201
    assert is_pullable(target, image)


def test_an_attempt_that_slept_too_long_records_nothing(
    story: Story, app: Repository, target: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.push(app, story.alice, "v1")
    during(monkeypatch, "put_manifest", lambda: Reference.objects.pending().delete())
    answer = Api(story.alice).post(url(target, f"{app.name}:v1"))
    assert answer.status_code == 503
    assert not Artifact.objects.live().filter(repository=target).exists()


def test_a_registry_that_is_down_is_said_and_shows_nothing(
    story: Story, app: Repository, target: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image()
    factories.push(app, story.alice, "v1", image)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(settings, "REGISTRY_URL", settings.REGISTRY_URL.replace("registry.sock", "nothing.sock"))
        answer = Api(story.alice).post(url(target, f"{app.name}:v1"))
    assert (answer.status_code, code(answer)) == (503, "UNAVAILABLE")
    assert "does not answer" in answer.json()["errors"][0]["message"]
    assert Api(story.alice).get(url(target)).status_code == 404
    assert Api(story.alice).post(url(target, f"{app.name}:v1")).status_code == 201
    assert is_pullable(target, image)


def test_a_project_deleted_meanwhile_stops_the_copy(
    story: Story, app: Repository, target: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.push(app, story.alice, "v1")
    rows = Project.objects.filter(pk=target.project_id)
    during(monkeypatch, "put_manifest", lambda: rows.update(deleted=clock.now()))
    assert Api(story.alice).post(url(target, f"{app.name}:v1")).status_code == 404
    assert not Artifact.objects.filter(repository=target).exists()


def test_a_part_that_goes_meanwhile_stops_the_copy(
    story: Story, app: Repository, target: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = make_image()
    factories.push(app, story.alice, None, part)
    there = factories.push(target, story.alice, None, part)
    index = oci.parse_manifest(make_index(part), OCI_INDEX)
    artifacts.push(repository=app, manifest=index, tag="v1", actor=story.alice)
    rows = Artifact.objects.filter(pk=there.pk)
    during(monkeypatch, "put_manifest", lambda: rows.update(deleted=clock.now()))
    with pytest.raises(errors.ManifestBlobUnknown):
        copies.copy(source=image_of(app, "v1"), repository=target, actor=story.alice)  # type: ignore[arg-type]
    assert not Artifact.objects.live().filter(repository=target).exists()
