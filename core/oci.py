"""The words of the OCI distribution and image specifications, parsed: pure, no I/O.

The one parser of names, digests, references and manifests (invariant I5): token service, /v2 door,
API and rules all ask here.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from core import errors, nesting

# OCI distribution spec 1.1, "Pulling manifests".
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})+")
# Harbor's rule for projects, which is one component of a repository name without repeated separators.
_PROJECT = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"(?P<algorithm>[a-z0-9]+(?:[+._-][a-z0-9]+)*):(?P<encoded>[a-zA-Z0-9=_-]+)")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
# cosign's and the referrers tag schema's way to hang something on a manifest.
_ACCESSORY_TAG = re.compile(r"sha256-(?P<hex>[0-9a-f]{64})(?:\.(?:sig|att|sbom))?")
REPOSITORY_MAX = 255

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
MANIFEST_TYPES = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX)
INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)
_SCHEMA1 = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
# Layers that live elsewhere: a registry need not have them.
FOREIGN_LAYERS = re.compile(
    r"application/vnd\.docker\.image\.rootfs\.foreign\.diff\.tar(\.gzip)?"
    r"|application/vnd\.oci\.image\.layer\.nondistributable\.v1\.tar(\+gzip|\+zstd)?"
)


@dataclass(frozen=True)
class RepositoryName:
    """A full repository name, `project/rest`."""

    project: str
    rest: str

    @classmethod
    def parse(cls, text: str) -> RepositoryName:
        """The name, or NameInvalid with what is wrong."""
        if len(text) > REPOSITORY_MAX:
            raise errors.NameInvalid(f"A repository name has at most {REPOSITORY_MAX} characters; this has {len(text)}")
        project, _, rest = text.partition("/")
        if not rest:
            raise errors.NameInvalid(f"invalid repository name: {text!r} has no project; use <project>/<repository>")
        if not _PROJECT.fullmatch(project) or not _REPOSITORY.fullmatch(text):
            raise errors.NameInvalid(
                f"invalid repository name: {text!r}; use lower-case letters and digits, "
                "separated by '.', '_', '-' or '/'"
            )
        return cls(project, rest)

    def __str__(self) -> str:
        return f"{self.project}/{self.rest}"


def is_project_name(text: str) -> bool:
    """Whether a project may be called so (1 to 255 characters)."""
    return len(text) <= REPOSITORY_MAX and _PROJECT.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None


def is_accessory_tag(text: str) -> bool:
    """Whether a tag only hangs something (signature, SBOM, referrers list) on a manifest."""
    return _ACCESSORY_TAG.fullmatch(text) is not None


def accessory_subject(tag: str) -> str | None:
    """The digest of the manifest that an accessory tag belongs to."""
    match = _ACCESSORY_TAG.fullmatch(tag)
    return f"sha256:{match['hex']}" if match else None


def is_digest(text: str) -> bool:
    """Whether the text is a digest that can be stored here."""
    return _SHA256.fullmatch(text) is not None


def parse_digest(text: str) -> str:
    """A digest that can be stored here, else DigestInvalid or DigestUnsupported."""
    if is_digest(text):
        return text
    match = _DIGEST.fullmatch(text)
    if match and match["algorithm"] != "sha256":
        raise errors.DigestUnsupported(f"{match['algorithm']} digests cannot be stored here; use sha256")
    raise errors.DigestInvalid(detail=text[:200])


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Reference:
    """How a manifest is asked for: by tag or by digest, never both."""

    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """The reference; TagInvalid or DigestInvalid when it is neither."""
        if ":" in text:
            return cls(digest=parse_digest(text))
        if is_tag(text):
            return cls(tag=text)
        raise errors.TagInvalid(detail=text[:200])

    def __str__(self) -> str:
        return self.tag or self.digest or ""


@dataclass(frozen=True)
class Descriptor:
    """A pointer to content, as manifests write it."""

    media_type: str
    digest: str
    size: int
    urls: tuple[str, ...] = ()
    artifact_type: str = ""
    platform: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def is_foreign(self) -> bool:
        """Whether the content may live elsewhere (its bytes need not be here)."""
        return bool(self.urls) and FOREIGN_LAYERS.fullmatch(self.media_type) is not None


@dataclass(frozen=True)
class Manifest:
    """A manifest as received, and what it says."""

    content: bytes
    digest: str
    media_type: str
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    children: tuple[Descriptor, ...]
    subject: Descriptor | None
    artifact_type: str
    annotations: dict[str, str]

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEX_TYPES

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """What must be in the repository as blobs: the config first, then the layers in order."""
        config = (self.config,) if self.config else ()
        return config + tuple(layer for layer in self.layers if not layer.is_foreign)

    @property
    def layer_chain(self) -> str:
        """A hash over the ordered layer digests: equal for images with equal layers ('' without layers)."""
        return layer_chains(self.layers)[-1] if self.layers else ""


def layer_chains(layers: tuple[Descriptor, ...]) -> list[str]:
    """The chain after each layer; an image is based on whoever's whole chain is among them."""
    chains: list[str] = []
    chain = ""
    for layer in layers:
        chain = hashlib.sha256(f"{chain} {layer.digest}".encode()).hexdigest()
        chains.append(chain)
    return chains


def parse_manifest(content: bytes, content_type: str) -> Manifest:
    """What a pushed manifest says; ManifestInvalid (or SchemaUnsupported) says what is wrong with it."""
    declared = content_type.split(";")[0].strip().lower()
    document = _load(content)
    media_type = document.get("mediaType") or declared
    if declared in _SCHEMA1 or media_type in _SCHEMA1 or document.get("schemaVersion") == 1:
        raise errors.SchemaUnsupported
    if document.get("schemaVersion") != 2:
        raise errors.ManifestInvalid("schemaVersion must be 2")
    if media_type != declared:
        raise errors.ManifestInvalid(f"Content-Type is {declared!r} but the manifest's mediaType is {media_type!r}")
    if media_type not in MANIFEST_TYPES:
        raise errors.ManifestInvalid(
            f"media type {media_type!r} is not a manifest's; known are {', '.join(MANIFEST_TYPES)}"
        )
    is_index = media_type in INDEX_TYPES
    foreign_keys = ("config", "layers") if is_index else ("manifests",)
    for key in foreign_keys:
        # A document that is both could be read as either (CVE-2021-41190).
        if key in document:
            raise errors.ManifestInvalid(f"{key!r} does not belong into a {media_type}")
    config = None if is_index else _descriptor(document.get("config"), "config")
    subject = document.get("subject")
    artifact_type = document.get("artifactType") or ""
    if not isinstance(artifact_type, str):
        raise errors.ManifestInvalid("artifactType must be a string")
    return Manifest(
        content=content,
        digest=digest_of(content),
        media_type=media_type,
        config=config,
        layers=tuple(() if is_index else _descriptors(document.get("layers"), "layers")),
        children=tuple(_descriptors(document.get("manifests"), "manifests") if is_index else ()),
        subject=_descriptor(subject, "subject") if subject is not None else None,
        artifact_type=artifact_type,
        annotations=_annotations(document.get("annotations"), "annotations"),
    )


def parse_stored_manifest(content: bytes) -> Manifest:
    """What a manifest in a registry's store says, of which only the bytes were kept; errors as of `parse_manifest`.

    Without `mediaType`, which OCI leaves optional, its form tells what it is, as registry 2.8 does it.
    """
    document = _load(content)
    media_type = document.get("mediaType") or (OCI_INDEX if "manifests" in document else OCI_MANIFEST)
    return parse_manifest(content, str(media_type))


def _load(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content, object_pairs_hook=_sound_object, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise errors.ManifestInvalid(f"The manifest is not valid JSON: {str(error)[:200]}") from error
    if not isinstance(document, dict):
        raise errors.ManifestInvalid("The manifest must be a JSON object")
    if nesting.is_too_deep(document):
        raise errors.ManifestInvalid(f"The manifest is nested more than {nesting.MOST_LEVELS} levels deep")
    return document


def _sound_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        # Go and Python disagree on which of two equal keys counts; so do the programs that read manifests.
        raise ValueError("a key appears twice in one object")
    for key, value in pairs:
        for each in (key, *(value if isinstance(value, list) else [value])):
            _refuse_unwritable(each)
    return result


def _refuse_unwritable(value: Any) -> None:
    """ValueError for what JSON can say and PostgreSQL cannot keep."""
    if isinstance(value, str) and ("\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
        raise ValueError("a text holds a null byte or half a character")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is too large")


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number in JSON")


def _descriptors(value: Any, where: str) -> Iterator[Descriptor]:
    if not isinstance(value, list):
        raise errors.ManifestInvalid(f"{where} must be a list")
    for position, item in enumerate(value):
        yield _descriptor(item, f"{where}[{position}]")


def _descriptor(value: Any, where: str) -> Descriptor:
    if not isinstance(value, dict):
        raise errors.ManifestInvalid(f"{where} must be a descriptor with mediaType, digest and size")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(media_type, str) or not media_type:
        raise errors.ManifestInvalid(f"{where}.mediaType must be a media type")
    if not isinstance(digest, str) or not is_digest(digest):
        raise errors.ManifestInvalid(f"{where}.digest must be sha256:<64 hexadecimal digits>")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63:
        raise errors.ManifestInvalid(f"{where}.size must be the content's size in bytes")
    urls = value.get("urls") or []
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise errors.ManifestInvalid(f"{where}.urls must be a list of URLs")
    platform = value.get("platform") or {}
    artifact_type = value.get("artifactType") or ""
    if not isinstance(platform, dict) or not isinstance(artifact_type, str):
        raise errors.ManifestInvalid(f"{where}: platform must be an object and artifactType a string")
    return Descriptor(
        media_type=media_type,
        digest=digest,
        size=size,
        urls=tuple(urls),
        artifact_type=artifact_type,
        platform=platform,
        annotations=_annotations(value.get("annotations"), f"{where}.annotations"),
    )


def _annotations(value: Any, where: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise errors.ManifestInvalid(f"{where} must map strings to strings")
    return value
