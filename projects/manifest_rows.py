"""What a manifest's rows say: decided from the manifest alone, for pushes and adoptions alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from core import errors, nesting, oci
from core.oci import Descriptor
from projects import kinds
from projects.kinds import accessory_kind, artifact_kind
from projects.models import Accessory, Artifact, Manifest, Reference, Repository

Kind = Reference.Kind
_CONFIG_MOST_BYTES = 1024 * 1024
# Of what is shown as it is: lists show a hundred of them.
_SHOWN_MOST_BYTES = 64 * 1024
_AUTHOR_LABELS = ("org.opencontainers.image.authors", "maintainer")
_CNAB_TYPE = "io.cnab.manifest.type"
_TITLE = "org.opencontainers.image.title"
_CONFIG_KEYS = ("architecture", "os", "os.version", "variant", "author", "created", "config")


def check(manifest: oci.Manifest, *, blobs: Mapping[str, int], children: Mapping[str, int]) -> None:
    """See that everything a manifest needs is there, given the real sizes in bytes of what the repository has.

    Raises ManifestBlobUnknown, or ManifestInvalid when a descriptor's size is not the real one.
    """
    for needed, sizes in ((manifest.blobs, blobs), (manifest.children, children)):
        for descriptor in needed:
            if descriptor.digest not in sizes:
                raise errors.ManifestBlobUnknown(detail={"digest": descriptor.digest})
            if descriptor.size != sizes[descriptor.digest]:
                raise errors.ManifestInvalid(
                    f"{descriptor.digest} has {sizes[descriptor.digest]} bytes, "
                    f"not {descriptor.size} as its descriptor says"
                )


def references(manifest: oci.Manifest, repository: Repository) -> Iterator[Reference]:
    """Unsaved rows for everything a manifest refers to, and for itself."""
    yield _reference(repository, Kind.SELF, 0, Descriptor(manifest.media_type, manifest.digest, manifest.size))
    for position, blob in enumerate(manifest.blobs):
        kind = Kind.CONFIG if manifest.config and position == 0 else Kind.LAYER
        yield _reference(repository, kind, position, blob)
    for position, child in enumerate(manifest.children):
        yield _reference(repository, Kind.CHILD, position, child)
    if manifest.subject:
        yield _reference(repository, Kind.SUBJECT, 0, manifest.subject)


def content(manifest: oci.Manifest) -> Manifest:
    """The unsaved row of the manifest's bytes."""
    return Manifest(
        digest=manifest.digest, media_type=manifest.media_type, size=manifest.size, content=manifest.content
    )


def artifact_facts(manifest: oci.Manifest, *, told: dict[str, Any], pushed: datetime) -> dict[str, Any]:
    """The columns of an artifact that follow from its manifest, and from what its configuration told."""
    config_type = manifest.config.media_type if manifest.config else ""
    return {
        "media_type": manifest.media_type,
        "config_media_type": config_type,
        "artifact_type": manifest.artifact_type or config_type,
        "kind": artifact_kind(manifest),
        "size": manifest.size + sum(blob.size for blob in manifest.blobs),
        "subject_digest": manifest.subject.digest if manifest.subject else "",
        "layer_chain": manifest.layer_chain,
        "annotations": manifest.annotations,
        "extra_attrs": told,
        "pushed": pushed,
    }


def accessory(artifact: Artifact, manifest: oci.Manifest, tag: str) -> Accessory | None:
    """The unsaved row that hangs an artifact on another; None when it stands for itself.

    `tag` is the one it was pushed with ('' without one): cosign says by it what a signature belongs to.
    """
    subject = manifest.subject.digest if manifest.subject else oci.accessory_subject(tag)
    if subject is None:
        return None
    return Accessory(
        artifact=artifact,
        repository_id=artifact.repository_id,
        subject_digest=subject,
        kind=accessory_kind(manifest, tag),
    )


def telling_part(manifest: oci.Manifest) -> Descriptor | None:
    """The part of an index whose configuration is that of the whole, as a CNAB bundle has one."""
    if not manifest.is_index or artifact_kind(manifest) != kinds.Kind.CNAB:
        return None
    # As in Harbor: of several, the last.
    found = [child for child in manifest.children if child.annotations.get(_CNAB_TYPE) == "config"]
    return found[-1] if found and found[-1].size <= _SHOWN_MOST_BYTES else None


def telling_config(manifest: oci.Manifest, part: bytes = b"") -> Descriptor | None:
    """The configuration that is worth reading: of what has a kind, and not a huge one.

    `part` is the manifest of the telling part, b"" when there is none to read.
    """
    if manifest.is_index:
        config = _config_of(part)
        return config if config and config.size <= _SHOWN_MOST_BYTES else None
    config = manifest.config
    if config is None or config.media_type == oci.OCI_EMPTY:
        return None
    if _is_image(config):
        return config if config.size <= _CONFIG_MOST_BYTES else None
    is_known = artifact_kind(manifest) not in (kinds.Kind.UNKNOWN, kinds.Kind.WASM)
    return config if is_known and config.size <= _SHOWN_MOST_BYTES else None


def told_by(manifest: oci.Manifest, config: bytes) -> dict[str, Any]:
    """What an artifact tells about itself, by its configuration's bytes (b"" when there is none to read).

    Nothing for nonsense, for what is nested too deep, and for what PostgreSQL cannot keep.
    """
    try:
        document = json.loads(config or b"{}")
        told = _told(manifest, document) if isinstance(document, dict) else {}
        written = json.dumps(told, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return {}
    return {} if b"\\u0000" in written or nesting.is_too_deep(told) else told


def _told(manifest: oci.Manifest, document: dict[str, Any]) -> dict[str, Any]:
    """An image's configuration says much that nobody wants to see in a list; others are shown as they are."""
    told = document
    if manifest.config and _is_image(manifest.config):
        told = {key: document[key] for key in _CONFIG_KEYS if key in document}
        if not told.get("author") and (author := _author_in_labels(document)):
            told["author"] = author
    return {**told, **_told_of_wasm(manifest)} if artifact_kind(manifest) == kinds.Kind.WASM else told


def _author_in_labels(document: dict[str, Any]) -> str:
    inner = document.get("config")
    labels = inner.get("Labels") if isinstance(inner, dict) else None
    found = (labels.get(key) for key in _AUTHOR_LABELS) if isinstance(labels, dict) else ()
    return next((text for text in found if isinstance(text, str) and text), "")


def _told_of_wasm(manifest: oci.Manifest) -> dict[str, Any]:
    """Modules without an image's configuration say what they are by their media types."""
    told: dict[str, Any] = {"manifest.config.mediaType": manifest.config.media_type if manifest.config else ""}
    if manifest.layers and not (manifest.config and _is_image(manifest.config)):
        told["manifest.layers.mediaType"] = manifest.layers[0].media_type
        told[_TITLE] = manifest.layers[0].annotations.get(_TITLE, "")
    return told


def _config_of(part: bytes) -> Descriptor | None:
    try:
        return oci.parse_stored_manifest(part).config if part else None
    except errors.Refusal:
        return None


def _is_image(config: Descriptor) -> bool:
    return config.media_type.endswith(("container.image.v1+json", "image.config.v1+json"))


def _reference(repository: Repository, kind: Reference.Kind, position: int, descriptor: Descriptor) -> Reference:
    said = {
        "platform": descriptor.platform,
        "annotations": descriptor.annotations,
        "artifactType": descriptor.artifact_type,
        "urls": list(descriptor.urls),
    }
    return Reference(
        repository=repository,
        kind=kind,
        position=position,
        digest=descriptor.digest,
        size=descriptor.size,
        media_type=descriptor.media_type,
        descriptor={key: value for key, value in said.items() if value},
    )
