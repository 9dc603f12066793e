"""Core's own calls of the registry behind it: what its 500 means, and that the connection is kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from requests_unixsocket.adapters import UnixHTTPConnection

from core import errors
from core.store import client, files
from core.store.files import Link
from projects.models import Project
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def link(team: Project) -> Link:
    """Of a blob that is there."""
    return Link("team/app", "layer", factories.upload(factories.repository(team, "app"), os.urandom(100)))


def test_a_truncated_link_is_a_blob_that_is_not_there(link: Link) -> None:
    Path(files._link_path(link)).write_text("")
    assert client.blob_size(repository=link.repository, digest=link.digest) is None
    assert client.get_blob(repository=link.repository, digest=link.digest) is None
    files.write_link(link)
    assert client.blob_size(repository=link.repository, digest=link.digest) == 100


def test_a_link_that_cannot_be_read_is_no_proof_of_anything(link: Link) -> None:
    path = Path(files._link_path(link))
    path.unlink()
    path.mkdir()
    for question in (client.blob_size, client.get_blob):
        with pytest.raises(errors.StoreUnavailable):
            question(repository=link.repository, digest=link.digest)
    path.rmdir()
    assert client.blob_size(repository=link.repository, digest=link.digest) is None


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
