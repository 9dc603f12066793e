"""Archives for tests."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable


def make_tar(
    *entries: tuple[str, bytes | tarfile.TarInfo], is_compressed: bool = True, form: int | None = None
) -> bytes:
    """A tar archive of these files, or of entries of another type."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form or tarfile.PAX_FORMAT) as archive:
        for name, content in entries:
            entry = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = content if isinstance(content, bytes) else b""
            if data:
                entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue()) if is_compressed else buffer.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[str, tarfile.TarInfo]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return name, entry


def raw_header(name: bytes, kind: bytes, size: bytes) -> bytes:
    """A header as no library would write it."""
    header = bytearray(512)
    header[: len(name)] = name
    header[124 : 124 + len(size)] = size
    header[156:157] = kind
    header[257:265] = b"ustar\x0000"
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def make_chart(
    name: str = "app",
    *,
    chart: str = "apiVersion: v2\nname: app\nversion: 1.2.3\n",
    files: Iterable[tuple[str, bytes]] = (),
) -> bytes:
    """A chart as `helm package` lays it out."""
    return make_tar((f"{name}/Chart.yaml", chart.encode()), *((f"{name}/{path}", content) for path, content in files))
