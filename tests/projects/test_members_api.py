"""Members through the API."""

from __future__ import annotations

from typing import Any

import pytest

from projects.models import Member
from rbac.roles import Role
from tests.rest import Api
from tests.rows import Story, add_member, make_group, make_project, make_user

MEMBERS = "/projects/team/members"


def test_an_owner_makes_a_member_of_a_person(story: Story) -> None:
    answer = Api(story.alice).post(MEMBERS, {"role_id": 4, "member_user": {"user_id": story.mallory.pk}})
    member = Member.objects.get(project=story.team, user=story.mallory)
    assert (answer.status_code, answer["Location"]) == (201, f"/api/v2.0/projects/team/members/{member.pk}")
    assert Api(story.mallory).get(f"{MEMBERS}/{member.pk}").json() == {
        "id": member.pk,
        "project_id": story.team.pk,
        "entity_name": "mallory",
        "role_name": "maintainer",
        "role_id": 4,
        "entity_id": story.mallory.pk,
        "entity_type": "u",
    }


def test_a_group_gives_its_people_its_role(story: Story) -> None:
    group = make_group("crew", [story.mallory])
    body = {"role_id": 2, "member_group": {"group_name": "crew"}}
    assert Api(story.alice).post(MEMBERS, body).status_code == 201
    assert Api(story.mallory).get("/projects/team").json()["current_user_role_id"] == 2
    assert Api(story.alice).post(MEMBERS, {"role_id": 3, "member_group": {"id": group.pk}}).status_code == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"role_id": 2, "member_user": {"username": "bob"}}, 409),
        ({"role_id": 2, "member_user": {"username": "nobody"}}, 404),
        ({"role_id": 2, "member_user": {"user_id": 999999}}, 404),
        ({"role_id": 2, "member_user": {"user_id": 2**70}}, 422),
        ({"role_id": 2, "member_group": {"id": 999999}}, 404),
        ({"role_id": 0, "member_user": {"username": "mallory"}}, 400),
        ({"role_id": 6, "member_user": {"username": "mallory"}}, 400),
        ({"role_id": "2", "member_user": {"username": "mallory"}}, 422),
        ({"role_id": True, "member_user": {"username": "mallory"}}, 422),
        ({"role_id": 2}, 400),
        ({"role_id": 2, "member_user": {}}, 400),
        ({"role_id": 2, "member_user": {"username": "mallory"}, "member_group": {"id": 1}}, 400),
        ({"member_user": {"username": "mallory"}}, 422),
    ],
    ids=str,
)
def test_members_that_cannot_be(story: Story, body: Any, status: int) -> None:
    assert Api(story.alice).post(MEMBERS, body).status_code == status
    assert story.team.members.count() == 3


def test_roles_change_and_end(story: Story) -> None:
    bob = Member.objects.get(user=story.bob)
    assert Api(story.alice).put(f"{MEMBERS}/{bob.pk}", {"role_id": 1}).status_code == 200
    assert Api(story.bob).get("/projects/team/_deletable").status_code == 200
    assert Api(story.alice).put(f"{MEMBERS}/{bob.pk}", {"role_id": 9}).status_code == 400
    assert Api(story.alice).delete(f"{MEMBERS}/{bob.pk}").status_code == 200
    assert Api(story.bob).get("/projects/team").status_code == 403
    assert Api(story.alice).delete(f"{MEMBERS}/{bob.pk}").status_code == 404


def test_members_of_another_project_are_out_of_reach(story: Story) -> None:
    """Mallory owns a project and asks there for Bob's membership of Alice's."""
    make_project("hers", story.mallory)
    bob = Member.objects.get(user=story.bob)
    url = f"/projects/hers/members/{bob.pk}"
    assert Api(story.mallory).get(url).status_code == 404
    assert Api(story.mallory).put(url, {"role_id": 1}).status_code == 404
    assert Api(story.mallory).delete(url).status_code == 404
    bob.refresh_from_db()
    assert bob.role == Role.DEVELOPER


def test_the_list_is_sorted_by_name_and_searched(story: Story) -> None:
    add_member(story.team, make_group("alpha"), Role.GUEST)
    rows = Api(story.carol).get(MEMBERS).json()
    assert [(row["entity_name"], row["entity_type"]) for row in rows] == [
        ("alice", "u"),
        ("alpha", "g"),
        ("bob", "u"),
        ("carol", "u"),
    ]
    assert [row["entity_name"] for row in Api(story.carol).get(f"{MEMBERS}?entityname=AL").json()] == ["alice", "alpha"]


def test_lists_cost_the_same_for_one_and_for_thirty(
    story: Story, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    client = Api(story.alice)
    client.get(MEMBERS)
    with django_assert_max_num_queries(8) as one:
        client.get(f"{MEMBERS}?page_size=1")
    for _ in range(30):
        add_member(story.team, make_user(), Role.GUEST)
    with django_assert_num_queries(len(one)):
        assert len(client.get(f"{MEMBERS}?page_size=30").json()) == 30
