"""What robots can be given, through the API."""

from __future__ import annotations

import pytest

from rbac import roles
from rbac.roles import Role
from tests.rest import Api
from tests.rows import Story, add_member, make_group, make_project, make_robot


def pairs(rows: list[dict[str, str]]) -> set[tuple[str, str]]:
    assert all(set(row) == {"resource", "action"} for row in rows)
    found = {(row["resource"], row["action"]) for row in rows}
    assert len(found) == len(rows)
    return found


def test_an_admin_sees_what_robots_of_both_kinds_can_be_given(story: Story) -> None:
    body = Api(story.admin).get("/permissions").json()
    assert set(body) == {"system", "project"}
    system, project = pairs(body["system"]), pairs(body["project"])
    # Samples by hand, from Harbor's lists.
    assert {("audit-log", "list"), ("catalog", "read"), ("quota", "update"), ("user-group", "delete")} <= system
    assert not {("repository", "pull"), ("configuration", "read"), ("robot", "update")} & system
    assert {("repository", "push"), ("metadata", "list"), ("member", "create"), ("export-cve", "read")} <= project
    assert not {("tag-retention", "operate"), ("catalog", "read"), ("repository", "scanner-pull")} & project


@pytest.mark.parametrize("kind", ["system", "project"])
def test_a_robot_can_be_given_all_of_the_list_and_nothing_else(story: Story, kind: str) -> None:
    listed = Api(story.admin).get("/permissions").json()[kind]
    namespace = "/" if kind == "system" else "team"
    body = {"name": "all", "level": "system", "duration": -1}

    def made(name: str, access: list[dict[str, str]]) -> int:
        permissions = [{"kind": kind, "namespace": namespace, "access": access}]
        answer = Api(story.admin).post("/robots", {**body, "name": name, "permissions": permissions})
        return int(answer.status_code)

    assert made("all", listed) == 201
    others = sorted({*roles.project_permissions(), ("configuration", "update")} - pairs(listed))
    resource, action = others[0]
    assert made("more", [*listed, {"resource": resource, "action": action}]) == 400


def test_a_project_admin_sees_what_robots_of_projects_can_be_given(story: Story) -> None:
    everything = Api(story.admin).get("/permissions").json()
    assert Api(story.alice).get("/permissions").json() == {"system": [], "project": everything["project"]}


def test_who_is_project_admin_through_a_group_is_one(story: Story) -> None:
    assert Api(story.mallory).get("/permissions").status_code == 403
    add_member(make_project("ship", story.alice), make_group("crew", [story.mallory]), Role.PROJECT_ADMIN)
    assert Api(story.mallory).get("/permissions").status_code == 200


def test_others_make_no_robots_and_see_no_list(story: Story) -> None:
    add_member(make_project("ship", story.alice), story.carol, Role.MAINTAINER)
    assert [Api(who).get("/permissions").status_code for who in (story.bob, story.carol, None)] == [403, 403, 401]
    assert Api(make_robot(None, ["robot:create"])).get("/permissions").status_code == 403
    assert Api(make_robot(story.team, ["robot:create"])).get("/permissions").status_code == 403


def test_who_administers_a_deleted_project_administers_none(story: Story) -> None:
    assert Api(story.alice).get("/permissions").status_code == 200
    assert Api(story.alice).delete("/projects/team").status_code == 200
    assert Api(story.alice).get("/permissions").status_code == 403
