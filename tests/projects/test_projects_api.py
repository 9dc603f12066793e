"""Projects through the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from core import configuration
from projects.models import Member, Project
from rbac.models import Robot
from rbac.roles import Role
from tests.rest import Api, code
from tests.rows import (
    Story,
    add_member,
    make_group,
    make_project,
    make_repository,
    make_robot,
    make_user,
)


def test_a_project_is_made_by_whoever_signed_in_and_he_becomes_its_admin(story: Story) -> None:
    answer = Api(story.mallory).post("/projects", {"project_name": "mine", "metadata": {"public": "true"}})
    project = Project.objects.get(name="mine")
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer["Location"] == f"/api/v2.0/projects/{project.pk}"
    assert project.roles_of(story.mallory) == {Role.PROJECT_ADMIN}
    assert (project.public, project.quota.hard) == (True, -1)


def test_the_location_holds_the_name_when_asked(story: Story) -> None:
    answer = Api(story.alice).post("/projects", {"project_name": "mine"}, HTTP_X_RESOURCE_NAME_IN_LOCATION="true")
    assert answer["Location"] == "/api/v2.0/projects/mine"


def test_strangers_make_no_projects(story: Story) -> None:
    assert Api().post("/projects", {"project_name": "mine"}).status_code == 401


def test_only_admins_make_projects_where_that_is_configured(story: Story) -> None:
    configuration.change(project_creation_restriction="adminonly")
    assert Api(story.alice).post("/projects", {"project_name": "mine"}).status_code == 403
    assert Api(story.admin).post("/projects", {"project_name": "mine"}).status_code == 201


def test_a_name_is_given_once(story: Story) -> None:
    answer = Api(story.mallory).post("/projects", {"project_name": "team"})
    assert (answer.status_code, code(answer)) == (409, "CONFLICT")


@pytest.mark.parametrize("name", ["", "Upper", "a..b", "-a", "a/b", "a b", "ä"])
def test_names_follow_the_rule(story: Story, name: str) -> None:
    answer = Api(story.alice).post("/projects", {"project_name": name})
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ([], 422),
        ("text", 422),
        ({"project_name": 5}, 422),
        ({"project_name": None}, 422),
        ({"project_name": "x" * 256}, 422),
        ({"project_name": "mine", "metadata": []}, 422),
        ({"project_name": "mine", "metadata": {"public": True}}, 422),
        ({"project_name": "mine", "public": "true"}, 422),
        ({"project_name": "mine", "metadata": {"public": "maybe"}}, 400),
        ({"project_name": "mine", "metadata": {"severity": "awful"}}, 400),
        ({"project_name": "mine", "storage_limit": 2**70}, 422),
        ({"project_name": "mine", "registry_id": 1}, 400),
        ({"project_name": "mi\0ne"}, 400),
    ],
)
def test_bodies_of_a_wrong_form_are_refused(story: Story, body: Any, status: int) -> None:
    assert Api(story.alice).post("/projects", body).status_code == status
    assert not Project.objects.filter(name="mine").exists()


def test_only_the_system_admin_chooses_the_quota(story: Story) -> None:
    configuration.change(storage_per_project=1000)
    for maker, name in ((story.alice, "hers"), (story.admin, "his")):
        Api(maker).post("/projects", {"project_name": name, "storage_limit": 5000})
    assert Project.objects.get(name="hers").quota.hard == 1000
    assert Project.objects.get(name="his").quota.hard == 5000


def test_unknown_metadata_are_ignored_and_known_ones_merged(story: Story) -> None:
    url = f"/projects/{story.team.pk}"
    Api(story.alice).put(url, {"metadata": {"auto_scan": "true", "colour": "red", "retention_id": None}})
    Api(story.alice).put(url, {"metadata": {"prevent_vul": "true", "auto_scan": None}, "project_name": "other"})
    body = Api(story.alice).get(url).json()
    assert body["metadata"] == {"public": "false", "auto_scan": "true", "prevent_vul": "true"}
    assert body["name"] == "team"


@pytest.mark.parametrize("number", ["7", "0", "", "-1", "x"])
def test_a_retention_policy_that_is_not_the_projects_is_refused(story: Story, number: str) -> None:
    """As in Harbor, where whoever copies a project's metadata into a new one is not refused."""
    said = {"metadata": {"auto_scan": "true", "retention_id": number}}
    answer = Api(story.alice).put("/projects/team", said)
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")
    words = f"{number!r} is not the retention policy of the project team, which has none; leave it out"
    assert answer.json()["errors"][0]["message"] == f"metadata.retention_id: {words}"
    story.team.refresh_from_db()
    assert story.team.metadata == {}
    assert Api(story.alice).post("/projects", {"project_name": "copied", **said}).status_code == 201
    assert Api(story.alice).get("/projects/copied").json()["metadata"] == {"public": "false", "auto_scan": "true"}


def test_a_project_as_its_members_see_it(story: Story) -> None:
    make_repository(story.team)
    add_member(story.team, make_group(users=[story.carol]), Role.MAINTAINER)
    body = Api(story.carol).get("/projects/team").json()
    assert body["project_id"] == story.team.pk
    assert (body["owner_name"], body["repo_count"]) == ("alice", 1)
    assert body["current_user_role_ids"] == [4, 3]
    assert body["current_user_role_id"] == 4
    assert body["creation_time"].endswith("Z")
    assert len(body["creation_time"]) == len("2024-01-02T03:04:05.000Z")


def test_a_name_of_digits_is_an_id_unless_the_header_says_otherwise(story: Story) -> None:
    digits = make_project(str(story.team.pk), story.alice)
    assert Api(story.alice).get(f"/projects/{digits.name}").json()["name"] == "team"
    named = Api(story.alice).get(f"/projects/{digits.name}", HTTP_X_IS_RESOURCE_NAME="true").json()
    assert named["project_id"] == digits.pk


@pytest.mark.parametrize(("who", "status"), [("admin", 404), ("alice", 403), ("mallory", 403), (None, 401)], ids=str)
@pytest.mark.parametrize("path", ["/projects/nowhere", "/projects/99999999999999999999", "/projects/nowhere/members"])
def test_only_the_system_admin_hears_that_a_project_does_not_exist(
    story: Story, who: str | None, status: int, path: str
) -> None:
    assert Api(getattr(story, who) if who else None).get(path).status_code == status


# What a private project's operations answer to each.
@pytest.mark.parametrize(
    ("method", "path", "body", "statuses"),
    [
        #                                                                    admin alice bob carol mallory nobody
        ("get", "", None, "200 200 200 200 403 401"),
        ("get", "/summary", None, "200 200 200 200 403 401"),
        ("get", "/_deletable", None, "200 200 403 403 403 401"),
        ("put", "", {"metadata": {"public": "true"}}, "200 200 403 403 403 401"),
        ("delete", "", None, "200 200 403 403 403 401"),
        ("get", "/members", None, "200 200 200 200 403 401"),
        ("post", "/members", {"role_id": 2, "member_user": {"username": "mallory"}}, "201 201 403 403 403 401"),
        ("get", "/repositories", None, "200 200 200 200 403 401"),
        ("delete", "/repositories/app", None, "404 404 403 403 403 401"),
    ],
)
def test_who_may_do_what(story: Story, method: str, path: str, body: Any, statuses: str) -> None:
    people = (story.admin, story.alice, story.bob, story.carol, story.mallory, None)
    assert " ".join(str(_undone(Api(who), method, f"/projects/team{path}", body)) for who in people) == statuses


def _undone(client: Api, method: str, path: str, body: Any) -> int:
    """The status of a call whose changes are taken back."""
    mark = transaction.savepoint()
    status = int(getattr(client, method)(path, body).status_code)
    transaction.savepoint_rollback(mark)
    return status


def test_lists_show_public_projects_and_those_one_belongs_to(story: Story) -> None:
    make_project("open", story.alice, public=True)
    make_project("secret", story.alice)
    make_project("gone", story.alice, public=True, deleted=story.team.created)

    def names(client: Api) -> list[str]:
        return [row["name"] for row in client.get("/projects").json()]

    assert names(Api(story.bob)) == ["open", "team"]
    assert names(Api(story.mallory)) == ["open"]
    assert names(Api()) == ["open"]
    assert names(Api(story.admin)) == ["open", "secret", "team"]
    assert names(Api(make_robot(story.team, ["repository:pull"]))) == ["open", "team"]
    assert names(Api(make_robot(None, ["project:list"]))) == ["open", "secret", "team"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name=ea", ["team"]),
        ("public=true", ["open"]),
        ("public=False", ["team"]),
        ("owner=alice", ["open", "team"]),
        ("owner=bob", []),
        ("q=name=~PE", ["open"]),
        ("q=name=team,public=false", ["team"]),
        ("q=owner=~ali", ["open", "team"]),
        ("q=metadata=~x", ["open", "team"]),
        ("sort=-name", ["team", "open"]),
        ("sort=-owner__password", ["open", "team"]),
        ("with_detail=false", ["open", "team"]),
    ],
)
def test_lists_are_filtered_and_sorted(story: Story, query: str, names: list[str]) -> None:
    make_project("open", story.alice, public=True)
    assert [row["name"] for row in Api(story.alice).get(f"/projects?{query}").json()] == names


def test_head_tells_whether_a_name_is_taken(story: Story) -> None:
    assert Api(story.mallory).head("/projects?project_name=team").status_code == 200
    assert Api(story.mallory).head("/projects?project_name=free").status_code == 404
    assert Api(story.mallory).head("/projects").status_code == 422
    assert Api().head("/projects?project_name=team").status_code == 401


def test_a_project_with_repositories_cannot_be_deleted(story: Story) -> None:
    make_repository(story.team)
    assert Api(story.alice).get("/projects/team/_deletable").json()["deletable"] is False
    answer = Api(story.alice).delete("/projects/team")
    assert (answer.status_code, code(answer)) == (412, "PRECONDITION")
    assert Project.objects.live().filter(name="team").exists()


def test_a_deleted_project_leaves_its_name_and_nobody_in_it(story: Story) -> None:
    own, system = make_robot(story.team, ["repository:pull"]), make_robot()
    other = {"kind": "project", "namespace": "other", "access": [{"resource": "repository", "action": "pull"}]}
    system.permissions = [{**other, "namespace": "team"}, other]
    system.save()
    assert Api(story.alice).delete("/projects/team").status_code == 200
    assert not Member.objects.filter(project=story.team).exists()
    assert not Robot.objects.filter(pk=own.pk).exists()
    # Mallory makes a project of that name: what was allowed in the old one is not in hers.
    assert Api(story.mallory).post("/projects", {"project_name": "team"}).status_code == 201
    system.refresh_from_db()
    assert system.permissions == [other]
    assert Api(story.alice).get("/projects/team").status_code == 403


def test_the_summary_counts_members_and_storage(story: Story) -> None:
    body = Api(story.alice).get("/projects/team/summary").json()
    assert body == {
        "repo_count": 0,
        "project_admin_count": 1,
        "developer_count": 1,
        "guest_count": 1,
        "quota": {"hard": {"storage": -1}, "used": {"storage": 0}},
    }


def test_a_robot_of_the_system_makes_projects_for_the_first_admin(story: Story) -> None:
    maker = make_robot(None, ["project:create"])
    assert Api(maker).post("/projects", {"project_name": "made"}).status_code == 201
    assert Project.objects.get(name="made").owner == story.admin
    assert Api(make_robot(story.team, ["project:read"])).post("/projects", {"project_name": "x"}).status_code == 403


def test_lists_cost_the_same_for_one_and_for_thirty(
    story: Story, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    client = Api(story.alice)
    client.get("/projects")
    with django_assert_max_num_queries(10) as one:
        client.get("/projects?page_size=100")
    for number in range(30):
        make_repository(make_project(f"p{number:02}", story.alice))
    with django_assert_num_queries(len(one)):
        assert len(client.get("/projects?page_size=100").json()) == 31


def test_the_permissions_of_the_caller(story: Story) -> None:
    scope = f"scope=/project/{story.team.pk}"
    relative = Api(story.carol).get(f"/users/current/permissions?{scope}&relative=true").json()
    assert {"resource": "repository", "action": "pull"} in relative
    assert {"resource": "repository", "action": "push"} not in relative
    full = Api(story.carol).get(f"/users/current/permissions?{scope}").json()
    assert {"resource": f"/project/{story.team.pk}/repository", "action": "pull"} in full
    assert Api(story.mallory).get(f"/users/current/permissions?{scope}").json() == []
    assert Api(story.mallory).get("/users/current/permissions").json() == []
    assert Api().get("/users/current/permissions").status_code == 401


def test_deleted_users_are_no_members(story: Story) -> None:
    Api(story.admin).delete(f"/users/{story.bob.pk}")
    names = [row["entity_name"] for row in Api(story.alice).get("/projects/team/members").json()]
    assert names == ["alice", "carol"]
    make_user("bob", email=None)
    assert Api(story.alice).get("/projects/team/members").json()[0]["entity_name"] == "alice"
