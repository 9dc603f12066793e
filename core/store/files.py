"""The registry's files, through fsspec: what its HTTP API cannot do or tell.

Layout of registry 2.8 under `docker/registry/v2`: `blobs/sha256/<2 hex>/<64 hex>/data` holds every blob
and manifest; `repositories/<name>/_layers|_manifests/revisions/sha256/<hex>/link` let a repository read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import IO, Any, Literal

import fsspec
from django.conf import settings

Kind = Literal["layer", "manifest"]
_FOLDERS: dict[Kind, str] = {"layer": "_layers", "manifest": "_manifests/revisions"}


@dataclass(frozen=True)
class Link:
    """A repository's right to read one blob or manifest, as the registry keeps it."""

    repository: str
    kind: Kind
    digest: str


def open_data(digest: str) -> IO[bytes]:
    """The bytes stored under a digest; FileNotFoundError when there are none."""
    handle: IO[bytes] = _store()[0].open(_data_path(digest), "rb")
    return handle


def data_size(digest: str) -> int | None:
    """Size in bytes of what is stored under a digest; None when nothing is."""
    filesystem = _store()[0]
    try:
        return int(filesystem.info(_data_path(digest))["size"])
    except FileNotFoundError:
        return None


def write_data(digest: str, content: bytes) -> None:
    """Put bytes where the registry keeps them, wholly or not at all."""
    _write(_data_path(digest), content)


def remove_data(digest: str) -> None:
    filesystem = _store()[0]
    folder = _data_path(digest).rsplit("/", 1)[0]
    if filesystem.exists(folder):
        filesystem.rm(folder, recursive=True)


def digests() -> Iterator[tuple[str, int]]:
    """Every digest in the store with its size in bytes."""
    filesystem, root = _store()
    for path, info in filesystem.find(f"{root}/blobs/sha256", detail=True).items():
        if path.endswith("/data"):
            yield f"sha256:{path.rsplit('/', 2)[1]}", int(info["size"])


def links() -> Iterator[tuple[Link, str]]:
    """Every link in the store and its text; an undamaged link's text is its digest."""
    filesystem, root = _store()
    base = f"{root}/repositories/"
    for path in filesystem.find(base):
        link = _parse_link(path[path.index(base) + len(base) :])
        if link:
            yield link, filesystem.cat_file(path).decode(errors="replace")


def write_link(link: Link) -> None:
    """Make (or mend) a link."""
    _write(_link_path(link), link.digest.encode())


def remove_link(link: Link) -> None:
    filesystem = _store()[0]
    folder = _link_path(link).rsplit("/", 1)[0]
    if filesystem.exists(folder):
        filesystem.rm(folder, recursive=True)


def _parse_link(path: str) -> Link | None:
    for kind, folder in _FOLDERS.items():
        repository, found, rest = path.partition(f"/{folder}/sha256/")
        if found and rest.endswith("/link") and rest.count("/") == 1:
            return Link(repository, kind, f"sha256:{rest.removesuffix('/link')}")
    return None


def _write(path: str, content: bytes) -> None:
    """A reader, and a crash, sees the old content or the new, never a part."""
    filesystem = _store()[0]
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    temporary = f"{path}.wharf"
    with filesystem.open(temporary, "wb") as handle:
        handle.write(content)
    filesystem.mv(temporary, path)


def _data_path(digest: str) -> str:
    encoded = digest.removeprefix("sha256:")
    return f"{_store()[1]}/blobs/sha256/{encoded[:2]}/{encoded}/data"


def _link_path(link: Link) -> str:
    encoded = link.digest.removeprefix("sha256:")
    return f"{_store()[1]}/repositories/{link.repository}/{_FOLDERS[link.kind]}/sha256/{encoded}/link"


@cache
def _store() -> tuple[Any, str]:
    filesystem, root = fsspec.core.url_to_fs(settings.STORE_URL)
    return filesystem, f"{root}/docker/registry/v2"
