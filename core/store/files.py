"""The registry's files, through fsspec: what its HTTP API cannot do or tell.

Layout of registry 2.8 under `docker/registry/v2`: `blobs/sha256/<2 hex>/<64 hex>/data` holds every blob
and manifest; `repositories/<name>/_layers|_manifests/revisions/sha256/<hex>/link` let a repository read it. A
registry without us also keeps tags: `_manifests/tags/<tag>/current/link`, and `…/index/sha256/<hex>/link` for
every manifest that the tag ever pointed to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
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


# --- what a registry without us keeps: its repositories, and tags as folders ----------------------------------
@dataclass(frozen=True)
class FoundLink:
    """A link as it lies in the store."""

    digest: str
    is_sound: bool
    """Whether it says what its place says; a crash can leave it empty or cut off."""
    written: datetime


@dataclass(frozen=True)
class TagFolder:
    """A tag as the registry keeps it: a folder with a link to the digest that it points to."""

    name: str
    digest: str
    """What its link says, which may be nonsense; '' when there is no link to be read."""
    written: datetime


def repositories() -> Iterator[str]:
    """Every repository that has, or had, manifests; FileNotFoundError where there is no registry's store."""
    filesystem, root = _store()
    base = f"{root}/repositories"
    if not filesystem.exists(base):
        raise FileNotFoundError(base)
    folders = [base]
    while folders:
        folder = folders.pop()
        inside = [path for path in _folders(filesystem, folder) if path != folder]
        if f"{folder}/_manifests" in inside and folder != base:
            yield folder.removeprefix(f"{base}/")
        folders += [path for path in inside if not path.rsplit("/", 1)[1].startswith("_")]


def links_of(repository: str, kind: Kind) -> list[FoundLink]:
    """One repository's links of one kind."""
    filesystem, root = _store()
    base = f"{root}/repositories/"
    files = _found(filesystem, f"{base}{repository}/{_FOLDERS[kind]}/sha256")
    places = {path: link for path in files if (link := _parse_link(path.removeprefix(base)))}
    texts = _texts(filesystem, list(places))
    return [FoundLink(link.digest, texts[path] == link.digest, _written(files[path])) for path, link in places.items()]


def tag_folders(repository: str) -> list[TagFolder]:
    """One repository's tags, sorted by name."""
    filesystem, folder = _store()[0], _tags_path(repository)
    links = {path.rsplit("/", 1)[1]: f"{path}/current/link" for path in _folders(filesystem, folder)}
    files = _found(filesystem, folder)
    texts = _texts(filesystem, [link for link in links.values() if link in files])
    never = datetime.fromtimestamp(0, UTC)
    return [
        TagFolder(name, texts.get(link, ""), _written(files[link]) if link in files else never)
        for name, link in sorted(links.items())
    ]


def write_tag(repository: str, tag: str, digest: str) -> None:
    """Point the registry's own tag at a manifest, making it when it is new."""
    folder = f"{_tags_path(repository)}/{tag}"
    # In the registry's own order: a tag that dies in between points where it pointed.
    for place in (f"index/sha256/{digest.removeprefix('sha256:')}", "current"):
        _write(f"{folder}/{place}/link", digest.encode())


def remove_tags(repository: str, tags: Iterable[str]) -> None:
    """Remove the registry's own tags; all of them must be there."""
    folder = _tags_path(repository)
    if paths := [f"{folder}/{tag}" for tag in tags]:
        _store()[0].rm(paths, recursive=True)


def contents(digests: Iterable[str]) -> dict[str, bytes | None]:
    """The bytes stored under each digest, None for what cannot be read; meant for small data."""
    paths = {_data_path(digest): digest for digest in digests}
    read = _read(_store()[0], list(paths))
    return {digest: read[path] for path, digest in paths.items()}


def _folders(filesystem: Any, folder: str) -> list[str]:
    try:
        entries = filesystem.ls(folder, detail=True)
    except FileNotFoundError:
        return []
    return [entry["name"].rstrip("/") for entry in entries if entry["type"] == "directory"]


def _found(filesystem: Any, folder: str) -> dict[str, dict[str, Any]]:
    """Every file under a folder, with what the filesystem tells of it; none when there is no such folder."""
    files: dict[str, dict[str, Any]] = filesystem.find(folder, detail=True)
    return files


def _texts(filesystem: Any, paths: list[str]) -> dict[str, str]:
    """What the files say; '' for those that cannot be read."""
    return {path: (text or b"").decode(errors="replace") for path, text in _read(filesystem, paths).items()}


def _read(filesystem: Any, paths: list[str]) -> dict[str, bytes | None]:
    """The files' bytes, many at once where the filesystem can; None for those that are gone or damaged."""
    read = filesystem.cat(paths, on_error="return") if paths else {}
    for found in read.values():
        # That is nobody's damage: somebody has to give us the right.
        if isinstance(found, PermissionError):
            raise found
    return {path: found if isinstance(found, bytes) else None for path, found in read.items()}


def _written(info: dict[str, Any]) -> datetime:
    """When a file was last written; every kind of filesystem tells it under a name of its own."""
    moment = info.get("mtime") or info.get("LastModified") or info.get("created")
    return moment if isinstance(moment, datetime) else datetime.fromtimestamp(float(moment or 0), UTC)


def _tags_path(repository: str) -> str:
    return f"{_store()[1]}/repositories/{repository}/_manifests/tags"
