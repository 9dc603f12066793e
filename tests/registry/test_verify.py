"""manage.py verify finds every kind of damage, and mends what can be mended."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from core.store import client, files
from core.store.files import Link
from projects import artifacts, blobs, links, projects, repositories
from projects.models import Artifact, Blob, Project, Quota, Reference, RepositoryBlob, Tag
from rbac.models import User
from registry.verify import verify
from tests import factories
from tests.e2e.client import make_image

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_store")]


@pytest.fixture
def artifact(team: Project, alice: User) -> Artifact:
    return factories.push(factories.repository(team, "app"), alice, "v1")


def kinds(**options: bool) -> list[str]:
    return [finding.kind for finding in verify(**options)]


def layer_of(artifact: Artifact) -> str:
    return artifact.references.filter(kind="layer").order_by("position")[0].digest


def test_a_sound_store_has_nothing_to_find(artifact: Artifact) -> None:
    assert kinds(deep=True) == []
    output = StringIO()
    call_command("verify", stdout=output)
    assert output.getvalue().strip() == "0 disagreements, 0 repaired, 0 left"


@pytest.mark.parametrize("content", [b"", b"cut off"])
def test_a_damaged_manifest_is_rewritten_from_postgres(artifact: Artifact, content: bytes) -> None:
    files.write_data(artifact.digest, content)
    assert kinds() == ["manifest-damaged"]
    with pytest.raises(CommandError, match="1 disagreements are left"):
        call_command("verify", stdout=StringIO())
    call_command("verify", "--repair", stdout=StringIO())
    assert kinds() == []
    stored = client.get_manifest(repository="team/app", digest=artifact.digest)
    assert stored == bytes(artifact.manifest.content)


def test_a_missing_manifest_is_rewritten(artifact: Artifact) -> None:
    files.remove_data(artifact.digest)
    assert kinds(repair=True) == ["manifest-missing"]
    assert kinds() == []


@pytest.mark.parametrize("kind", ["layer", "manifest"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_link_that_is_needed_is_made_again(artifact: Artifact, kind: str, damage: str) -> None:
    link = Link("team/app", kind, layer_of(artifact) if kind == "layer" else artifact.digest)  # type: ignore[arg-type]
    if damage == "missing":
        files.remove_links(link)
    else:
        Path(files._link_path(link)).write_text("")
    assert kinds(repair=True) == ["link-missing"]
    assert kinds() == []
    assert factories.registry_has("team/app", layer_of(artifact))


def test_a_row_that_is_missing_is_made_again(artifact: Artifact) -> None:
    artifact.repository.links.filter(blob__digest=layer_of(artifact)).delete()
    assert kinds(repair=True) == ["row-missing"]
    assert kinds() == []


def test_a_lost_blob_is_reported_with_who_needs_it_and_cannot_be_repaired(artifact: Artifact) -> None:
    files.remove_data(layer_of(artifact))
    findings = list(verify(repair=True))
    assert [(finding.kind, finding.repaired) for finding in findings] == [("blob-missing", False)]
    assert "needed by team/app" in findings[0].what


def test_a_blob_of_another_size_is_damaged_and_one_of_equal_size_only_when_hashed(artifact: Artifact) -> None:
    layer = layer_of(artifact)
    with files.open_data(layer) as data:
        content = data.read()
    files.write_data(layer, content[:-1])
    assert kinds() == ["blob-damaged"]
    files.write_data(layer, content[:-1] + bytes([content[-1] ^ 1]))
    assert kinds() == []
    assert kinds(deep=True) == ["blob-damaged"]


def test_the_rest_of_a_push_that_died_is_cleared_away(artifact: Artifact, alice: User) -> None:
    image = make_image()
    place = artifact.repository
    for content in image.blobs.values():
        factories.upload(place, content)
    client.put_manifest(repository=place.name, digest=image.digest, content=image.manifest, media_type=image.media_type)
    files.write_data(image.digest, b"cut")
    assert "leftover-damaged" in kinds(repair=True)
    assert files.data_size(image.digest) is None
    assert kinds(deep=True) == []
    factories.push(place, alice, "again", image)
    assert kinds(deep=True) == []


def test_a_layers_link_that_leads_nowhere_is_cleared_away(artifact: Artifact) -> None:
    """A registry's own garbage collection removes data and leaves such links."""
    digest = factories.upload(artifact.repository, os.urandom(100))
    files.remove_data(digest)
    assert kinds(repair=True) == ["leftover-damaged"]
    assert kinds() == []


def test_what_only_the_store_knows_gets_its_rows(artifact: Artifact) -> None:
    factories.upload(artifact.repository, os.urandom(100))
    assert kinds(repair=True) == ["link-unknown"]
    digest = factories.upload(artifact.repository, os.urandom(101))
    files.remove_links(Link("team/app", "layer", digest))
    assert kinds(repair=True) == ["data-unknown"]
    assert Blob.objects.get(digest=digest).size == 101
    assert kinds() == []


def test_a_push_under_way_is_left_alone(artifact: Artifact) -> None:
    image = make_image()
    place = artifact.repository
    Reference.objects.create(
        repository=place, kind="self", digest=image.digest, size=1, media_type="x",
        attempt="00000000-0000-0000-0000-000000000001", expires=timezone.now() + timedelta(hours=1),
    )  # fmt: skip
    for content in image.blobs.values():
        digest = factories.upload(place, content)
        factories.links_present(place, digest, len(content))
    client.put_manifest(repository=place.name, digest=image.digest, content=image.manifest, media_type=image.media_type)
    Blob.objects.create(digest=image.digest)
    files.write_data(image.digest, b"being writt")
    assert kinds(repair=True) == []


def test_tags_and_numbers_that_cannot_be_are_mended(artifact: Artifact, alice: User) -> None:
    Quota.objects.update(used=1)
    assert kinds(repair=True) == ["quota-differs"]
    artifacts.delete(artifact=artifact, actor=alice)
    Tag.objects.update(deleted=None)
    assert kinds(repair=True) == ["tag-without-artifact"]
    assert kinds() == []


def test_a_manifest_in_the_store_is_what_a_client_pushed(artifact: Artifact) -> None:
    """M1: without Wharf the store is a registry's store; its own manifests can be read there."""
    stored = client.get_manifest(repository="team/app", digest=artifact.digest)
    assert json.loads(stored or b"")["schemaVersion"] == 2


def test_a_deleted_project_needs_no_links(artifact: Artifact, alice: User) -> None:
    """Or a repair would give them to the next project of that name."""
    place = artifact.repository
    repositories.delete(repository=place, actor=alice)
    projects.delete(project=place.project, actor=alice)
    assert kinds() == []
    assert kinds(repair=True) == []
    assert list(files.links()) == []


def test_a_link_that_was_healed_meanwhile_is_not_cleared_away(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(100)
    digest = factories.upload(artifact.repository, content)
    links.announce(repository=artifact.repository, digest=digest)
    files.remove_data(digest)
    looked = files.data_size

    def healed(digest: str) -> int | None:
        size = looked(digest)
        factories.upload(artifact.repository, content)
        return size

    monkeypatch.setattr(files, "data_size", healed)
    assert kinds(repair=True) == ["leftover-damaged"]
    monkeypatch.undo()
    assert factories.registry_has("team/app", digest)
    assert links.sizes(repository=artifact.repository, digests=[digest]) == {digest: 100}
    assert kinds() == []


def test_what_is_collected_while_verify_looks_is_no_disagreement(
    artifact: Artifact, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = factories.push(artifact.repository, alice, "gone")
    doomed = set(gone.references.values_list("digest", flat=True))
    links_of, digests_in = files.links_of, files.digests_in

    def listed_links(repository: str) -> list[tuple[Link, str]]:
        found = list(links_of(repository))
        artifacts.delete(artifact=gone, actor=alice)
        artifacts.purge(artifacts=[gone.pk])
        links.remove(links.claim(list(RepositoryBlob.objects.values_list("pk", flat=True))))
        return found

    def listed_data(shard: str) -> list[tuple[str, int]]:
        found = list(digests_in(shard))
        if doomed & {digest for digest, _ in found}:
            blobs.remove(blobs.claim(list(Blob.objects.values_list("pk", flat=True))))
        return found

    monkeypatch.setattr(files, "links_of", listed_links)
    monkeypatch.setattr(files, "digests_in", listed_data)
    assert kinds(repair=True) == []
    monkeypatch.undo()
    assert kinds(deep=True) == []
    assert not Blob.objects.filter(digest__in=doomed).exists()
