"""Core's own calls of the registry behind it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from requests_unixsocket.adapters import UnixHTTPConnection

from core.store import client
from projects.models import Project
from tests import factories


@pytest.mark.django_db
def test_one_connection_serves_many_requests(team: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(100)
    place = factories.repository(team, f"kept{factories.number()}")
    digest = factories.upload(place, content)
    made: list[str] = []
    connect: Callable[[Any], None] = UnixHTTPConnection.connect

    def counted(connection: Any) -> None:
        made.append("connection")
        connect(connection)

    client._session().close()
    monkeypatch.setattr(UnixHTTPConnection, "connect", counted)
    for _ in range(3):
        assert client.blob_size(repository=place.name, digest=digest) == len(content)
        assert client.get_blob(repository=place.name, digest=digest) == content
        assert client.blob_size(repository=place.name, digest=digest.replace("sha256:", "sha256:0")[:71]) is None
    assert len(made) == 1
