"""Members through the API."""

from __future__ import annotations

from typing import Any

import pytest

from projects.models import AuditLog, Member
from rbac.models import Group
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
        ({"role_id": 2, "member_group": {"id": 999999}}, 400),
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


DN = "cn=crew,ou=groups,dc=example,dc=com"


@pytest.fixture
def crews(story: Story) -> dict[int, Group]:
    """A group of each kind, all of one name, by their `group_type`."""
    return {
        1: Group.objects.create(name="crew", kind=Group.Kind.LDAP, ldap_dn=DN),
        2: Group.objects.create(name="crew", kind=Group.Kind.HTTP),
        3: Group.objects.create(name="crew", kind=Group.Kind.OIDC),
    }


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"group_name": "crew", "group_type": 1}, 1),
        ({"group_name": "crew", "group_type": 2}, 2),
        ({"group_name": "crew", "group_type": 3}, 3),
        ({"ldap_group_dn": DN}, 1),
        ({"ldap_group_dn": f" {DN.upper()}", "group_type": 1}, 1),
        # As in Harbor, the DN says which, and no group is renamed by the way.
        ({"ldap_group_dn": DN, "group_name": "sailors"}, 1),
    ],
    ids=str,
)
def test_of_groups_of_one_name_the_one_that_is_meant_becomes_a_member(
    story: Story, crews: dict[int, Group], said: dict[str, Any], kind: int
) -> None:
    assert Api(story.alice).post(MEMBERS, {"role_id": 2, "member_group": said}).status_code == 201
    assert Member.objects.get(project=story.team, user=None).group == crews[kind]
    assert list(Group.objects.values_list("name", flat=True)) == ["crew"] * 3


def test_an_id_says_which_group_whatever_else_is_said(story: Story, crews: dict[int, Group]) -> None:
    said = {"id": crews[2].pk, "group_name": "crew", "group_type": 3, "ldap_group_dn": DN}
    assert Api(story.alice).post(MEMBERS, {"role_id": 2, "member_group": said}).status_code == 201
    assert Member.objects.get(project=story.team, user=None).group == crews[2]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            {"group_name": "crew"},
            "4 groups are called crew: say which by its group_type, 1 (LDAP) or 2 (HTTP) or 3 (OIDC), or by its id",
        ),
        (
            {"group_name": "crew", "group_type": 1},
            "2 groups are called crew: say which by its ldap_group_dn, or by its id",
        ),
        (
            {"group_name": "sailors"},
            "no such group is called sailors; one is made for group_type 2 (HTTP) or 3 (OIDC), "
            "and one of LDAP for its ldap_group_dn",
        ),
        (
            {"group_name": "sailors", "group_type": 1},
            "no such group is called sailors; one is made for group_type 2 (HTTP) or 3 (OIDC), "
            "and one of LDAP for its ldap_group_dn",
        ),
        ({"group_name": "crew", "group_type": 4}, "group_type must be 1 (LDAP), 2 (HTTP) or 3 (OIDC), not 4"),
        (
            {"ldap_group_dn": DN, "group_type": 3},
            "ldap_group_dn is for groups of LDAP (group_type 1), not of 3",
        ),
        (
            {"ldap_group_dn": "crew"},
            "ldap_group_dn must be a distinguished name, such as cn=crew,ou=groups,dc=example,dc=com",
        ),
        ({"group_type": 3}, "say which group by its id, its ldap_group_dn, or its group_name"),
        ({"group_name": " ", "group_type": 3}, "say which group by its id, its ldap_group_dn, or its group_name"),
        ({"id": 999999, "group_name": "crew", "group_type": 3}, "there is no group with the id 999999"),
    ],
    ids=lambda given: str(given) if isinstance(given, dict) else "",
)
def test_who_does_not_say_which_group_hears_what_to_say(
    story: Story, crews: dict[int, Group], said: dict[str, Any], words: str
) -> None:
    Group.objects.create(name="crew", kind=Group.Kind.LDAP, ldap_dn="cn=crew,dc=example,dc=org")
    answer = Api(story.alice).post(MEMBERS, {"role_id": 2, "member_group": said})
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (400, words)
    assert (story.team.members.count(), Group.objects.count()) == (3, 4)


@pytest.mark.parametrize(
    ("said", "made"),
    [
        ({"group_name": "sailors", "group_type": 2}, ("sailors", 2, "")),
        ({"group_name": "sailors", "group_type": 3}, ("sailors", 3, "")),
        ({"ldap_group_dn": "CN=Sailors,DC=example", "group_type": 1}, ("Sailors", 1, "cn=sailors,dc=example")),
        ({"ldap_group_dn": "cn=a\\,b,dc=example"}, ("a\\,b", 1, "cn=a\\,b,dc=example")),
        ({"ldap_group_dn": f"cn={'x' * 300}"}, ("x" * 255, 1, f"cn={'x' * 300}")),
        ({"ldap_group_dn": "cn=sailors", "group_name": "The crew"}, ("The crew", 1, "cn=sailors")),
    ],
    ids=lambda given: str(given)[:60],
)
def test_a_group_that_nobody_knows_yet_is_made(story: Story, said: dict[str, Any], made: tuple[str, int, str]) -> None:
    assert Api(story.alice).post(MEMBERS, {"role_id": 2, "member_group": said}).status_code == 201
    group = Group.objects.get()
    assert (group.name, group.kind, group.ldap_dn) == made
    assert Member.objects.get(project=story.team, user=None).group == group
    written = AuditLog.objects.order_by("pk").values_list("username", "operation", "resource_type", "resource")
    assert list(written) == [
        ("alice", "create", "group", made[0]),
        ("alice", "create", "member", f"team/{made[0]}"),
    ]
    assert Api(story.alice).post(MEMBERS, {"role_id": 2, "member_group": said}).status_code == 409
    assert Group.objects.count() == 1


def test_who_may_not_make_members_makes_no_groups(story: Story) -> None:
    body = {"role_id": 2, "member_group": {"group_name": "sailors", "group_type": 3}}
    for who in (story.bob, story.mallory):
        assert Api(who).post(MEMBERS, body).status_code == 403
    assert Api(story.alice).post(MEMBERS, {**body, "role_id": 9}).status_code == 400
    assert not Group.objects.exists()


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
