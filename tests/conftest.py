"""What all tests share: a clean Redis, no remembered settings, and the people of the stories."""

from __future__ import annotations

import math
import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from xdist.scheduler import LoadScopeScheduling

from core import clock, configuration, redis
from core.short_memory import ShortMemory
from projects import pulls, quota_news
from projects.models import Project
from rbac import credentials, login_limit
from rbac.models import User
from tests import factories
from tests.old_registry import STORE


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """To one process goes what belongs together: all tests with one platform, else those of a file."""
    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = _platform_or_file
    return scheduling


def _platform_or_file(test: str) -> str:
    platform = re.match(r"tests/e2e/.*\[(folder|bucket)\b", test)
    return platform[1] if platform else test.partition("::")[0]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Some tests print figures, which are part of their result."""
    for report in terminalreporter.getreports("passed"):
        if report.capstdout.strip():
            terminalreporter.write_line(f"{report.nodeid}: {report.capstdout.strip()}")


@pytest.fixture(autouse=True)
def clean_memory() -> Iterator[None]:
    """Nothing remembered by an earlier test."""
    redis._away_until = 0.0
    pulls._kept = pulls._Kept()
    login_limit._seen, credentials._verified_here = ShortMemory(), ShortMemory()
    quota_news._told_here = ShortMemory()
    # Not while the thread of pulls hands over what an earlier test pulled.
    with pulls._handing_over:
        redis.ask(lambda r: r.flushdb())
    configuration.forget()
    # Tests that count questions to the database must not depend on how fast the machine is.
    configuration.REMEMBERED_SECONDS = 3600.0
    # Tests of pure things have no database to ask for the time.
    clock._reading, clock._read_again_at = clock.Reading(clock._uptime(), time.time()), math.inf
    yield
    configuration.forget()


@pytest.fixture(autouse=True)
def _empty_tables(request: pytest.FixtureRequest) -> Iterator[None]:
    """Django empties only the tables that it manages."""
    mark = request.node.get_closest_marker("django_db")
    if not (mark and mark.kwargs.get("transaction")):
        yield
        return
    request.getfixturevalue("transactional_db")
    yield
    others = [model._meta.db_table for model in apps.get_models() if not model._meta.managed]
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(others)}")


@pytest.fixture
def empty_store() -> Iterator[None]:
    """The database is empty at each test's begin; so must be the store."""
    shutil.rmtree(STORE, ignore_errors=True)
    yield
    shutil.rmtree(STORE, ignore_errors=True)


@pytest.fixture
def alice(db: None) -> User:
    return factories.user("alice")


@pytest.fixture
def bob(db: None) -> User:
    return factories.user("bob")


@pytest.fixture
def carol(db: None) -> User:
    return factories.user("carol")


@pytest.fixture
def mallory(db: None) -> User:
    return factories.user("mallory")


@pytest.fixture
def admin(db: None) -> User:
    return factories.user("root", is_sysadmin=True)


@pytest.fixture
def team(alice: User, bob: User, carol: User) -> Project:
    """Alice's private project; Bob develops, Carol is a guest."""
    return factories.project("team", alice, developers=[bob], guests=[carol])
