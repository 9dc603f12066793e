"""Slashes that say nothing."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.rest import Api
from tests.rows import Story

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "path",
    [
        "/projects/",
        "//projects",
        "/projects//team",
        "/projects/team/",
        "/projects/team/metadatas",
        "/ping/",
        "/health//",
    ],
)
def test_harbors_router_does_not_mind_slashes(story: Story, path: str) -> None:
    assert Api(story.admin).get(path).status_code == 200


def test_what_is_made_is_where_its_answer_says(story: Story) -> None:
    answer = Api(story.admin).post("//projects/", {"project_name": "slashed"})
    assert answer.status_code == 201
    assert "//" not in answer["Location"]


def test_pages_and_container_clients_mean_what_they_say(client: Client) -> None:
    assert client.get("/jobs//").status_code == 404
    assert client.get("/v2/team//tags/list").status_code == 400
