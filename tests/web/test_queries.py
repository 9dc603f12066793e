"""A page costs the same number of queries at any length."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core import configuration
from projects.models import Project, Repository
from rbac.models import User
from tests import rows
from tests.web.browser import browser

pytestmark = pytest.mark.django_db

INDEX = "/projects/team/repositories/many/artifacts/{digest}"
HOOKS = "/projects/team/webhooks"


@pytest.mark.parametrize(
    "path", ["/", "/projects/team", "/projects/team/repositories/app", INDEX, HOOKS, f"{HOOKS}/{{hook}}"]
)
def test_a_page_costs_the_same_at_any_length(team: Project, alice: User, path: str) -> None:
    client = browser("alice")
    place, many = rows.make_repository(team), rows.make_repository(team, "many")
    hook, *_ = rows.make_webhook(team)

    def cost(path: str) -> int:
        client.get(path)
        configuration.forget()
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path).status_code == 200
        return len(queries)

    def grow(number: int) -> int:
        """One more of everything; what the page costs then."""
        rows.make_project(f"p{number}", alice)
        rows.make_artifact(rows.make_repository(team, f"r{number}"), "v1")
        image = rows.make_artifact(place, f"v{number}", f"w{number}")
        rows.make_artifact(place, subject=image)
        rows.make_index(place, [image], f"i{number}")
        rows.make_webhook(team)
        rows.make_delivery(hook)
        return cost(path.format(digest=_index(many, number + 1), hook=hook.pk)) if number in (0, 29) else 0

    costs = {grow(number) for number in range(30)} - {0}
    assert len(costs) == 1
    assert costs.pop() <= 20


def _index(place: Repository, number: int) -> str:
    """An index with so many parts, tags and accessories; its digest."""
    parts = [rows.make_artifact(place) for _ in range(number)]
    index = rows.make_index(place, parts, *[f"t{number}-{tag}" for tag in range(number)])
    for _ in parts:
        rows.make_artifact(place, subject=index)
    return index.digest
