"""The registry's files, through fsspec: what its HTTP API cannot do or tell. A folder, or a bucket of S3's.

Layout of registry 2.8 under `docker/registry/v2`: `blobs/sha256/<2 hex>/<64 hex>/data` holds every blob
and manifest; `repositories/<name>/_layers|_manifests/revisions/sha256/<hex>/link` let a repository read it. A
registry without us also keeps tags: `_manifests/tags/<tag>/current/link`, and `…/index/sha256/<hex>/link` for
every manifest that the tag ever pointed to.

Every function raises StoreUnavailable when the store does not answer. None keeps more in memory than the links of
one repository, or what lies under two letters of the digests.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import IO, Any, Literal

import fsspec
import structlog
from django.conf import settings
from fsspec.implementations.local import LocalFileSystem

from core import errors

log = structlog.get_logger(__name__)

Kind = Literal["layer", "manifest"]
_FOLDERS: dict[Kind, str] = {"layer": "_layers", "manifest": "_manifests/revisions"}
_REWRITE_SECONDS = 0.1
# Read at once; S3 answers them side by side.
_TEXTS = 100


@dataclass(frozen=True)
class Link:
    """A repository's right to read one blob or manifest, as the registry keeps it."""

    repository: str
    kind: Kind
    digest: str


@dataclass(frozen=True)
class Part:
    """Bytes of an upload that are no file yet: a bucket keeps them apart until the upload is completed."""

    path: str
    """Of the file that they shall become."""
    upload: str
    written: datetime
    size: int


@dataclass(frozen=True)
class Store:
    """Where the files are, and what differs between a folder and a bucket."""

    filesystem: Any
    root: str
    has_folders: bool
    """So there is renaming too. A bucket has neither, but its writes are seen wholly or not at all."""
    failures: tuple[type[Exception], ...]
    """What is raised when it does not answer."""
    remove: Callable[[list[str]], object]
    """Takes files away; one that is not there is no failure, one that cannot be removed is."""
    parts: Callable[[str], list[Part]]
    """Parts of uploads to files under a path."""
    abort: Callable[[Part], object]
    """Give the upload of a part up, with all its parts."""
    probe: Callable[[], object]
    """Raises one of them, or FileNotFoundError, when it is not there."""
    explain: Callable[[Exception], str]
    """What an operator should do about one of them."""


def check() -> None:
    """StoreUnavailable when the store is not there or cannot be listed."""
    try:
        with answering() as store:
            store.probe()
    except FileNotFoundError as error:
        raise _unavailable(error) from error


def try_out() -> None:
    """Write, read and remove a file; StoreUnavailable when one of these is refused."""
    check()
    path = f"{_store().root}/wharf-check"
    _write(path, b"May this be written, read and removed?")
    _read(path)
    _remove_file(path)


def disk() -> tuple[int, int]:
    """Bytes in all and bytes free on the disk of the store; NotFound where it is a bucket."""
    if not _store().has_folders:
        raise errors.NotFound("the blobs lie in a bucket, which has no volume")
    try:
        with answering():
            space = shutil.disk_usage(fsspec.core.url_to_fs(settings.STORE_URL)[1])
    except FileNotFoundError as error:
        raise _unavailable(error) from error
    return space.total, space.free


def uploads_are_multipart() -> bool:
    """Whether the registry uploads in S3's parts.

    Then (registry 2.8) one without bytes cannot be completed, and one whose completion was refused is over.
    """
    return not _store().has_folders


def explain(refusal: errors.Refusal) -> str:
    """What an operator should do about a StoreUnavailable of this module's."""
    cause = refusal.__cause__
    return _store().explain(cause) if isinstance(cause, Exception) else refusal.message


def owner() -> str | None:
    """Whose store it is, as `set_owner` wrote it; None when nobody said."""
    return _read(f"{_store().root}/wharf-owner")


def set_owner(name: str) -> None:
    """Say whose store it is, so that no other platform takes it for its own."""
    _write(f"{_store().root}/wharf-owner", name.encode())


@contextmanager
def open_data(digest: str) -> Iterator[IO[bytes]]:
    """The bytes stored under a digest; FileNotFoundError when there are none."""
    with answering() as store, store.filesystem.open(_data_path(digest), "rb") as handle:
        yield handle


def data_size(digest: str) -> int | None:
    """Size in bytes of what is stored under a digest; None when nothing is."""
    try:
        with answering() as store:
            return int(store.filesystem.info(_data_path(digest))["size"])
    except FileNotFoundError:
        return None


def write_data(digest: str, content: bytes) -> None:
    """Put bytes where the registry keeps them, wholly or not at all."""
    _write(_data_path(digest), content)


def remove_data(*digests: str) -> None:
    """Remove what is stored under these digests; nothing to do where nothing is."""
    _remove([_data_path(digest) for digest in digests])


def digests() -> Iterator[tuple[str, int]]:
    """Every digest in the store with its size in bytes, in order."""
    for shard in shards():
        yield from digests_in(shard)


def shards() -> list[str]:
    """The first two letters of the digests, as far as there are such digests: each has a folder in the store."""
    try:
        with answering() as store:
            found = store.filesystem.ls(f"{store.root}/blobs/sha256", detail=False)
    except FileNotFoundError:
        return []
    return sorted(path.rstrip("/").rsplit("/", 1)[1] for path in found)


def digests_in(shard: str) -> Iterator[tuple[str, int]]:
    """The digests that begin with these letters, with their sizes in bytes, in order."""
    with answering() as store:
        found = store.filesystem.find(f"{store.root}/blobs/sha256/{shard}", detail=True)
    for path, info in found.items():
        if path.endswith("/data"):
            yield f"sha256:{path.rsplit('/', 2)[1]}", int(info["size"])


def repositories() -> Iterator[str]:
    """The name of every repository in the store."""
    yield from _repositories_under("")


def links() -> Iterator[tuple[Link, str]]:
    """Every link in the store and its text; an undamaged link's text is its digest."""
    for repository in repositories():
        yield from links_of(repository)


def links_of(repository: str) -> Iterator[tuple[Link, str]]:
    """A repository's links and their texts."""
    for kind, folder in _FOLDERS.items():
        with answering() as store:
            paths = iter(store.filesystem.find(f"{store.root}/repositories/{repository}/{folder}/sha256"))
        while batch := list(islice(paths, _TEXTS)):
            yield from _read_links(repository, kind, batch)


def read_link(link: Link) -> str | None:
    """A link's text; None when there is no such link."""
    return _read(_link_path(link))


def linked_size(link: Link) -> int | None:
    """Size in bytes of what a repository may read by this link; None when the link or the data are not there.

    What the registry would say to a HEAD, for it reads the same two files (invariant I6: it has no cache). A link
    that a crash truncated counts as none: uploading again heals it. While the registry writes one again it is empty
    for a moment, so that is looked at twice.
    """
    text = read_link(link)
    if text is not None and text != link.digest:
        time.sleep(_REWRITE_SECONDS)
        text = read_link(link)
    size = data_size(link.digest) if text == link.digest else None
    if size is None:
        # A bucket or disk that is gone must not look like one without this file.
        check()
    return size


def write_link(link: Link) -> None:
    """Make (or mend) a link."""
    _write(_link_path(link), link.digest.encode())


def remove_links(*links: Link) -> None:
    """Take links away; nothing to do where there is none."""
    _remove([_link_path(link) for link in links])


def _repositories_under(parent: str) -> Iterator[str]:
    """Depth first: a folder with the registry's own folders in it (`_layers`, …) is a repository."""
    try:
        with answering() as store:
            base = f"{store.root}/repositories/"
            found = store.filesystem.ls(base + parent, detail=True)
    except FileNotFoundError:
        return
    names = sorted(entry["name"].rstrip("/").rsplit("/", 1)[1] for entry in found if entry["type"] == "directory")
    if parent and any(name.startswith("_") for name in names):
        yield parent
    for name in names:
        if not name.startswith("_"):
            yield from _repositories_under(f"{parent}/{name}" if parent else name)


def _read_links(repository: str, kind: Kind, paths: list[str]) -> Iterator[tuple[Link, str]]:
    digests_of = {path: path.rsplit("/", 2)[1] for path in paths if path.endswith("/link")}
    with answering() as store:
        texts = store.filesystem.cat(list(digests_of), on_error="return", recursive=False) if digests_of else {}
        for answer in texts.values():
            # One that was removed since the listing is no failure.
            if isinstance(answer, Exception) and not isinstance(answer, FileNotFoundError):
                raise answer
    for path, text in texts.items():
        if isinstance(text, bytes):
            yield Link(repository, kind, f"sha256:{digests_of[path]}"), text.decode(errors="replace")


def _read(path: str) -> str | None:
    try:
        with answering() as store:
            return str(store.filesystem.cat_file(path).decode(errors="replace"))
    except FileNotFoundError:
        return None


def _write(path: str, content: bytes) -> None:
    """A reader, and a crash, sees the old content or the new, never a part."""
    with answering() as store:
        if not store.has_folders:
            store.filesystem.pipe_file(path, content)
            return
        store.filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        temporary = f"{path}.wharf"
        store.filesystem.pipe_file(temporary, content)
        store.filesystem.mv(temporary, path)


def _remove(paths: list[str]) -> None:
    """Take away links or data, each of which is alone in a folder of its own."""
    with answering() as store:
        store.remove(paths)
        if store.has_folders:
            for path in paths:
                _remove_empty(store, path.rsplit("/", 1)[0])


def _remove_empty(store: Store, folder: str) -> None:
    """A folder that the registry uses again at this moment stays."""
    with suppress(FileNotFoundError):
        try:
            store.filesystem.rmdir(folder)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise


def _remove_file(path: str) -> None:
    """Nothing to do when it is not there."""
    with answering() as store:
        store.remove([path])


def _data_path(digest: str) -> str:
    encoded = digest.removeprefix("sha256:")
    return f"{_store().root}/blobs/sha256/{encoded[:2]}/{encoded}/data"


def _link_path(link: Link) -> str:
    encoded = link.digest.removeprefix("sha256:")
    return f"{_store().root}/repositories/{link.repository}/{_FOLDERS[link.kind]}/sha256/{encoded}/link"


@contextmanager
def answering() -> Iterator[Store]:
    """The store, whose failures become StoreUnavailable. That something is not there is no failure."""
    store = _store()
    try:
        yield store
    except FileNotFoundError:
        raise
    except store.failures as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> errors.Refusal:
    """What clients are told. The reason names our own places: it goes to the log, and to who looks at the cause."""
    log.warning("store_unavailable", reason=_store().explain(error))
    return errors.StoreFull() if getattr(error, "errno", None) == errno.ENOSPC else errors.StoreUnavailable()


@cache
def _store() -> Store:
    if settings.STORE_URL.startswith("s3://"):
        # Its libraries are there only where the store is a bucket, and cost every process 20 MB.
        from core.store import s3

        return s3.open_store()
    filesystem, folder = _Folders(), fsspec.core.url_to_fs(settings.STORE_URL)[1]
    return Store(
        filesystem,
        f"{folder}/docker/registry/v2",
        has_folders=True,
        failures=(OSError,),
        remove=lambda paths: _unlink(filesystem, paths),
        parts=lambda path: [],
        abort=lambda part: None,
        probe=lambda: filesystem.ls(folder),
        explain=str,
    )


class _Folders(LocalFileSystem):  # type: ignore[misc]
    """This machine's. A folder that cannot be listed is a failure; fsspec's own would take it for an empty one."""

    def walk(self, path: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        return super().walk(path, *args, **{**kwargs, "on_error": _unless_gone})  # type: ignore[no-any-return]


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _unlink(filesystem: Any, paths: list[str]) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            filesystem.rm_file(path)


# --- what a registry without us keeps: tags as folders, and times ---------------------------------------------
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


def found_links(repository: str, kind: Kind) -> list[FoundLink]:
    """One repository's links of one kind, with their times."""
    with answering() as store:
        found = store.filesystem.find(f"{store.root}/repositories/{repository}/{_FOLDERS[kind]}/sha256", detail=True)
        digests_of = {path: path.rsplit("/", 2)[1] for path in found if path.endswith("/link")}
        texts = _small_files(store, list(digests_of))
    return [
        FoundLink(f"sha256:{name}", texts[path] == f"sha256:{name}".encode(), written(found[path]))
        for path, name in digests_of.items()
    ]


def tag_folders(repository: str) -> list[TagFolder]:
    """One repository's tags, sorted by name."""
    with answering() as store:
        folder = _tags_path(repository)
        try:
            entries = store.filesystem.ls(folder, detail=True)
        except FileNotFoundError:
            return []
        # Listed as the registry does it, by folder: one without a link is a tag too.
        names = sorted(entry["name"].rstrip("/").rsplit("/", 1)[1] for entry in entries if entry["type"] == "directory")
        found = store.filesystem.find(folder, detail=True)
        links = {name: path for name in names if (path := f"{folder}/{name}/current/link") in found}
        texts = _small_files(store, list(links.values()))
    never = datetime.fromtimestamp(0, UTC)
    return [
        TagFolder(name, (texts[links[name]] or b"").decode(errors="replace"), written(found[links[name]]))
        if name in links
        else TagFolder(name, "", never)
        for name in names
    ]


def write_tag(repository: str, tag: str, digest: str) -> None:
    """Point the registry's own tag at a manifest, making it when it is new."""
    folder = f"{_tags_path(repository)}/{tag}"
    # In the registry's own order: a tag that dies in between points where it pointed.
    for place in (f"index/sha256/{digest.removeprefix('sha256:')}", "current"):
        _write(f"{folder}/{place}/link", digest.encode())


def remove_tags(repository: str, tags: Iterable[str]) -> None:
    """Remove the registry's own tags; all of them must be there."""
    for tag in tags:
        with answering() as store:
            folder = f"{_tags_path(repository)}/{tag}"
            if store.has_folders:
                store.filesystem.rm(folder, recursive=True)
                continue
            paths = store.filesystem.find(folder)
        for path in paths:
            _remove_file(path)


def contents(digests: Iterable[str]) -> dict[str, bytes | None]:
    """The bytes stored under each digest, None for what cannot be read; meant for small data."""
    paths = {_data_path(digest): digest for digest in digests}
    with answering() as store:
        read = _small_files(store, list(paths))
    return {digest: read[path] for path, digest in paths.items()}


def _small_files(store: Store, paths: list[str]) -> dict[str, bytes | None]:
    """The files' bytes, many at once where the filesystem can; None for those that are gone or damaged."""
    read = store.filesystem.cat(paths, on_error="return", recursive=False) if paths else {}
    for found in read.values():
        if isinstance(found, Exception) and not _is_damage(store, found):
            raise found
    return {path: found if isinstance(found, bytes) else None for path, found in read.items()}


def _is_damage(store: Store, error: Exception) -> bool:
    """Whether a file is gone, or a disk cannot read it. A missing right, or a bucket that fails, is no damage."""
    if isinstance(error, FileNotFoundError):
        return True
    return store.has_folders and isinstance(error, OSError) and not isinstance(error, PermissionError)


def written(info: dict[str, Any]) -> datetime:
    """When a file was last written; every kind of filesystem tells it under a name of its own."""
    moment = info.get("mtime") or info.get("LastModified") or info.get("created")
    return moment if isinstance(moment, datetime) else datetime.fromtimestamp(float(moment or 0), UTC)


def _tags_path(repository: str) -> str:
    return f"{_store().root}/repositories/{repository}/_manifests/tags"


# Connections to S3 and the thread that serves them do not survive a fork; a worker opens its own.
os.register_at_fork(after_in_child=_store.cache_clear)
