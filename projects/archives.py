"""Small files out of tar archives that strangers made: bounded in memory and time, whatever the archive says."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Self

from core import errors

# What an archive may unpack to, in bytes, of which each wanted file may be so large; and how many entries it may have.
MOST_BYTES = 32 * 1024 * 1024
FILE_MOST_BYTES = 1024 * 1024
MOST_ENTRIES = 10_000
# Headers that say more about the next entry, such as a long name, are read at once, and in Pythons of before
# September 2024 by regular expressions that take the square of their length.
_EXTENSION_MOST_BYTES = 1024
_MOST_EXTENSIONS = 500
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_DAMAGE = (tarfile.TarError, zlib.error, OSError, EOFError, ValueError, OverflowError, RecursionError)

Wanted = Callable[[PurePosixPath], bool]


def read(content: bytes, wanted: Wanted, *, is_compressed: bool) -> dict[PurePosixPath, bytes]:
    """The wanted regular files of a tar archive, gzipped or not.

    Unprocessable when it is no such archive, unpacks to too much, or holds a wanted file twice: then nobody can tell
    which of them a client would take.
    """
    found: dict[PurePosixPath, bytes] = {}
    plain = io.BytesIO(content)
    try:
        for path, text in _files(_Bounded(gzip.GzipFile(fileobj=plain) if is_compressed else plain), wanted):
            if path in found:
                raise errors.Unprocessable(f"the archive cannot be shown: it holds {path} twice")
            found[path] = text
    except _DAMAGE as error:
        raise errors.Unprocessable("the archive cannot be shown: it is damaged, or no tar archive") from error
    return found


def _files(stream: _Bounded, wanted: Wanted) -> Iterator[tuple[PurePosixPath, bytes]]:
    # As a stream, in which nothing can point backwards.
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_careful_entries()) as archive:
        for number, entry in enumerate(archive):
            if number >= MOST_ENTRIES:
                raise _too_much(f"it has more than {MOST_ENTRIES} entries")
            path = PurePosixPath(entry.name)
            if not entry.isreg() or entry.issparse() or not wanted(path):
                continue
            if entry.size > FILE_MOST_BYTES:
                raise _too_much(f"{path} has more than {FILE_MOST_BYTES} bytes")
            handle = archive.extractfile(entry)
            yield path, handle.read() if handle else b""


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than MOST_BYTES."""

    def __init__(self, stream: io.BytesIO | gzip.GzipFile) -> None:
        self._stream = stream
        self._left = MOST_BYTES

    def read(self, size: int = -1) -> bytes:
        room = self._left + 1
        chunk = self._stream.read(min(size, room) if size >= 0 else room)
        self._left -= len(chunk)
        if self._left < 0:
            raise _too_much(f"it unpacks to more than {MOST_BYTES} bytes")
        return chunk


def _careful_entries() -> type[tarfile.TarInfo]:
    """Headers of one archive, each refused before what it announces is read when that is too much."""
    extensions = 0

    class Entry(tarfile.TarInfo):
        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            nonlocal extensions
            entry = super().frombuf(buf, encoding, errors)
            if entry.type in _EXTENSIONS:
                extensions += 1
                if entry.size > _EXTENSION_MOST_BYTES or extensions > _MOST_EXTENSIONS:
                    raise tarfile.ReadError("too many or too long headers")
            if entry.size < 0:
                raise tarfile.ReadError("an entry of less than nothing")
            return entry

    return Entry


def _too_much(why: str) -> errors.Refusal:
    return errors.Unprocessable(f"the archive is too large to be shown: {why}")
