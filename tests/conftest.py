"""What every test needs: nothing left over from the one before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core import configuration, redis
from tests.factories import Story, make_story


@pytest.fixture(autouse=True)
def _fresh_memory() -> Iterator[None]:
    """Configuration and failed logins are remembered outside of the database."""
    configuration.forget()
    redis.ask(lambda r: r.flushdb())
    yield
    configuration.forget()


@pytest.fixture
def story(db: None) -> Story:
    return make_story()
