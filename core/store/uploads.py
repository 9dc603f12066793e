"""Uploads under way, as the registry keeps them: `repositories/<name>/_uploads/<uuid>/…` until they are completed.

Core never sees the bytes of an upload (nginx sends them to the registry), so whether one is alive the store alone
knows. In a bucket they are parts that are no file yet. All functions raise StoreUnavailable when it does not answer.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from core.store import files
from core.store.files import Part, Store


@dataclass
class Upload:
    """What lies in the store of one upload that was begun and not completed."""

    paths: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    written: list[datetime] = field(default_factory=list)
    size: int = 0
    """In bytes."""

    @property
    def last_written(self) -> datetime:
        return max(self.written)


def of(repository: str) -> dict[str, Upload]:
    """What is left of a repository's uploads: uuid → upload."""
    with files.answering() as store:
        return _of(store, repository)


def last_activity(repository: str) -> datetime | None:
    """When something was last written by an upload to a repository, or (in a folder) one was last completed.

    None when there are no traces of any.
    """
    with files.answering() as store:
        moments = [upload.last_written for upload in _of(store, repository).values()]
        if store.has_folders:
            with suppress(FileNotFoundError):
                moments.append(files.written(store.filesystem.info(_folder(store, repository))))
    return max(moments, default=None)


def remove(repository: str, uuid: str, *, before: datetime) -> bool:
    """Remove what is left of an upload; who wanted to go on with it must begin again.

    False when somebody went on with it since `before`: then it stays.
    """
    with files.answering() as store:
        upload = _of(store, repository).get(uuid, Upload())
        if upload.written and upload.last_written >= before:
            return False
        for part in upload.parts:
            store.abort(part)
        # In the order in which the registry looks for them: without its beginning an upload is unknown.
        store.remove(sorted(upload.paths, key=lambda path: not path.endswith("/startedat")))
        if store.has_folders:
            with suppress(FileNotFoundError):
                store.filesystem.rm(f"{_folder(store, repository)}/{uuid}", recursive=True)
    return True


def _of(store: Store, repository: str) -> dict[str, Upload]:
    folder = _folder(store, repository)
    found: dict[str, Upload] = defaultdict(Upload)
    for path, info in store.filesystem.find(folder, detail=True).items():
        upload = found[_uuid(folder, path)]
        upload.paths.append(path)
        upload.written.append(files.written(info))
        upload.size += int(info["size"])
    for part in store.parts(folder):
        upload = found[_uuid(folder, part.path)]
        upload.parts.append(part)
        upload.written.append(part.written)
        upload.size += part.size
    return dict(found)


def _uuid(folder: str, path: str) -> str:
    return path.removeprefix(f"{folder}/").partition("/")[0]


def _folder(store: Store, repository: str) -> str:
    return f"{store.root}/repositories/{repository}/_uploads"
