"""Quotas through the API. Alice's project `team` has one as every project has."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from core import configuration, errors
from core.models import Outbox
from projects import quotas
from projects.models import AuditLog, Project, Quota
from tests.rest import Api, code
from tests.rows import Story, make_artifact, make_index, make_project, make_repository, make_robot

UNLIMITED = {"hard": {"storage": -1}}


def give(project: Project, *, hard: int = -1, used: int = 0) -> Quota:
    """The project's quota with these numbers."""
    Quota.objects.filter(project=project).update(hard=hard, used=used)
    return Quota.objects.get(project=project)


def test_a_quota_as_the_system_admin_sees_it(story: Story) -> None:
    quota = give(story.team, hard=5000, used=1200)
    body = Api(story.admin).get(f"/quotas/{quota.pk}").json()
    created, updated = body.pop("creation_time"), body.pop("update_time")
    assert body == {
        "id": quota.pk,
        "ref": {"id": story.team.pk, "name": "team", "owner_name": "alice"},
        "hard": {"storage": 5000},
        "used": {"storage": 1200},
    }
    assert created.endswith("Z")
    assert len(updated) == len("2024-01-02T03:04:05.000Z")
    listed = Api(story.admin).get("/quotas").json()
    assert [(row["id"], row["used"]) for row in listed] == [(quota.pk, {"storage": 1200})]


@pytest.mark.parametrize(
    ("method", "path", "body", "statuses"),
    [
        #                             admin alice bob carol mallory nobody
        ("get", "", None, "200 403 403 403 403 401"),
        ("get", "/{id}", None, "200 403 403 403 403 401"),
        ("put", "/{id}", UNLIMITED, "200 403 403 403 403 401"),
        # Who may not look hears nothing about what exists.
        ("get", "/999999", None, "404 403 403 403 403 401"),
        ("put", "/999999", UNLIMITED, "404 403 403 403 403 401"),
    ],
)
def test_who_may_do_what(story: Story, method: str, path: str, body: Any, statuses: str) -> None:
    url = "/quotas" + path.format(id=story.team.quota.pk)
    people = (story.admin, story.alice, story.bob, story.carol, story.mallory, None)
    found = []
    for who in people:
        mark = transaction.savepoint()
        found.append(str(getattr(Api(who), method)(url, body).status_code))
        transaction.savepoint_rollback(mark)
    assert " ".join(found) == statuses


def test_robots_of_the_system_do_what_they_were_given(story: Story) -> None:
    url = f"/quotas/{story.team.quota.pk}"
    reader, changer = make_robot(None, ["quota:read", "quota:list"]), make_robot(None, ["quota:update"])
    assert [Api(reader).get(path).status_code for path in ("/quotas", url)] == [200, 200]
    assert Api(reader).put(url, UNLIMITED).status_code == 403
    assert Api(changer).put(url, {"hard": {"storage": 7}}).status_code == 200
    # A project's robot reads its project's summary, and nothing of the system's.
    own = make_robot(story.team, ["project:read", "quota:read"])
    assert Api(own).get("/projects/team/summary").json()["quota"]["hard"] == {"storage": 7}
    assert Api(own).get(url).status_code == 403


@pytest.mark.parametrize("limit", [-1, 1, 5 * 2**30, 1024 * 2**40])
def test_another_limit_is_kept_and_told(story: Story, limit: int) -> None:
    quota = give(story.team, hard=100, used=60)
    answer = Api(story.admin).put(f"/quotas/{quota.pk}", {"hard": {"storage": limit}})
    assert (answer.status_code, answer.content) == (200, b"")
    before, quota = quota.updated, Quota.objects.get(pk=quota.pk)
    assert (quota.hard, quota.used) == (limit, 60)
    assert quota.updated > before
    assert Api(story.bob).get("/projects/team/summary").json()["quota"]["hard"] == {"storage": limit}
    row = AuditLog.objects.get(resource_type="quota")
    assert (row.username, row.operation, row.resource, row.project_id) == ("root", "update", "team", story.team.pk)
    assert Outbox.objects.get(topic="UPDATE_QUOTA").payload["hard"] == limit


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (None, 422, "body in body is required"),
        ({}, 400, "hard required in body"),
        ({"hard": {}}, 400, "hard required in body"),
        ({"hard": None}, 400, "hard required in body"),
        ({"hard": {"storage": 0}}, 400, "invalid value for resource storage"),
        ({"hard": {"storage": -2}}, 400, "invalid value for resource storage"),
        ({"hard": {"storage": 1024 * 2**40 + 1}}, 400, "invalid value for resource storage"),
        ({"hard": {"count": 5}}, 400, "resource count not support"),
        ({"hard": {"storage": 5, "count": 5}}, 400, "resource count not support"),
        ({"hard": {"storage": "5"}}, 422, ""),
        ({"hard": {"storage": True}}, 422, ""),
        ({"hard": {"storage": 1.5}}, 422, ""),
        ({"hard": {"storage": None}}, 422, ""),
        ({"hard": {"storage": 2**63}}, 422, ""),
        ({"hard": [5]}, 422, ""),
        ([], 422, ""),
    ],
)
def test_limits_that_cannot_be(story: Story, body: Any, status: int, word: str) -> None:
    quota = give(story.team, hard=100)
    answer = Api(story.admin).put(f"/quotas/{quota.pk}", body)
    assert answer.status_code == status
    assert word in answer.json()["errors"][0]["message"]
    quota.refresh_from_db()
    assert quota.hard == 100
    assert not AuditLog.objects.filter(resource_type="quota").exists()


def test_the_quota_of_a_deleted_project_is_gone(story: Story) -> None:
    quota = make_project("gone", story.alice).quota
    assert Api(story.alice).delete("/projects/gone").status_code == 200
    answer = Api(story.admin).put(f"/quotas/{quota.pk}", {"hard": {"storage": 5}})
    assert (answer.status_code, code(answer)) == (404, "NOT_FOUND")
    assert Api(story.admin).get(f"/quotas/{quota.pk}").status_code == 404
    assert [row["ref"]["name"] for row in Api(story.admin).get("/quotas").json()] == ["team"]
    assert Quota.objects.get(pk=quota.pk).hard == -1


def test_a_project_that_is_deleted_while_its_quota_changes(story: Story) -> None:
    """The admin's request found the quota; then Alice was faster."""
    quota = story.team.quota
    Project.objects.filter(pk=story.team.pk).update(deleted=timezone.now())
    with pytest.raises(errors.NotFound, match=f"quota {quota.pk} not found"):
        quotas.change(quota=quota, hard={"storage": 5}, actor=story.admin)
    assert Quota.objects.get(pk=quota.pk).hard == -1


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["young", "old", "team"]),
        ("sort=hard.storage", ["old", "young", "team"]),
        ("sort=-hard.storage", ["team", "young", "old"]),
        ("sort=used.storage", ["team", "young", "old"]),
        ("sort=-used.storage", ["old", "young", "team"]),
        ("sort=creation_time", ["team", "old", "young"]),
        ("sort=hard.count", ["young", "old", "team"]),
        ("sort=-project__owner__password", ["young", "old", "team"]),
        ("reference=project", ["young", "old", "team"]),
        ("reference=", ["young", "old", "team"]),
        ("reference=user", []),
        ("reference=project&reference_id={old}", ["old"]),
        ("reference_id={old}", ["old"]),
        ("reference_id=0", []),
        ("reference_id=old", []),
        ("reference_id=99999999999999999999", []),
        # Harbor's list of quotas knows no q.
        ("q=hard.storage=x", ["young", "old", "team"]),
        ("page_size=1&page=2", ["old"]),
    ],
)
def test_quotas_are_listed(story: Story, query: str, names: list[str]) -> None:
    old, young = make_project("old", story.alice), make_project("young", story.bob)
    give(old, hard=10, used=9)
    give(young, hard=200, used=5)
    answer = Api(story.admin).get(f"/quotas?{query.format(old=old.pk)}")
    assert [row["ref"]["name"] for row in answer.json()] == names


def test_pages_are_counted_and_linked(story: Story) -> None:
    make_project("other", story.bob)
    answer = Api(story.admin).get("/quotas?page_size=1&reference=project")
    assert answer["X-Total-Count"] == "2"
    assert answer["Link"] == '</api/v2.0/quotas?page_size=1&reference=project&page=2>; rel="next"'
    assert Api(story.admin).get("/quotas?page_size=101").status_code == 422


def test_the_number_told_equals_a_recount(story: Story) -> None:
    """Whatever is charged and refunded on the way."""
    app = make_repository(story.team, "app")
    child = make_artifact(app)
    made = [child, make_index(app, [child], "all"), make_artifact(app, "v1"), make_artifact(app, "v2")]

    def told() -> int:
        body = Api(story.admin).get(f"/quotas/{story.team.quota.pk}").json()
        return int(body["used"]["storage"])

    for artifact in made:
        quotas.charge(project=story.team, artifacts=[artifact.pk])
        assert artifact.pk != child.pk or told() > 0
    full = told()
    assert full == quotas.usage(project=story.team)
    assert Api(story.alice).delete("/projects/team/repositories/app/artifacts/v1").status_code == 200
    assert 0 < told() < full
    assert told() == quotas.usage(project=story.team) == quotas.recount(project=story.team)
    assert Api(story.alice).delete("/projects/team/repositories/app").status_code == 200
    assert told() == quotas.usage(project=story.team) == 0


@pytest.mark.parametrize(
    ("limit", "status", "kept"),
    [(5000, 201, 5000), (-1, 201, -1), (0, 201, 1000), (None, 201, 1000), (-2, 400, None), (2**51, 400, None)],
)
def test_a_new_projects_limit_follows_the_same_rule(
    story: Story, limit: int | None, status: int, kept: int | None
) -> None:
    configuration.change(storage_per_project=1000)
    for maker, name in ((story.admin, "a"), (make_robot(None, ["project:create"]), "b")):
        answer = Api(maker).post("/projects", {"project_name": name, "storage_limit": limit})
        assert answer.status_code == status
        assert list(Quota.objects.filter(project__name=name).values_list("hard", flat=True)) == ([kept] if kept else [])


def test_lists_cost_the_same_for_one_and_for_thirty(
    story: Story, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    client = Api(story.admin)
    client.get("/quotas")
    with django_assert_max_num_queries(4) as one:
        client.get("/quotas?page_size=100&sort=hard.storage")
    for number in range(30):
        make_project(f"p{number}")
    with django_assert_num_queries(len(one)):
        assert len(client.get("/quotas?page_size=100&sort=hard.storage").json()) == 31
