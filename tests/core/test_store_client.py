"""What the registry's 500 means: a link that a crash truncated, or a store that fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
