"""The demo's images: real manifests whose rows are made as a push would make them, but many at once."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core import clock, oci
from core.store import files
from projects import links, manifest_rows, quotas
from projects.demo.size import Size
from projects.models import (
    Accessory,
    Artifact,
    ArtifactLabel,
    Label,
    Manifest,
    Project,
    Reference,
    Repository,
    RepositoryBlob,
    Tag,
)

_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_SIGNATURE = "application/vnd.dev.cosign.artifact.sig.v1+json"
_ARCHITECTURES = ("amd64", "arm64")
_MINUTES_OF_A_YEAR = 365 * 24 * 60


@dataclass(frozen=True)
class Image:
    """A manifest with all that it needs, and the names it gets."""

    manifest: oci.Manifest
    tags: tuple[str, ...]
    told: dict[str, Any]
    contents: dict[str, bytes]
    """Digest → bytes of its blobs."""


def make_repositories(size: Size, numbers: range) -> None:
    """So many repositories with all of their images; in the store too when the size says so."""
    now = clock.now()
    projects = {project.name: project for project in Project.objects.all()}
    rows = [
        Repository(
            project=projects[size.project(size.project_of(number))],
            name=size.repository(number),
            pull_count=number * 37 % 1000,
            created=_some_time(now, number),
        )
        for number in numbers
    ]
    Repository.objects.bulk_create(rows)
    images = [
        (row, place, image)
        for row, number in zip(rows, numbers, strict=True)
        for place, image in enumerate(_images(size, number))
    ]
    if size.is_stored:
        _store([(row, image) for row, _, image in images])
    manifests = [manifest_rows.content(image.manifest) for _, _, image in images]
    Manifest.objects.bulk_create(manifests, batch_size=1000)
    artifacts = [
        Artifact(
            repository=row,
            manifest_id=image.manifest.digest,
            **manifest_rows.artifact_facts(
                image.manifest, told=image.told, pushed=_some_time(now, row.pk * 31 + place * 61)
            ),
        )
        for row, place, image in images
    ]
    Artifact.objects.bulk_create(artifacts, batch_size=1000)
    pairs = [(artifact, image) for artifact, (_, _, image) in zip(artifacts, images, strict=True)]
    _refer(pairs)
    Tag.objects.bulk_create(
        (
            Tag(repository_id=artifact.repository_id, artifact=artifact, name=name, pushed=artifact.pushed)
            for artifact, image in pairs
            for name in image.tags
        ),
        batch_size=2000,
    )
    _label([artifact for artifact, (_, place, _) in zip(artifacts, images, strict=True) if place == 0])


def recount() -> None:
    """Give each project's quota what it uses."""
    for project in Project.objects.live():
        quotas.recount(project=project)


# --- what there is ---------------------------------------------------------------------------------------
def _images(size: Size, number: int) -> Iterator[Image]:
    """The images of one repository. The second has a crowd on one; many others end with a signature and an index."""
    name, count = size.repository(number), size.images_in(number)
    if number == 1:
        yield (first := _image(name, 0, ("latest", *(f"build-{build}" for build in range(size.crowd - 1)))))
        yield from (_signature(first.manifest, place) for place in range(1, count))
        return
    signed, together = (number > 1 and count >= 4 and number % 3 == 0), (number > 1 and count >= 4 and number % 2 == 0)
    plain = count - signed - together
    made = [_image(name, place, _tags(place, plain)) for place in range(plain)]
    yield from made
    if signed:
        yield _signature(made[0].manifest, 0)
    if together:
        yield _index(name, [each.manifest for each in made[:2]])


def _tags(place: int, count: int) -> tuple[str, ...]:
    return ("latest",) if place == count - 1 else (f"1.{place}",)


def _image(repository: str, place: int, tags: tuple[str, ...]) -> Image:
    architecture = _ARCHITECTURES[place % 2]
    layer = _tar(f"{repository} {place}\n")
    told = {"architecture": architecture, "os": "linux", "created": "2026-01-01T00:00:00Z"}
    rootfs = {"type": "layers", "diff_ids": [oci.digest_of(layer)]}
    config = json.dumps({**told, "rootfs": rootfs, "config": {"Labels": {"demo": repository}}}).encode()
    return _made({"config": _described(_CONFIG, config), "layers": [_described(_LAYER, layer)]}, tags, told,
                 config, layer)  # fmt: skip


def _signature(subject: oci.Manifest, number: int) -> Image:
    nothing = b"{}"
    document = {
        "artifactType": _SIGNATURE,
        "config": _described(oci.OCI_EMPTY, nothing),
        "layers": [_described(oci.OCI_EMPTY, nothing)],
        "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size},
        "annotations": {"number": str(number)},
    }
    return _made(document, (), {}, nothing)


def _index(repository: str, parts: list[oci.Manifest]) -> Image:
    manifests = [
        {
            "mediaType": part.media_type,
            "digest": part.digest,
            "size": part.size,
            "platform": {"os": "linux", "architecture": _ARCHITECTURES[number % 2]},
        }
        for number, part in enumerate(parts)
    ]
    document = {"mediaType": oci.OCI_INDEX, "manifests": manifests, "annotations": {"demo": repository}}
    return _made(document, ("multi",), {})


def _made(document: dict[str, Any], tags: tuple[str, ...], told: dict[str, Any], *contents: bytes) -> Image:
    document = {"schemaVersion": 2, "mediaType": oci.OCI_MANIFEST, **document}
    manifest = oci.parse_manifest(json.dumps(document).encode(), document["mediaType"])
    return Image(manifest, tags, told, {oci.digest_of(content): content for content in contents})


def _described(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": oci.digest_of(content), "size": len(content)}


def _tar(text: str) -> bytes:
    """A layer with one small file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as layer:
        entry = tarfile.TarInfo("demo.txt")
        entry.size = len(text)
        layer.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def _some_time(now: datetime, number: int) -> datetime:
    """A moment of the last year."""
    return now - timedelta(minutes=number * 7919 % _MINUTES_OF_A_YEAR)


# --- where it goes ---------------------------------------------------------------------------------------
def _store(images: list[tuple[Repository, Image]]) -> None:
    """Put content and links where the registry keeps them, and say in our rows that it has them."""
    for repository, image in images:
        manifest = image.manifest
        for digest, content in {**image.contents, manifest.digest: manifest.content}.items():
            files.write_data(digest, content)
        for digest in image.contents:
            files.write_link(files.Link(repository.name, "layer", digest))
        files.write_link(files.Link(repository.name, "manifest", manifest.digest))
        blobs = {digest: len(content) for digest, content in image.contents.items()}
        links.record_all_present(repository=repository, sizes=blobs)
        kind = RepositoryBlob.Kind.MANIFEST
        links.record_present(repository=repository, digest=manifest.digest, size=manifest.size, kind=kind)


def _refer(pairs: list[tuple[Artifact, Image]]) -> None:
    references, accessories = [], []
    for artifact, image in pairs:
        for reference in manifest_rows.references(image.manifest, artifact.repository):
            reference.artifact = artifact
            references.append(reference)
        if accessory := manifest_rows.accessory(artifact, image.manifest, ""):
            accessories.append(accessory)
    Reference.objects.bulk_create(references, batch_size=2000)
    Accessory.objects.bulk_create(accessories, batch_size=2000)


def _label(artifacts: list[Artifact]) -> None:
    """One of its project's labels on each."""
    labels = dict(Label.objects.filter(project__isnull=False).order_by("-pk").values_list("project_id", "pk"))
    ArtifactLabel.objects.bulk_create(
        ArtifactLabel(artifact=artifact, label_id=labels[artifact.repository.project_id]) for artifact in artifacts
    )
