"""A store that begins as empty as the database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.old_registry import STORE


@pytest.fixture
def empty_store() -> Iterator[None]:
    """The database is empty at each test's begin; so must be the store."""
    shutil.rmtree(STORE, ignore_errors=True)
    yield
    shutil.rmtree(STORE, ignore_errors=True)
