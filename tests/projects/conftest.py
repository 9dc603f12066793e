"""Fixtures of this room's tests: those of the API's, and a receiver of webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from core import addresses, http
from jobservice import relay
from tests.receiver import Receiver, receiving
from tests.rest import _fresh_memory, story

__all__ = ["_fresh_memory", "receiver", "story"]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """In a network that the operator allows; the relay waits for nobody."""
    monkeypatch.setattr(http, "OF_PROJECTS", addresses.Reach(allowed=(ip_network("127.0.0.0/8"),)))
    monkeypatch.setattr(relay, "QUIET_SECONDS", 0.0)
    with receiving() as opened:
        yield opened
