"""Core's own calls of the registry behind it: the connection is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from requests_unixsocket.adapters import UnixHTTPConnection

from core.store import client
from projects.models import Project
from tests import factories

pytestmark = pytest.mark.django_db


def test_one_connection_serves_many_requests(team: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    place = factories.repository(team, f"kept{factories.number()}")
    absent = "sha256:" + "0" * 64
    made: list[str] = []
    connect: Callable[[Any], None] = UnixHTTPConnection.connect

    def counted(connection: Any) -> None:
        made.append("connection")
        connect(connection)

    client._session().close()
    monkeypatch.setattr(UnixHTTPConnection, "connect", counted)
    for _ in range(3):
        assert client.get_manifest(repository=place.name, digest=absent) is None
        assert client.delete_blob(repository=place.name, digest=absent) is False
    assert len(made) == 1
