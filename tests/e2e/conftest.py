"""One platform for all end-to-end tests, and the people of the stories."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.client import Client, Repository
from tests.e2e.docker_engine import Docker, start_docker
from tests.e2e.platform import Platform, new_platform, remove


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    running = new_platform()
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
