"""Archives made by strangers: what is read of them, and what is refused before it costs anything."""

from __future__ import annotations

import gzip
import tarfile
import tracemalloc
from pathlib import PurePosixPath

import pytest

from core import errors
from projects import archives
from tests.archives import link, make_tar, raw_header

END = bytes(1024)


def read(content: bytes, name: str = "app/values.yaml", *, is_compressed: bool = True) -> dict[str, bytes]:
    found = archives.read(content, lambda path: path == PurePosixPath(name), is_compressed=is_compressed)
    return {str(path): text for path, text in found.items()}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("is_compressed", [True, False])
def test_a_wanted_file_is_found_among_others(form: int, is_compressed: bool) -> None:
    long = [] if form == tarfile.USTAR_FORMAT else [(f"app/{'long/' * 40}x", b"x")]
    entries = [("app/Chart.yaml", b"name: app"), *long, ("other/values.yaml", b"no"), ("./app/values.yaml", b"a: 1")]
    content = make_tar(*entries, is_compressed=is_compressed, form=form)
    assert read(content, is_compressed=is_compressed) == {"app/values.yaml": b"a: 1"}


def test_what_is_not_there_is_not_found() -> None:
    assert read(make_tar(("app/Chart.yaml", b"name: app"))) == {}


@pytest.mark.parametrize(
    "name",
    ["/app/values.yaml", "../app/values.yaml", "app/../app/values.yaml", "x/app/values.yaml", "app/values.yaml/x"],
)
def test_a_path_that_only_leads_there_is_another(name: str) -> None:
    assert read(make_tar((name, b"trick"))) == {}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_only_regular_files_are_read(kind: bytes) -> None:
    assert read(make_tar(link("app/values.yaml", "/etc/passwd", kind))) == {}


def test_a_file_that_is_there_twice_is_refused() -> None:
    with pytest.raises(errors.Unprocessable, match=r"holds app/values.yaml twice"):
        read(make_tar(("app/values.yaml", b"harmless"), ("app/values.yaml", b"not so")))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        gzip.compress(b"no tar"),
        gzip.compress(b"x" * 5000),
        make_tar(("app/values.yaml", b"a" * 5000))[:-20],
        make_tar(("app/values.yaml", b"a: 1"), is_compressed=False),
        gzip.compress(raw_header(b"app/values.yaml", b"0", b"\xff" * 12) + END),
        gzip.compress(raw_header(b"a", b"0", b"77777777777\0") + END),
        gzip.compress(raw_header(b"a", b"x", b"77777777777\0") + END),
        gzip.compress(raw_header(b"a", b"x", b"%011o\0" % 2000) + b"1" * 2048 + END),
        gzip.compress((raw_header(b"a", b"x", b"%011o\0" % 12) + b"12 path=abc\n".ljust(512, b"\0")) * 600 + END),
    ],
    ids=[
        *("nothing", "no-gzip", "no-tar", "noise", "cut-off", "not-compressed", "negative-size", "huge-size"),
        *("huge-extension", "long-extension", "endless-extensions"),
    ],
)
def test_what_is_no_archive_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(errors.Unprocessable, match=r"the archive cannot be shown|too large to be shown"):
        read(content)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (make_tar(("app/big", bytes(archives.MOST_BYTES + 1))), "unpacks to more than 33554432 bytes"),
        (make_tar(("app/values.yaml", bytes(archives.FILE_MOST_BYTES + 1))), "has more than 1048576 bytes"),
        (make_tar(*((f"app/{number}", b"") for number in range(archives.MOST_ENTRIES + 1))), "more than 10000 entries"),
    ],
    ids=["bomb", "large-file", "many-entries"],
)
def test_what_is_too_much_is_refused_in_little_memory(content: bytes, why: str) -> None:
    assert len(content) < 1024 * 1024, "it is small as it travels"
    tracemalloc.start()
    with pytest.raises(errors.Unprocessable, match=why):
        read(content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 24 * 1024 * 1024
