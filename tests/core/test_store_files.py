"""The registry's files in a folder and in a bucket: the same promises on both."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from pytest_django import Settings

from core import errors
from core.store import files, s3, uploads
from core.store.files import Link
from tests import bucket
from tests.bucket import S3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    running = bucket.start(tmp_path_factory.mktemp("s3"))
    yield running
    running.stop()


@pytest.fixture
def of_a_bucket(server: S3, settings: Settings) -> Iterator[None]:
    """The settings' store is the bucket, which is empty."""
    settings.STORE_URL, settings.STORE_ENDPOINT = server.store, server.endpoint
    settings.STORE_CREDENTIALS = str(server.credentials())
    files._store.cache_clear()
    store = files._store()
    yield
    for path in store.filesystem.find(store.root):
        store.filesystem.rm_file(path)
    files._store.cache_clear()


@pytest.fixture
def of_a_folder(settings: Settings, tmp_path: Path) -> Iterator[None]:
    settings.STORE_URL = f"file://{tmp_path}"
    files._store.cache_clear()
    yield
    files._store.cache_clear()


@pytest.fixture(params=["of_a_folder", "of_a_bucket"])
def store(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(request.param)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def again() -> None:
    """From now on it is as another process would see it."""
    files._store.cache_clear()
    fsspec.AbstractFileSystem.clear_instance_cache()


@pytest.mark.usefixtures("store")
def test_data_are_written_read_replaced_and_removed() -> None:
    digest = digest_of(b"whole")
    assert files.data_size(digest) is None
    files.write_data(digest, b"who")
    assert files.data_size(digest) == 3
    files.write_data(digest, b"whole")
    with files.open_data(digest) as data:
        assert (data.read(2), data.read()) == (b"wh", b"ole")
    assert list(files.digests()) == [(digest, 5)]
    files.remove_data(digest)
    files.remove_data(digest)
    assert files.data_size(digest) is None
    assert list(files.digests()) == []
    with pytest.raises(FileNotFoundError), files.open_data(digest):
        pass


@pytest.mark.usefixtures("store")
def test_a_repository_reads_what_its_whole_link_leads_to() -> None:
    content = b"x" * 77
    link = Link("team/app", "layer", "sha256:" + hashlib.sha256(content).hexdigest())
    assert files.linked_size(link) is None
    files.write_data(link.digest, content)
    assert files.linked_size(link) is None, "the data alone are another repository's"
    files.write_link(link)
    assert files.linked_size(link) == 77
    assert files.linked_size(Link("team/other", "layer", link.digest)) is None
    # What a crash of the registry leaves of a link.
    files._write(files._link_path(link), b"")
    assert files.linked_size(link) is None
    files.write_link(link)
    files.remove_data(link.digest)
    assert files.linked_size(link) is None


@pytest.mark.usefixtures("store")
def test_an_empty_store_is_none_that_is_away() -> None:
    files.check()
    assert list(files.digests()) == []
    assert list(files.links()) == []
    files.try_out()
    assert list(files.repositories()) == []


@pytest.mark.usefixtures("store")
def test_links_of_nested_repositories_are_told_apart() -> None:
    digest = digest_of(b"x")
    expected = {
        Link("team/app", "layer", digest),
        Link("team/app", "manifest", digest),
        Link("team/app/part", "layer", digest),
        Link("team/apple", "layer", digest),
    }
    for link in expected:
        files.write_link(link)
    assert list(files.repositories()) == ["team/app", "team/app/part", "team/apple"]
    assert dict(files.links()) == dict.fromkeys(expected, digest)
    files.remove_links(Link("team/app", "layer", digest))
    assert [link.kind for link, _ in files.links_of("team/app")] == ["manifest"]
    assert files.read_link(Link("team/app", "layer", digest)) is None
    assert files.read_link(Link("team/apple", "layer", digest)) == digest


@pytest.mark.usefixtures("store")
def test_what_another_process_changed_is_seen_at_once() -> None:
    first, second = digest_of(b"1"), digest_of(b"2")
    files.write_data(first, b"1")
    assert [digest for digest, _ in files.digests()] == [first]
    mine = files._store()
    again()
    files.write_data(second, b"2")
    files.remove_data(first)
    again()
    assert files._store() is not mine
    assert [digest for digest, _ in files.digests()] == [second]
    # And by the one that had listed before.
    found = mine.filesystem.find(f"{mine.root}/blobs")
    assert [path.rsplit("/", 2)[1] for path in found] == [second.removeprefix("sha256:")]


@pytest.mark.usefixtures("store")
def test_more_links_than_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_TEXTS", 3)
    digests = {digest_of(bytes([number])) for number in range(8)}
    for digest in digests:
        files.write_link(Link("team/app", "layer", digest))
    assert {link.digest for link, text in files.links() if text == link.digest} == digests


@pytest.mark.usefixtures("store")
def test_forked_workers_and_their_parent_each_reach_the_store() -> None:
    files.write_data(digest_of(b"parent"), b"parent")
    worker = multiprocessing.get_context("fork").Process(target=files.write_data, args=(digest_of(b"child"), b"child"))
    worker.start()
    worker.join(60)
    assert worker.exitcode == 0
    assert {size for _, size in files.digests()} == {5, 6}


@pytest.mark.usefixtures("store")
def test_threads_share_the_store() -> None:
    contents = [bytes([number]) * 100 for number in range(20)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda content: files.write_data(digest_of(content), content), contents))
        assert list(threads.map(lambda content: files.data_size(digest_of(content)), contents)) == [100] * 20


@pytest.mark.usefixtures("store")
def test_the_owner_is_remembered_in_the_store() -> None:
    assert files.owner() is None
    files.set_owner("one")
    again()
    assert files.owner() == "one"


@pytest.mark.usefixtures("of_a_folder")
def test_a_walk_over_all_digests_keeps_few_of_them(tmp_path: Path) -> None:
    count = 4000
    for number in range(count):
        files.write_data(digest_of(str(number).encode()), b"")
    files._store()
    tracemalloc.start()
    assert sum(1 for _ in files.digests()) == count
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < count * 100, "less than the digests alone"


@pytest.mark.usefixtures("of_a_folder")
def test_a_link_that_cannot_be_read_is_no_proof_of_anything(tmp_path: Path) -> None:
    link = Link("team/app", "layer", "sha256:" + "0" * 64)
    Path(files._link_path(link)).mkdir(parents=True)
    with pytest.raises(errors.StoreUnavailable):
        files.linked_size(link)


@pytest.mark.usefixtures("of_a_folder")
@pytest.mark.parametrize(
    ("place", "question"),
    [
        ("_uploads", lambda: uploads.last_activity("team/app")),
        ("_uploads/1", lambda: uploads.last_activity("team/app")),
        ("_layers/sha256", lambda: files.found_links("team/app", "layer")),
        ("_layers/sha256/1", lambda: list(files.links_of("team/app"))),
        ("", lambda: list(files.repositories())),
        ("blobs/sha256/00", lambda: list(files.digests())),
    ],
)
def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    place: str, question: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody uploads to is collected, and what no row knows is adopted: both ask the folder."""
    for folder in ("blobs/sha256/00/001", "repositories/team/app/_uploads/1", "repositories/team/app/_layers/sha256/1"):
        (tmp_path / "docker/registry/v2" / folder).mkdir(parents=True)
    question()
    broken = tmp_path / "docker/registry/v2" / (place if "blobs" in place else f"repositories/team/app/{place}")
    listed = os.scandir

    def scandir(path: str) -> object:
        if Path(path) == broken:
            raise OSError(errno.EIO, "Input/output error", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(errors.StoreUnavailable):
        question()


@pytest.mark.usefixtures("of_a_folder")
def test_a_folder_that_is_gone_is_a_store_that_is_away(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    with pytest.raises(errors.StoreUnavailable):
        files.check()
    with pytest.raises(errors.StoreUnavailable):
        files.linked_size(Link("team/app", "layer", "sha256:" + "0" * 64))


class TestABucketThatCannotBeUsed:
    """Each reason is told to the operator, and clients hear that the store is away."""

    @pytest.fixture(autouse=True)
    def bucket_settings(self, of_a_bucket: None) -> None:
        """Another fixture's settings, which each test spoils."""

    def reason(self) -> str:
        files._store.cache_clear()
        with pytest.raises(errors.StoreUnavailable) as refused:
            files.try_out()
        assert refused.value.message == "The store behind the registry does not answer; try again."
        return files.explain(refused.value)

    def test_no_such_bucket(self, settings: Settings) -> None:
        settings.STORE_URL = "s3://another-bucket/x"
        assert "has no such bucket as that of s3://another-bucket/x" in self.reason()
        with pytest.raises(errors.StoreUnavailable):
            files.linked_size(Link("team/app", "layer", "sha256:" + "0" * 64))

    def test_an_unknown_key(self, settings: Settings, server: S3) -> None:
        settings.STORE_CREDENTIALS = str(server.credentials(key="AKIAUNKNOWN"))
        assert "does not know the aws_access_key_id" in self.reason()

    def test_a_wrong_secret(self, settings: Settings, server: S3) -> None:
        settings.STORE_CREDENTIALS = str(server.credentials(secret="wrong"))
        reason = self.reason()
        assert "does not fit its aws_access_key_id" in reason
        assert "wrong" not in reason

    def test_nobody_listens(self, settings: Settings) -> None:
        settings.STORE_ENDPOINT = "http://127.0.0.1:1"
        assert "http://127.0.0.1:1 does not answer" in self.reason()
        for question in (
            lambda: files.data_size(digest_of(b"")),
            lambda: list(files.digests()),
            lambda: list(files.links()),
            lambda: files.write_data(digest_of(b""), b""),
            lambda: files.remove_data(digest_of(b"")),
        ):
            with pytest.raises(errors.StoreUnavailable):
                question()

    def test_a_certificate_that_the_machine_does_not_trust(
        self, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = bucket.start(tmp_path, tls=True)
        settings.STORE_ENDPOINT, settings.STORE_CREDENTIALS = own.endpoint, str(own.credentials())
        assert f"the certificate of {own.endpoint} is not trusted" in self.reason()
        monkeypatch.setenv("SSL_CERT_FILE", str(own.certificate))
        files._store.cache_clear()
        files.try_out()
        own.stop()

    def test_a_server_that_never_answers_is_given_up(self, server: S3, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(s3, "PROBE_SECONDS", 1)
        with server.silent():
            assert "does not answer" in self.reason()
        files.check()
