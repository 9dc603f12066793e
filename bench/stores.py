"""Folders laid out as a registry lays out its store, filled without any server: 20,000 pushes would take an hour."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench import images
from bench.client import Buffer
from bench.images import Image

LAYER_BYTES = 1024


def make_image() -> Image:
    """A small image that exists nowhere yet; all that are made here have the same size."""
    return images.make_image(1, LAYER_BYTES)


def fill(store: Path, repository: str, number: int, *, tagged: int) -> list[Image]:
    """Put so many new small images of one repository into this store; the first ones get a tag."""
    made = [make_image() for _ in range(number)]
    for place, image in enumerate(made):
        _write_image(store, repository, image, f"v{place}" if place < tagged else "")
    return made


def add(source: Path, target: Path) -> None:
    """Give one store all that is in another."""
    subprocess.run(["/usr/bin/cp", "-a", str(source / "docker"), str(target)], check=True)


def data_bytes(store: Path) -> int:
    """Bytes of all blobs and manifests."""
    folders = (folder for folder, _, names in os.walk(_root(store) / "blobs") if "data" in names)
    return sum(os.stat(f"{folder}/data").st_size for folder in folders)


def image_bytes() -> int:
    """What each of the small images adds to `data_bytes`."""
    image = make_image()
    return len(image.manifest) + sum(blob.size for blob in image.blobs)


def _write_image(store: Path, repository: str, image: Image, tag: str) -> None:
    ours = _root(store) / "repositories" / repository
    for blob in image.blobs:
        _write_data(store, blob.digest, blob.parts)
        _write_link(ours / "_layers" / "sha256" / _hex(blob.digest), blob.digest)
    _write_data(store, image.digest, [image.manifest])
    _write_link(ours / "_manifests" / "revisions" / "sha256" / _hex(image.digest), image.digest)
    if tag:
        folder = ours / "_manifests" / "tags" / tag
        _write_link(folder / "index" / "sha256" / _hex(image.digest), image.digest)
        _write_link(folder / "current", image.digest)


def _write_data(store: Path, digest: str, parts: Sequence[Buffer]) -> None:
    folder = _root(store) / "blobs" / "sha256" / _hex(digest)[:2] / _hex(digest)
    folder.mkdir(parents=True)
    (folder / "data").write_bytes(b"".join(parts))


def _write_link(folder: Path, digest: str) -> None:
    folder.mkdir(parents=True)
    (folder / "link").write_text(digest)


def _root(store: Path) -> Path:
    return store / "docker" / "registry" / "v2"


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
