"""Groups through the API."""

from __future__ import annotations

from typing import Any

import pytest

from projects.models import AuditLog, Member
from rbac.models import Group
from rbac.roles import Role
from tests.rest import Api, code
from tests.rows import Story, add_member, make_group, make_project, make_robot

CREW = {"group_name": "crew", "group_type": 1, "ldap_group_dn": "cn=crew,ou=groups,dc=example,dc=com"}


def test_an_admin_makes_reads_renames_and_deletes_a_group(story: Story) -> None:
    admin = Api(story.admin)
    answer = admin.post("/usergroups", CREW)
    group = Group.objects.get()
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer["Location"] == f"/api/v2.0/usergroups/{group.pk}"
    url = f"/usergroups/{group.pk}"
    assert admin.get(url).json() == {"id": group.pk, **CREW}
    answer = admin.put(url, {"group_name": "sailors", "group_type": 3, "ldap_group_dn": "cn=x", "id": 5})
    assert (answer.status_code, answer.content) == (200, b"")
    assert admin.get(url).json() == {"id": group.pk, **CREW, "group_name": "sailors"}
    assert admin.delete(url).status_code == 200
    assert admin.get(url).status_code == 404
    rows = AuditLog.objects.filter(resource_type="group").order_by("id")
    assert [(row.username, row.operation, row.resource) for row in rows] == [
        ("root", "create", "crew"),
        ("root", "update", "sailors"),
        ("root", "delete", "sailors"),
    ]


def test_other_groups_have_no_dn(story: Story) -> None:
    admin = Api(story.admin)
    for name, kind in (("web", 2), ("keycloak", 3)):
        assert admin.post("/usergroups", {**CREW, "group_name": name, "group_type": kind}).status_code == 201
        group = Group.objects.get(name=name)
        assert admin.get(f"/usergroups/{group.pk}").json() == {"id": group.pk, "group_name": name, "group_type": kind}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"group_name": ""}, 400),
        ({"group_name": "  "}, 400),
        ({"group_name": None}, 400),
        ({"group_name": "g" * 256}, 422),
        ({"group_name": 5}, 422),
        ({"group_type": 0}, 400),
        ({"group_type": 4}, 400),
        ({"group_type": -1}, 400),
        ({"group_type": None}, 400),
        ({"group_type": "1"}, 422),
        ({"ldap_group_dn": ""}, 400),
        ({"ldap_group_dn": "crew"}, 400),
        ({"ldap_group_dn": "cn=crew,"}, 400),
        ({"ldap_group_dn": "cn=crew,nonsense,dc=com"}, 400),
        ({"ldap_group_dn": "=crew"}, 400),
        ({"ldap_group_dn": "cn=" + "x" * 510}, 422),
    ],
    ids=str,
)
def test_what_a_group_cannot_be(story: Story, change: dict[str, Any], status: int) -> None:
    assert Api(story.admin).post("/usergroups", {**CREW, **change}).status_code == status
    assert not Group.objects.exists()


@pytest.mark.parametrize("dn", ["cn=Crew\\, all,DC=example", "CN=crew, OU=groups", "uid=a=b,dc=x", "2.5.4.3=crew"])
def test_dns_as_directories_write_them(story: Story, dn: str) -> None:
    assert Api(story.admin).post("/usergroups", {**CREW, "ldap_group_dn": dn}).status_code == 201
    assert Group.objects.get().ldap_dn == dn.lower()


def test_a_group_is_there_once(story: Story) -> None:
    admin = Api(story.admin)
    assert admin.post("/usergroups", CREW).status_code == 201
    same_dn = {**CREW, "group_name": "other", "ldap_group_dn": CREW["ldap_group_dn"].upper()}  # type: ignore[attr-defined]
    for body in (CREW, same_dn):
        answer = admin.post("/usergroups", body)
        assert (answer.status_code, code(answer)) == (409, "CONFLICT")
    # In another directory, or elsewhere, there may be another crew.
    assert admin.post("/usergroups", {**CREW, "ldap_group_dn": "cn=crew,dc=example,dc=org"}).status_code == 201
    assert admin.post("/usergroups", {"group_name": "crew", "group_type": 3}).status_code == 201
    assert admin.post("/usergroups", {"group_name": "crew", "group_type": 3}).status_code == 409
    assert admin.post("/usergroups", {"group_name": "web", "group_type": 3}).status_code == 201
    web = Group.objects.get(name="web")
    assert admin.put(f"/usergroups/{web.pk}", {"group_name": "crew"}).status_code == 409


# admin, a robot that may, a robot that may not, alice, nobody
@pytest.mark.parametrize(
    ("method", "path", "body", "action", "statuses"),
    [
        ("get", "", None, "list", "200 200 403 403 401"),
        ("post", "", {"group_name": "new", "group_type": 2}, "create", "201 409 403 403 401"),
        ("get", "/{id}", None, "read", "200 200 403 403 401"),
        ("put", "/{id}", {"group_name": "renamed"}, "update", "200 200 403 403 401"),
        ("delete", "/{id}", None, "delete", "200 200 403 403 401"),
        ("get", "/search?groupname=re", None, "list", "200 200 200 200 401"),
    ],
)
def test_who_may_do_what_to_groups(story: Story, method: str, path: str, body: Any, action: str, statuses: str) -> None:
    url = f"/usergroups{path.format(id=make_group().pk)}"
    may, may_not = make_robot(None, [f"user-group:{action}"]), make_robot(None, ["user:list"])
    callers = (story.admin, may, may_not, story.alice, None)
    assert " ".join(str(getattr(Api(who), method)(url, body).status_code) for who in callers) == statuses


def test_groups_that_are_not_there(story: Story) -> None:
    admin = Api(story.admin)
    assert admin.get("/usergroups/999999").status_code == 404
    assert admin.put("/usergroups/999999", {"group_name": "x"}).status_code == 404
    # Harbor's contract knows no 404 for this.
    assert admin.delete("/usergroups/999999").status_code == 200
    assert not AuditLog.objects.filter(resource_type="group").exists()
    for method in ("get", "delete"):
        assert getattr(admin, method)("/usergroups/0").status_code == 400
    assert admin.put(f"/usergroups/{make_group().pk}", {}).status_code == 400
    assert admin.get(f"/usergroups/{2**63}").status_code == 422


def test_the_list_is_filtered_paged_and_counted(story: Story) -> None:
    admin = Api(story.admin)
    admin.post("/usergroups", CREW)
    for name in ("alpha", "Alphabet", "beta"):
        make_group(name)

    def names(query: str) -> list[str]:
        return sorted(row["group_name"] for row in admin.get(f"/usergroups{query}").json())

    assert names("") == ["Alphabet", "alpha", "beta", "crew"]
    assert names("?group_name=ALPH") == ["Alphabet", "alpha"]
    assert names("?ldap_group_dn=CN=crew,ou=groups,dc=example,dc=com") == ["crew"]
    assert names("?ldap_group_dn=cn=nobody") == []
    assert names("?q=group_type%3D1") == ["crew"]
    page = admin.get("/usergroups?page_size=3")
    assert (len(page.json()), page["X-Total-Count"]) == (3, "4")
    assert page["Link"] == '</api/v2.0/usergroups?page_size=3&page=2>; rel="next"'
    assert admin.get("/usergroups?page_size=101").status_code == 422


def test_whoever_signed_in_finds_groups_by_name(story: Story) -> None:
    group = make_group("crew")
    make_group("other")
    answer = Api(story.mallory).get("/usergroups/search?groupname=REW")
    assert answer.json() == [{"id": group.pk, "group_name": "crew", "group_type": 3}]
    assert answer["X-Total-Count"] == "1"
    assert Api(story.mallory).get("/usergroups/search").status_code == 422


def test_with_a_group_goes_what_its_members_could_do(story: Story) -> None:
    project = make_project("ship", story.alice)
    group = make_group("crew", [story.mallory])
    add_member(project, group, Role.DEVELOPER)
    assert Api(story.mallory).get("/projects/ship").status_code == 200
    assert Api(story.admin).delete(f"/usergroups/{group.pk}").status_code == 200
    assert Api(story.mallory).get("/projects/ship").status_code == 403
    assert not Member.objects.filter(project=project, user=None).exists()


def test_a_group_can_be_made_a_member_by_its_name(story: Story) -> None:
    Api(story.admin).post("/usergroups", CREW)
    body = {"role_id": 2, "member_group": {"group_name": "crew", "group_type": 1}}
    assert Api(story.alice).post("/projects/team/members", body).status_code == 201
