"""Images made in memory before the clock starts, and their push and pull as Docker does them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from bench.client import Buffer, Client, Failed

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
# What dockerd says it understands.
ACCEPT = ", ".join(
    (
        MANIFEST,
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    )
)
_SEED_BYTES = 64
# What blobs consist of behind their own first bytes; the same for all, so that making thousands costs nothing.
_FILLING = memoryview(os.urandom(1 << 20))


@dataclass(frozen=True)
class Blob:
    """Content in parts that share their memory with other blobs."""

    digest: str
    parts: tuple[Buffer, ...]
    size: int


@dataclass(frozen=True)
class Image:
    """A manifest and what it refers to, the configuration last."""

    manifest: bytes
    digest: str
    blobs: tuple[Blob, ...]


def make_blob(size: int) -> Blob:
    """A blob that exists nowhere yet."""
    parts: list[Buffer] = [os.urandom(min(size, _SEED_BYTES))]
    left = size - len(parts[0])
    while left:
        parts.append(_FILLING[: min(left, len(_FILLING))])
        left -= len(parts[-1])
    return _blob(*parts)


def make_image(layers: int, layer_bytes: int) -> Image:
    """An image that exists nowhere yet."""
    blobs = [make_blob(layer_bytes) for _ in range(layers)]
    rootfs = {"type": "layers", "diff_ids": [blob.digest for blob in blobs]}
    config = _blob(json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode())
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "size": config.size, "digest": config.digest},
        "layers": [{"mediaType": LAYER, "size": blob.size, "digest": blob.digest} for blob in blobs],
    }
    manifest = json.dumps(document, indent=3).encode()
    return Image(manifest, _blob(manifest).digest, (*blobs, config))


def push(client: Client, repository: str, headers: Mapping[str, str], image: Image, tag: str) -> None:
    """All blobs, then the manifest."""
    for blob in image.blobs:
        push_blob(client, repository, headers, blob)
    typed = {**headers, "Content-Type": MANIFEST}
    client.ask("PUT", f"/v2/{repository}/manifests/{tag}", typed, [image.manifest], expect=201)


def push_blob(client: Client, repository: str, headers: Mapping[str, str], blob: Blob) -> None:
    """HEAD, then POST, one PATCH and PUT; Failed when it is there already, for then nothing is measured."""
    client.ask("HEAD", f"/v2/{repository}/blobs/{blob.digest}", headers, expect=404)
    started = client.ask("POST", f"/v2/{repository}/blobs/uploads/", headers, expect=202)
    typed = {**headers, "Content-Type": "application/octet-stream"}
    sent = client.ask("PATCH", _path(started.headers["location"]), typed, blob.parts, expect=202)
    joint = f"{_path(sent.headers['location'])}&digest={quote(blob.digest, safe='')}"
    client.ask("PUT", joint, typed, expect=201)


def pull(client: Client, repository: str, headers: Mapping[str, str], tag: str, *, verify: bool = False) -> None:
    """The manifest and everything in it; with `verify` every digest is computed, else only lengths are compared."""
    answer = client.ask("GET", f"/v2/{repository}/manifests/{tag}", {**headers, "Accept": ACCEPT})
    if verify:
        _check(answer.headers["docker-content-digest"], answer.body)
    document = json.loads(answer.body)
    for each in (document["config"], *document["layers"]):
        blob = client.ask("GET", f"/v2/{repository}/blobs/{each['digest']}", headers, drop=not verify)
        if blob.length != each["size"]:
            raise Failed(f"{each['digest']} has {each['size']} bytes, {blob.length} came")
        if verify:
            _check(each["digest"], blob.body)


def _blob(*parts: Buffer) -> Blob:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return Blob(f"sha256:{digest.hexdigest()}", parts, sum(len(part) for part in parts))


def _check(digest: str, content: bytes) -> None:
    if _blob(content).digest != digest:
        raise Failed(f"what came as {digest} has another digest")


def _path(location: str) -> str:
    parts = urlsplit(location)
    return f"{parts.path}?{parts.query}"
