"""manage.py adopt and export-tags: a store of the stock registry becomes Wharf's, and goes back."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone
from pytest_django import Settings

from core import configuration
from core.models import Outbox
from core.store import files
from projects import artifacts, links, repositories, stored_manifests, tags
from projects.models import (
    Accessory,
    Artifact,
    AuditLog,
    Member,
    Project,
    Quota,
    Reference,
    Repository,
    RepositoryBlob,
    Tag,
)
from rbac.models import User
from rbac.roles import Role
from registry import adoption
from registry.verify import Finding, verify
from tests import bucket, factories, old_registry
from tests.e2e.client import Image, descriptor, digest_of, make_bundle, make_image, make_index

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_store", "admin")]
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def adopt(*options: str) -> str:
    """What the command prints; everything must have been taken over."""
    output = StringIO()
    call_command("adopt", *options, stdout=output)
    return output.getvalue()


def findings(owner: User, **options: bool) -> list[Finding]:
    return [each for each in adoption.adopt(owner=owner, **options) if isinstance(each, Finding)]


def kinds(owner: User, **options: bool) -> list[str]:
    return [each.kind for each in findings(owner, **options)]


def tags_of(name: str) -> dict[str, str]:
    return dict(Tag.objects.live().filter(repository__name=name).values_list("name", "artifact__manifest_id"))


def everything_in_postgres() -> dict[str, int]:
    models: tuple[Any, ...] = (Project, Repository, Artifact, Reference, RepositoryBlob, Tag, AuditLog, Outbox)
    return {model.__name__: model.objects.count() for model in models}


def files_of_the_store() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in old_registry.STORE.rglob("*") if path.is_file()}


# --- what is taken over -------------------------------------------------------------------------------------------
def test_an_image_is_taken_over_wholly(admin: User) -> None:
    config = json.dumps({"architecture": "arm64", "os": "linux", "author": "Alice"}).encode()
    image = make_image(os.urandom(300), config=config)
    digest = old_registry.push("shop/web/front", image, "v1", "latest")
    assert "took over 1 manifests and 2 tags in 1 repositories, 0 things are left" in adopt()

    artifact = Artifact.objects.live().get(repository__name="shop/web/front")
    assert (artifact.digest, artifact.kind, artifact.extra_attrs["architecture"]) == (digest, "IMAGE", "arm64")
    assert bytes(artifact.manifest.content) == image.manifest
    assert tags_of("shop/web/front") == {"v1": digest, "latest": digest}
    project = Project.objects.get(name="shop")
    assert (project.public, project.owner) == (False, admin)
    assert Member.objects.get(project=project).role == Role.PROJECT_ADMIN
    assert project.quota.used == len(image.manifest) + 300 + len(config)
    assert old_registry.tags("shop/web/front") == {}
    assert list(verify(deep=True)) == []


def test_the_rows_are_those_that_a_push_writes(alice: User) -> None:
    """Pushed through the door and adopted, the same image gives the same rows."""
    pushed, image = factories.project("pushed", alice), make_image(os.urandom(300), annotations={"a": "b"})
    through_the_door = factories.push(factories.repository(pushed), alice, "v1", image)
    old_registry.push("adopted/app", image, "v1")
    adopt()
    adopted = Artifact.objects.get(repository__name="adopted/app")
    facts = ("media_type", "config_media_type", "artifact_type", "kind", "size", "layer_chain", "annotations",
             "extra_attrs", "subject_digest")  # fmt: skip
    assert {fact: getattr(adopted, fact) for fact in facts} == {fact: getattr(through_the_door, fact) for fact in facts}
    columns = ("kind", "position", "digest", "size", "media_type", "descriptor")
    assert list(adopted.references.order_by("kind", "position").values(*columns)) == list(
        through_the_door.references.order_by("kind", "position").values(*columns)
    )
    columns_of_links = ("blob__digest", "blob__size", "blob__state", "kind", "state")
    assert list(adopted.repository.links.order_by("blob__digest").values(*columns_of_links)) == list(
        through_the_door.repository.links.order_by("blob__digest").values(*columns_of_links)
    )
    assert Quota.objects.get(project=adopted.repository.project).used == Quota.objects.get(project=pushed).used


def test_a_cnab_bundle_tells_the_same_as_when_it_is_pushed() -> None:
    said = {"name": "helloworld", "version": "0.1.1"}
    part, bundle = make_bundle(said)
    old_registry.push("shop/bundle", part)
    digest = old_registry.push_index("shop/bundle", bundle.manifest, "v1")
    adopt()
    artifact = Artifact.objects.get(manifest=digest)
    assert (artifact.kind, artifact.extra_attrs) == ("CNAB", said)


def test_indexes_in_indexes_referrers_and_untagged_manifests_are_taken_over() -> None:
    one, two, lone = make_image(), make_image(), make_image()
    for image in (one, two, lone):
        old_registry.push("shop/app", image)
    inner = make_index(one, two)
    old_registry.push_index("shop/app", inner)
    outer = make_index(Image(inner, {}, "application/vnd.oci.image.index.v1+json"))
    old_registry.push_index("shop/app", outer, "multi")
    subject = descriptor(outer, "application/vnd.oci.image.index.v1+json")
    sbom = make_image(b"{}", artifactType="application/spdx+json", subject=subject)
    old_registry.push("shop/app", sbom)
    signature = make_image(b"signed", layer_type="application/vnd.dev.cosign.simplesigning.v1+json")
    old_registry.push("shop/app", signature, f"{one.digest.replace(':', '-')}.sig")
    assert "took over 7 manifests and 2 tags" in adopt()

    assert set(Artifact.objects.live().values_list("manifest_id", flat=True)) == {
        one.digest, two.digest, lone.digest, digest_of(inner), digest_of(outer), sbom.digest, signature.digest
    }  # fmt: skip
    hangs_on = {row.artifact.digest: (row.subject_digest, row.kind) for row in Accessory.objects.all()}
    assert hangs_on == {
        sbom.digest: (digest_of(outer), "subject.accessory"),
        signature.digest: (one.digest, "signature.cosign"),
    }
    assert list(verify(deep=True)) == []


def test_helm_docker_and_manifests_without_a_media_type_are_known_by_their_form() -> None:
    chart = make_image(b"chart")
    document = json.loads(chart.manifest)
    document["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    del document["mediaType"]
    old_registry.push("shop/chart", Image(json.dumps(document).encode(), chart.blobs), "1.0.0")
    docker = make_image()
    document = {**json.loads(docker.manifest), "mediaType": DOCKER_MANIFEST}
    document["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    old_registry.push("shop/docker", Image(json.dumps(document).encode(), docker.blobs, DOCKER_MANIFEST), "1")
    adopt()
    assert dict(Artifact.objects.values_list("repository__name", "kind")) == {
        "shop/chart": "CHART",
        "shop/docker": "IMAGE",
    }
    assert Artifact.objects.get(repository__name="shop/docker").media_type == DOCKER_MANIFEST


@pytest.mark.parametrize("nonsense", ['"\\u0000"', '"\\ud800"', "NaN", "1e999", "[" * 2000])
def test_nonsense_in_a_configuration_does_not_stop_its_image(nonsense: str, admin: User) -> None:
    old_registry.push("shop/app", make_image(config=f'{{"os": {nonsense}}}'.encode()), "v1")
    assert kinds(admin) == []
    assert Artifact.objects.get().extra_attrs == {}


def test_foreign_layers_need_not_be_there(admin: User) -> None:
    image = make_image(b"here")
    document = json.loads(image.manifest)
    foreign = descriptor(b"elsewhere", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    document["layers"].append({**foreign, "urls": ["https://example.com/layer"]})
    old_registry.push("shop/app", Image(json.dumps(document).encode(), image.blobs), "v1")
    assert kinds(admin) == []
    assert set(tags_of("shop/app")) == {"v1"}


def test_times_are_those_of_the_store() -> None:
    digest = old_registry.push("shop/app", make_image(), "old")
    moment = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
    for path in (
        old_registry.tag_link("shop/app", "old"),
        old_registry.link("shop/app", digest, "_manifests/revisions"),
    ):
        os.utime(path, (moment.timestamp(), moment.timestamp()))
    adopt()
    assert Tag.objects.get(name="old").pushed == moment
    assert Artifact.objects.get().pushed == moment


def test_the_audit_log_and_the_outbox_say_what_was_adopted() -> None:
    old_registry.push("shop/app", make_image(), "v1", "v2")
    adopt()
    assert list(AuditLog.objects.order_by("id").values_list("username", "operation", "resource_type", "resource")) == [
        ("system", "create", "project", "shop"),
        ("system", "adopt", "repository", "shop/app"),
    ]
    event = Outbox.objects.get(topic="ADOPT_REPOSITORY").payload
    assert (event["repository"], event["artifacts"], event["tags"]) == ("shop/app", 1, 2)


def test_layers_that_nobody_needs_are_known_to_garbage_collection() -> None:
    old_registry.push("shop/app", make_image(), "v1")
    stray = factories.upload(Repository(name="shop/app"), os.urandom(50))
    adopt()
    assert RepositoryBlob.objects.get(blob__digest=stray).state == RepositoryBlob.State.PRESENT
    assert list(verify()) == []


# --- who owns it --------------------------------------------------------------------------------------------------
def test_the_owner_is_whom_the_operator_chose(alice: User) -> None:
    configuration.change(project_creation_restriction="adminonly")
    old_registry.push("shop/app", make_image(), "v1")
    adopt("--owner", "alice")
    assert Project.objects.get(name="shop").owner == alice


def test_a_project_that_is_there_keeps_its_owner(team: Project, alice: User) -> None:
    old_registry.push("team/app", make_image(), "v1")
    adopt()
    assert Project.objects.get().owner == alice
    assert set(tags_of("team/app")) == {"v1"}


def test_an_unknown_owner_is_refused_before_anything_is_done() -> None:
    old_registry.push("shop/app", make_image(), "v1")
    with pytest.raises(CommandError, match="there is no user 'nobody'"):
        adopt("--owner", "nobody")
    assert not Project.objects.exists()


def test_a_full_quota_does_not_stop_what_is_stored_already(alice: User) -> None:
    small = factories.project("small", alice, hard=10)
    old_registry.push("small/app", make_image(), "v1")
    adopt()
    assert Quota.objects.get(project=small).used > 10


def test_a_project_whose_data_are_still_being_removed_is_reported(
    admin: User, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projects.links.WAIT_SECONDS", 0)
    gone = factories.project("gone", alice)
    factories.push(factories.repository(gone), alice, "v1")
    Project.objects.filter(pk=gone.pk).update(deleted=timezone.now())
    old_registry.push("gone/other", make_image(), "v1")
    old_registry.push("shop/app", make_image(), "v1")
    [finding] = [each for each in findings(admin) if each.kind == "no-project"]
    assert "gone/other" in finding.what
    assert "still being removed" in finding.what
    assert set(tags_of("shop/app")) == {"v1"}
    assert old_registry.tags("gone/other").keys() == {"v1"}


# --- nothing twice, nothing halfway -------------------------------------------------------------------------------
def test_a_dry_run_changes_nothing_and_says_what_would_be_done(admin: User) -> None:
    image = make_image()
    old_registry.push("shop/app", image, "v1")
    old_registry.link("shop/app", next(iter(image.blobs)), "_layers").write_text("")
    old_registry.push("bare", make_image(), "v1")
    before = files_of_the_store(), everything_in_postgres()
    output = StringIO()
    with pytest.raises(CommandError):
        call_command("adopt", "--dry-run", stdout=output)
    assert (files_of_the_store(), everything_in_postgres()) == before
    said = output.getvalue()
    assert "would take over 1 manifests and 1 tags in 1 repositories, 1 things are left" in said
    assert "would mend: link-damaged: layer shop/app@" in said


def test_a_second_run_has_nothing_to_do() -> None:
    for number in range(3):
        old_registry.push(f"shop/app{number}", make_image(), "v1")
    adopt()
    before = files_of_the_store(), everything_in_postgres()
    assert "took over 0 manifests and 0 tags" in adopt()
    assert (files_of_the_store(), everything_in_postgres()) == before


def test_the_store_of_wharf_itself_has_nothing_to_adopt(team: Project, alice: User) -> None:
    """Deleted images stay deleted, and what a dead push left is not taken for an image."""
    place = factories.repository(team)
    factories.push(place, alice, "v1")
    artifacts.delete(artifact=factories.push(place, alice, "gone"), actor=alice)
    tags.delete(tag=Tag.objects.get(artifact=factories.push(place, alice, "untagged")), actor=alice)
    dead = make_image()
    old_registry.push("team/app", dead)
    for digest in dead.blobs:
        links.announce(repository=place, digest=digest)
    links.announce(repository=place, digest=dead.digest, kind=RepositoryBlob.Kind.MANIFEST)
    before = files_of_the_store(), everything_in_postgres()
    assert "took over 0 manifests and 0 tags" in adopt()
    assert (files_of_the_store(), everything_in_postgres()) == before


def test_a_manifest_that_is_being_pushed_is_left_to_its_push(team: Project, admin: User) -> None:
    image = make_image()
    old_registry.push("team/app", image, "v1")
    Reference.objects.create(
        repository=factories.repository(team), kind="self", digest=image.digest, size=1, media_type="x",
        attempt="00000000-0000-0000-0000-000000000001", expires=timezone.now() + timedelta(hours=1),
    )  # fmt: skip
    assert kinds(admin) == ["tag-under-way"]
    assert not Artifact.objects.exists()


@pytest.mark.parametrize("moment", ["before the commit", "after the commit", "in the middle of removing"])
def test_it_goes_on_where_it_died(moment: str, admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after any number of batches, the next run takes over the rest; nothing is lost or doubled."""
    monkeypatch.setattr(adoption, "BATCH", 2)
    images = {f"v{number}": make_image() for number in range(7)}
    for tag, image in images.items():
        old_registry.push("shop/app", image, tag)
    calls = 0

    class Killed(BaseException):
        pass

    def dying(real: Any, *, first: bool) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 3 and first:
                raise Killed
            result = real(*args, **kwargs)
            if calls == 3:
                raise Killed
            return result

        return call

    module, name = (shutil, "rmtree") if moment == "in the middle of removing" else (stored_manifests, "record")
    with monkeypatch.context() as patch:
        patch.setattr(module, name, dying(getattr(module, name), first=moment != "after the commit"))
        with pytest.raises(Killed):
            adopt()
    assert 0 < Artifact.objects.count() < 7
    assert kinds(admin) == []
    assert tags_of("shop/app") == {tag: image.digest for tag, image in images.items()}
    assert old_registry.tags("shop/app") == {}
    assert Artifact.objects.count() == 7
    assert list(verify(deep=True)) == []


def test_a_half_removed_tag_of_ours_is_cleared_away(admin: User) -> None:
    """rmtree died after `current` and before `index`."""
    old_registry.push("shop/app", make_image(), "v1")
    adopt()
    folder = old_registry.tag_link("shop/app", "v1").parents[1]
    (folder / "index").mkdir(parents=True)
    assert kinds(admin) == []
    assert not folder.exists()


def test_two_at_once_do_not_meet(admin: User) -> None:
    old_registry.push("shop/app", make_image(), "v1")
    other = connections["default"].copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('tags of the store'))")
        for command in ("adopt", "export-tags"):
            with pytest.raises(CommandError, match="another adopt or export-tags is running"):
                call_command(command, stdout=StringIO())
        cursor.execute("SELECT pg_advisory_unlock_all()")
    other.close()
    assert kinds(admin) == []


# --- where both sides have something ------------------------------------------------------------------------------
def test_a_tag_that_wharf_has_counts_unless_the_store_shall_win(admin: User) -> None:
    first, second = make_image(), make_image()
    old_registry.push("shop/app", first, "v1", "gone")
    adopt()
    tags.delete(tag=Tag.objects.get(name="gone"), actor=admin)
    old_registry.push("shop/app", second, "v1", "gone")
    assert kinds(admin) == ["tag-differs", "tag-differs"]
    assert tags_of("shop/app") == {"v1": first.digest}
    assert old_registry.tags("shop/app") == {"v1": second.digest, "gone": second.digest}
    assert kinds(admin, store_wins=True) == []
    assert tags_of("shop/app") == {"v1": second.digest, "gone": second.digest}
    assert old_registry.tags("shop/app") == {}
    assert list(verify(deep=True)) == []


def test_a_deleted_image_comes_back_only_when_the_store_shall_win(admin: User) -> None:
    image = make_image()
    digest = old_registry.push("shop/app", image, "v1")
    adopt()
    used = Quota.objects.get().used
    artifacts.delete(artifact=Artifact.objects.get(), actor=admin)
    old_registry.push("shop/app", image, "again")
    assert kinds(admin) == ["tag-differs"]
    assert not Artifact.objects.live().exists()
    assert kinds(admin, store_wins=True) == []
    assert tags_of("shop/app") == {"again": digest}
    assert Quota.objects.get().used == used
    assert list(verify(deep=True)) == []


# --- damaged stores: report, go on --------------------------------------------------------------------------------
def lose_manifest(image: Image) -> None:
    old_registry.data(image.digest).unlink()


def cut_manifest(image: Image) -> None:
    old_registry.data(image.digest).write_bytes(image.manifest[:-5])


def empty_manifest(image: Image) -> None:
    old_registry.data(image.digest).write_bytes(b"")


def lose_layer(image: Image) -> None:
    shutil.rmtree(old_registry.data(list(image.blobs)[1]).parent)


def lose_config(image: Image) -> None:
    shutil.rmtree(old_registry.data(next(iter(image.blobs))).parent)


def cut_layer(image: Image) -> None:
    old_registry.data(list(image.blobs)[1]).write_bytes(b"cut")


def cut_tag(image: Image) -> None:
    old_registry.tag_link("shop/app", "v1").write_text("sha256:12")


def empty_tag(image: Image) -> None:
    old_registry.tag_link("shop/app", "v1").write_text("")


def lose_tag_link(image: Image) -> None:
    old_registry.tag_link("shop/app", "v1").unlink()


def lose_revision(image: Image) -> None:
    shutil.rmtree(old_registry.link("shop/app", image.digest, "_manifests/revisions").parent)


def misname_tag(image: Image) -> None:
    folder = old_registry.tag_link("shop/app", "v1").parents[1]
    folder.rename(folder.with_name("-v1"))


@pytest.mark.parametrize(
    ("damage", "kind", "words"),
    [
        (lose_manifest, "manifest-missing", "(tags v1) has no data in the store; push it again"),
        (cut_manifest, "manifest-damaged", "is not what it was when it was pushed"),
        (empty_manifest, "manifest-damaged", "is not what it was when it was pushed"),
        (lose_layer, "manifest-refused", "which the store does not have whole; push it again"),
        (lose_config, "manifest-refused", "which the store does not have whole; push it again"),
        (cut_layer, "manifest-refused", "has 3 bytes, not"),
        (cut_tag, "tag-damaged", "shop/app:v1 has a link that names no digest"),
        (empty_tag, "tag-damaged", "shop/app:v1 has a link that names no digest"),
        (lose_tag_link, "tag-damaged", "shop/app:v1 has a link that names no digest"),
        (lose_revision, "tag-dangling", "which the repository does not have"),
        (misname_tag, "tag-invalid", "shop/app:-v1 is no tag"),
    ],
)
def test_what_is_damaged_is_reported_and_the_rest_goes_on(damage: Any, kind: str, words: str, admin: User) -> None:
    image, sound = make_image(), make_image()
    old_registry.push("shop/app", image, "v1")
    old_registry.push("shop/app", sound, "sound")
    old_registry.push("shop/zebra", sound, "sound")
    damage(image)
    before = files_of_the_store()
    found = findings(admin)
    assert [each.kind for each in found] == [kind]
    assert words in found[0].what
    assert tags_of("shop/app") == {"sound": sound.digest}
    assert tags_of("shop/zebra") == {"sound": sound.digest}
    left = {path for path in before.keys() - files_of_the_store().keys() if "/tags/sound/" not in path}
    assert left == set(), "nothing of the damaged image was touched"
    assert [each.kind for each in findings(admin)] == [kind], "the next run says the same"


@pytest.mark.parametrize("folder", ["_layers", "_manifests/revisions"])
@pytest.mark.parametrize("how", ["cut", "missing"])
def test_a_damaged_link_is_mended_where_the_data_are_whole(folder: str, how: str, admin: User) -> None:
    image = make_image()
    digest = old_registry.push("shop/app", image, "v1")
    path = old_registry.link("shop/app", digest if folder != "_layers" else next(iter(image.blobs)), folder)
    if how == "missing" and folder == "_layers":
        shutil.rmtree(path.parent)
    else:
        path.write_text(path.read_text()[:20])
    assert [(each.kind, each.repaired) for each in findings(admin)] == [("link-damaged", True)]
    assert tags_of("shop/app") == {"v1": digest}
    assert list(verify(deep=True)) == []


def test_the_layers_of_an_image_that_was_left_are_not_given_to_garbage_collection(admin: User) -> None:
    image = make_image()
    old_registry.push("shop/app", make_image(), "sound")
    old_registry.push("shop/app", image, "v1")
    lose_config(image)
    assert kinds(admin) == ["manifest-refused"]
    assert not RepositoryBlob.objects.filter(blob__digest__in=image.blobs).exists()


def test_an_index_without_one_of_its_images_is_reported_and_its_other_images_are_taken(admin: User) -> None:
    one, two = make_image(), make_image()
    old_registry.push("shop/app", one)
    old_registry.push("shop/app", two)
    index = make_index(one, two)
    old_registry.push_index("shop/app", index, "multi")
    lose_manifest(two)
    found = {each.kind: each.what for each in findings(admin)}
    assert found.keys() == {"manifest-missing", "manifest-refused"}
    assert f"shop/app@{digest_of(index)} (tags multi) needs {two.digest}" in found["manifest-refused"]
    assert set(Artifact.objects.values_list("manifest_id", flat=True)) == {one.digest}


def test_sizes_that_lie_are_refused_as_a_push_would_be(admin: User) -> None:
    image = make_image(b"layer")
    document = json.loads(image.manifest)
    document["layers"][0]["size"] = 1
    old_registry.push("shop/app", Image(json.dumps(document).encode(), image.blobs), "v1")
    [finding] = findings(admin)
    assert "has 5 bytes, not 1 as its descriptor says" in finding.what


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"schemaVersion": 1, "name": "x", "tag": "v1", "fsLayers": []}', "schema 1 is not supported"),
        (b"\x00\x01 not json", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"schemaVersion": 2, "artifactType": "\\u0000"}', "null byte"),
        (b'{"schemaVersion": 2, "artifactType": "\\ud800"}', "half a character"),
        (b'{"schemaVersion": 2, "mediaType": "text/plain"}', "is not a manifest's"),
        (b'{"schemaVersion": 2, "mediaType": ["x"]}', "manifest-refused"),
    ],
)
def test_what_is_no_manifest_for_us_is_reported(content: bytes, words: str, admin: User) -> None:
    """Written by hand: today's registry would not take them, yesterday's did."""
    digest = digest_of(content)
    files.write_data(digest, content)
    files.write_link(files.Link("shop/old", "manifest", digest))
    files.write_tag("shop/old", "v1", digest)
    [finding] = findings(admin)
    assert words in f"{finding.kind} {finding.what}"
    assert not Project.objects.exists(), "no project is made for nothing"


def test_what_the_database_cannot_hold_does_not_take_its_neighbours_along(admin: User) -> None:
    image, sound = make_image(), make_image()
    document = json.loads(image.manifest)
    document["layers"][0]["mediaType"] = "application/" + "x" * 300
    old_registry.push("shop/app", Image(json.dumps(document).encode(), image.blobs), "long")
    old_registry.push("shop/app", sound, "sound")
    [finding] = findings(admin)
    assert (finding.kind, "(tags long)" in finding.what) == ("manifest-refused", True)
    assert tags_of("shop/app") == {"sound": sound.digest}
    assert {each.kind for each in verify(deep=True)} == {"link-unknown", "data-unknown"}, "of what was left"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ubuntu", "mkdir -p library/ubuntu && mv ubuntu/_* library/ubuntu/"),
        ("a--b/app", "mkdir -p library/a--b-app && mv a--b/app/_* library/a--b-app/"),
    ],
)
def test_a_name_that_is_none_here_is_reported_with_what_to_do(name: str, words: str, admin: User) -> None:
    image = make_image()
    old_registry.push(name, image, "v1")
    old_registry.push("shop/app", make_image(), "v1")
    [finding] = findings(admin)
    assert (finding.kind, words in finding.what) == ("name-invalid", True)
    assert old_registry.tags(name) == {"v1": image.digest}
    # Said and done.
    root = old_registry.STORE / "repositories"
    assert os.system(f"cd {root} && {words}") == 0  # noqa: S605
    assert kinds(admin) == []
    assert tags_of(words.split()[2]) == {"v1": image.digest}
    assert list(verify(deep=True)) == []


def test_without_a_store_it_says_where_one_would_be() -> None:
    for command in ("adopt", "export-tags"):
        with pytest.raises(CommandError, match=r"there is no repository in file:///.*/docker/registry/v2/repositories"):
            call_command(command, stdout=StringIO())


def test_uploads_under_way_are_left_alone(admin: User) -> None:
    old_registry.push("shop/app", make_image(), "v1")
    upload = old_registry.STORE / "repositories" / "shop" / "app" / "_uploads" / "1234"
    upload.mkdir(parents=True)
    (upload / "data").write_bytes(b"half")
    adopt()
    assert (upload / "data").read_bytes() == b"half"


# --- other stores -------------------------------------------------------------------------------------------------
def test_a_bucket_is_adopted_and_exported_too(admin: User, settings: Settings, tmp_path: Path) -> None:
    """S3: no folders of their own, other names for times."""
    one, two = make_image(), make_image()
    old_registry.push("shop/app", one, "v1", "v2")
    old_registry.push("shop/app", two)
    old_registry.push_index("shop/app", make_index(one, two), "multi")
    server = bucket.start(tmp_path)
    try:
        settings.STORE_URL, settings.STORE_ENDPOINT = server.store, server.endpoint
        settings.STORE_CREDENTIALS = str(server.credentials())
        files._store.cache_clear()
        for path, content in files_of_the_store().items():
            place = Path(path).relative_to(old_registry.STORE)
            server.put(f"{bucket.PREFIX}/docker/registry/v2/{place}", content)
        assert kinds(admin) == []
        assert set(tags_of("shop/app")) == {"v1", "v2", "multi"}
        assert not [name for name in server.listing() if "/tags/" in name]
        assert timezone.now() - Tag.objects.get(name="v1").pushed < timedelta(minutes=5)
        assert list(verify(deep=True)) == []
        call_command("export-tags", stdout=StringIO())
        assert {folder.name: folder.digest for folder in files.tag_folders("shop/app")} == tags_of("shop/app")
        server.stop()
        with pytest.raises(CommandError, match="does not answer"):
            adopt()
    finally:
        server.stop()
        files._store.cache_clear()


# --- and back -----------------------------------------------------------------------------------------------------
def export(*options: str) -> str:
    output = StringIO()
    call_command("export-tags", *options, stdout=output)
    return output.getvalue()


def test_a_registry_without_us_serves_the_same_tags_again() -> None:
    images = {f"v{number}": make_image() for number in range(3)}
    for tag, image in images.items():
        old_registry.push("shop/app", image, tag)
    before = old_registry.tags("shop/app")
    adopt()
    assert "wrote 3 tags, removed 0, 0 were equal" in export()
    assert old_registry.tags("shop/app") == before
    assert "wrote 0 tags, removed 0, 3 were equal" in export()
    assert "took over 0 manifests and 3 tags" in adopt()
    assert old_registry.tags("shop/app") == {}


def test_the_stores_tags_become_equal_to_ours_deleted_and_moved_ones_too(team: Project, alice: User) -> None:
    place = factories.repository(team)
    first, second = factories.push(place, alice, "v1"), factories.push(place, alice, "v2")
    export()
    assert old_registry.tags("team/app") == {"v1": first.digest, "v2": second.digest}
    tags.delete(tag=Tag.objects.get(name="v1"), actor=alice)
    tags.move(repository=place, name="v2", artifact=first)
    tags.create(artifact=second, name="v3", actor=alice)
    assert "would write 2 tags, would remove 1" in export("--dry-run")
    assert old_registry.tags("team/app") == {"v1": first.digest, "v2": second.digest}
    export()
    assert old_registry.tags("team/app") == {"v2": first.digest, "v3": second.digest}
    assert list(verify(deep=True)) == []


def test_the_tags_of_deleted_repositories_go_too(team: Project, alice: User) -> None:
    place = factories.repository(team)
    factories.push(place, alice, "v1")
    export()
    place.refresh_from_db()
    repositories.delete(repository=place, actor=alice)
    export()
    assert old_registry.tags("team/app") == {}


def test_what_wharf_never_had_is_left_and_said(admin: User) -> None:
    image = make_image()
    old_registry.push("shop/app", make_image(), "v1")
    old_registry.push("shop/app", image, "broken")
    old_registry.push("bare", make_image(), "v1")
    lose_config(image)
    findings(admin)
    said = export()
    assert "left: shop/app:broken is not in Wharf" in said
    assert "left: bare:v1 is not in Wharf" in said
    assert "2 that Wharf never had were left" in said
    assert set(old_registry.tags("shop/app")) == {"v1", "broken"}


def test_a_damaged_tag_is_written_again(team: Project, alice: User) -> None:
    artifact = factories.push(factories.repository(team), alice, "v1")
    export()
    old_registry.tag_link("team/app", "v1").write_text("")
    export()
    assert old_registry.tags("team/app") == {"v1": artifact.digest}


# --- many ---------------------------------------------------------------------------------------------------------
def test_a_run_speaks_up_while_it_works(admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "BATCH", 2)
    monkeypatch.setattr("registry.management.commands.adopt._SECONDS", 0)
    for number in range(5):
        old_registry.push("shop/app", make_image(), f"v{number}")
    said = adopt().splitlines()
    assert said[:3] == [
        "[1/1] shop/app: 2 manifests, 2 tags …",
        "[1/1] shop/app: 4 manifests, 4 tags …",
        "[1/1] shop/app: 5 manifests, 5 tags …",
    ]
    assert said[3] == "[1/1] shop/app: 5 manifests, 5 tags"


def test_the_work_on_a_tag_does_not_grow_with_their_number(admin: User, django_assert_max_num_queries: Any) -> None:
    """Ten thousand tags are a matter of minutes because a batch of 200 costs as much as one."""
    image = make_image()
    old_registry.push("shop/app", image, "v0")
    for number in range(1, 1000):
        files.write_tag("shop/app", f"v{number}", image.digest)
    with django_assert_max_num_queries(80):
        adopt()
    assert Tag.objects.live().count() == 1000
    assert old_registry.tags("shop/app") == {}


def test_huge_manifests_come_in_small_batches() -> None:
    mebibyte = 1024 * 1024
    sizes = {"a": 60 * mebibyte, "b": 4 * mebibyte, "c": 1, "d": 1}
    assert list(adoption._light_batches(["a", "b", "c", "d", "unknown"], sizes)) == [["a", "b"], ["c", "d", "unknown"]]
    many = [str(number) for number in range(adoption.BATCH + 1)]
    assert [len(batch) for batch in adoption._light_batches(many, {})] == [adoption.BATCH, 1]


def test_a_store_that_we_may_not_read_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    old_registry.push("shop/app", make_image(), "v1")

    def refused(*_: Any, **__: Any) -> dict[str, Any]:
        return {"x": PermissionError(13, "Permission denied", "/the/store")}

    monkeypatch.setattr(files._store().filesystem, "cat", refused)
    with pytest.raises(CommandError, match=r"Permission denied: ./the/store.*chown -R wharf"):
        adopt()


def test_projects_are_made_once(admin: User) -> None:
    for number in range(3):
        old_registry.push(f"shop/app{number}", make_image(), "v1")
    adopt()
    assert Project.objects.count() == 1
