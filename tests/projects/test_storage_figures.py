"""What is stored, what sharing saves, and how that grew."""

from __future__ import annotations

import os
from datetime import date, timedelta

import pytest

from core import clock
from projects import artifacts, storage_figures
from projects.models import Project, StorageFigure
from projects.storage_figures import Figures
from rbac.models import User
from tests import factories
from tests.api.world import ask
from tests.e2e.client import make_image
from tests.rest import code

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_store")]
TODAY = date(2026, 11, 25)


def test_what_two_images_share_is_there_once(team: Project, alice: User) -> None:
    shared = os.urandom(4000)
    app, other = factories.repository(team, "app"), factories.repository(team, "other")
    first = factories.push(app, alice, "v1", make_image(shared, os.urandom(100)))
    second = factories.push(other, alice, "v1", make_image(shared, os.urandom(100)))
    figures = storage_figures.of_project(team)
    assert figures == Figures(first.size + second.size, first.size + second.size - 4000)
    assert figures.saved == 4000
    assert storage_figures.of_platform() == figures


def test_each_day_is_written_down_once(team: Project, alice: User) -> None:
    image = factories.push(factories.repository(team, "app"), alice, "v1")
    yesterday = TODAY - timedelta(days=1)
    for day in (yesterday, TODAY, TODAY):
        storage_figures.record(day)
    rows = list(StorageFigure.objects.filter(project=team).order_by("day").values_list("day", "logical", "stored"))
    assert rows == [(day, image.size, image.size) for day in (yesterday, TODAY)]
    assert StorageFigure.objects.filter(project=None).count() == 2
    artifacts.delete(artifact=image, actor=alice)
    storage_figures.record(TODAY)
    assert StorageFigure.objects.get(project=None, day=TODAY).logical == 0
    # An empty project has no figure, and none of what it held this morning.
    assert [figure.day for figure in StorageFigure.objects.filter(project=team)] == [yesterday]


def test_members_see_their_projects_and_admins_all(team: Project, alice: User, admin: User, mallory: User) -> None:
    image = factories.push(factories.repository(team, "app"), alice, "v1")
    storage_figures.record()
    today = clock.now().date().isoformat()
    expected = {
        "logical": image.size,
        "stored": image.size,
        "saved": 0,
        "history": [{"date": today, "logical": image.size, "stored": image.size}],
    }
    assert ask(alice, "GET", "/projects/team/statistics/storage").json() == expected
    assert ask(admin, "GET", "/statistics/storage").json() == expected
    assert ask(alice, "GET", "/statistics/storage").status_code == 403
    assert ask(mallory, "GET", "/projects/team/statistics/storage").status_code == 403


@pytest.mark.parametrize("days", ["0", "367", "many", "-1", "9" * 30, ""])
def test_days_that_cannot_be_are_refused(admin: User, days: str) -> None:
    answer = ask(admin, "GET", f"/statistics/storage?days={days}")
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")
