"""One platform for all end-to-end tests, another with its store in a bucket, and the people of the stories."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import bucket
from tests.e2e.client import Client, Repository
from tests.e2e.docker_engine import Docker, start_docker
from tests.e2e.platform import Platform, new_platform, remove

# Whose stories are the same wherever the blobs are.
ON_BOTH_STORES = {"test_bad_input", "test_copies", "test_docker", "test_protocol", "test_skopeo"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that uses the platform says with which store, so that each platform is started once."""
    if "store" in metafunc.fixturenames:
        both = metafunc.module.__name__.rpartition(".")[2] in ON_BOTH_STORES
        stores = ["folder", "bucket"] if both else ["folder"]
        metafunc.parametrize("store", stores, indirect=True, scope="session")


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What `make up` is told about the store."""
    if request.param == "folder":
        yield {}
        return
    server = bucket.start(tmp_path_factory.mktemp("s3"))
    yield server.settings()
    server.stop()


@pytest.fixture(scope="session")
def platform(store: dict[str, str]) -> Iterator[Platform]:
    running = new_platform(None, WHARF_WEBHOOK_ALLOWED_NETWORKS="127.0.0.1/32", **store)
    try:
        running.up()
        yield running
    finally:
        remove(running)


@pytest.fixture(scope="session")
def people(platform: Platform) -> dict[str, tuple[str, str]]:
    """Alice owns the project `team`, Bob develops, Carol is a guest, Mallory a stranger."""
    accounts = {name: platform.make_user(name) for name in ("alice", "bob", "carol", "mallory")}
    platform.make_project("team", accounts["alice"])
    platform.make_project("open", accounts["alice"], public=True)
    platform.add_member("team", accounts["alice"], "bob", 2)
    platform.add_member("team", accounts["alice"], "carol", 3)
    return {**accounts, "admin": platform.admin}


@pytest.fixture
def alice(platform: Platform, people: dict[str, tuple[str, str]]) -> Client:
    return Client(platform.url, people["alice"])


@pytest.fixture
def bob(platform: Platform, people: dict[str, tuple[str, str]]) -> Client:
    return Client(platform.url, people["bob"])


@pytest.fixture
def carol(platform: Platform, people: dict[str, tuple[str, str]]) -> Client:
    return Client(platform.url, people["carol"])


@pytest.fixture
def mallory(platform: Platform, people: dict[str, tuple[str, str]]) -> Client:
    return Client(platform.url, people["mallory"])


@pytest.fixture
def anonymous(platform: Platform) -> Client:
    return Client(platform.url)


@pytest.fixture
def app(alice: Client, request: pytest.FixtureRequest) -> Repository:
    """A repository of the test's own in Alice's project."""
    return alice.repository(f"team/{request.node.name.split('[')[0].replace('_', '-')[:80].strip('-')}")


@pytest.fixture(scope="session")
def docker(platform: Platform) -> Iterator[Docker]:
    yield from start_docker()
