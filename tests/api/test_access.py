"""Who may call what: default deny, 401 and 403, children under their parents, no mass assignment."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from projects.models import Member, Project
from rbac.models import Robot, User
from rbac.permissions import EVERYBODY, SIGNED_IN
from rbac.roles import GRANTS, SYSTEM, Role
from tests import factories
from tests.api.conftest import Call

pytestmark = pytest.mark.django_db


def api_routes() -> list[tuple[str, Any]]:
    def walk(patterns: Any, prefix: str) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                found += walk(pattern.url_patterns, path)
            elif isinstance(pattern, URLPattern) and path.startswith("api/v2.0/"):
                found.append((path, pattern.callback))
        return found

    return walk(get_resolver().url_patterns, "")


@pytest.mark.parametrize(("path", "view"), api_routes(), ids=[path for path, _ in api_routes()])
def test_every_view_names_what_it_guards(path: str, view: Any) -> None:
    resource = getattr(view.cls, "resource", None)
    assert resource in {EVERYBODY, SIGNED_IN, *GRANTS, *SYSTEM}


# Who → status, for requests about Alice's private project `team` (Bob develops, Carol is a guest).
WHO = ("alice", "bob", "carol", "mallory", "root", None)
NEW_MEMBER = {"role_id": 3, "member_user": {"username": "root"}}
ADDITIONS = "/projects/team/repositories/app/artifacts/v1/additions"
TABLE: list[tuple[str, str, Any, tuple[int, ...]]] = [
    ("get", "/projects/team", None, (200, 200, 200, 403, 200, 401)),
    ("put", "/projects/team", {"metadata": {"severity": "low"}}, (200, 403, 403, 403, 200, 401)),
    ("get", "/projects/team/summary", None, (200, 200, 200, 403, 200, 401)),
    ("get", "/projects/team/_deletable", None, (200, 403, 403, 403, 200, 401)),
    ("get", "/projects/team/members", None, (200, 200, 200, 403, 200, 401)),
    ("post", "/projects/team/members", NEW_MEMBER, (201, 403, 403, 403, 201, 401)),
    ("get", "/projects/team/artifacts", None, (200, 200, 200, 403, 200, 401)),
    ("get", "/projects/team/repositories", None, (200, 200, 200, 403, 200, 401)),
    ("get", "/projects/team/repositories/app", None, (200, 200, 200, 403, 200, 401)),
    ("put", "/projects/team/repositories/app", {"description": "x"}, (200, 200, 403, 403, 200, 401)),
    ("get", "/projects/team/repositories/app/artifacts", None, (200, 200, 200, 403, 200, 401)),
    ("post", "/projects/team/repositories/app/artifacts?from=team/app:v1", None, (201, 201, 403, 403, 201, 401)),
    ("get", "/projects/team/repositories/app/artifacts/v1", None, (200, 200, 200, 403, 200, 401)),
    ("get", "/projects/team/repositories/app/artifacts/v1/tags", None, (200, 200, 200, 403, 200, 401)),
    ("get", "/projects/team/repositories/app/artifacts/v1/accessories", None, (200, 200, 200, 403, 200, 401)),
    ("get", f"{ADDITIONS}/build_history", None, (200, 200, 200, 403, 200, 401)),
    ("get", f"{ADDITIONS}/vulnerabilities", None, (200, 200, 200, 403, 200, 401)),
    ("post", "/projects/team/repositories/app/artifacts/v1/tags", {"name": "new"}, (201, 201, 403, 403, 201, 401)),
    ("delete", "/projects/team/repositories/app/artifacts/v1/tags/v1", None, (200, 403, 403, 403, 200, 401)),
    ("delete", "/projects/team/repositories/app/artifacts/v1", None, (200, 403, 403, 403, 200, 401)),
    ("delete", "/projects/team/repositories/app", None, (200, 403, 403, 403, 200, 401)),
    ("delete", "/projects/team", None, (412, 403, 403, 403, 412, 401)),
    ("get", "/projects/nowhere", None, (403, 403, 403, 403, 404, 401)),
    ("get", "/projects", None, (200, 200, 200, 200, 200, 200)),
    ("post", "/projects", {"project_name": "fresh"}, (201, 201, 201, 201, 201, 401)),
    ("get", "/repositories", None, (200, 200, 200, 200, 200, 200)),
    ("get", "/users", None, (403, 403, 403, 403, 200, 401)),
    ("get", "/users/current", None, (200, 200, 200, 200, 200, 401)),
    ("get", "/users/search?username=a", None, (200, 200, 200, 200, 200, 401)),
    ("get", "/robots", None, (403, 403, 403, 403, 200, 401)),
    ("get", "/projects/team/logs", None, (200, 403, 403, 403, 200, 401)),
    ("get", "/projects/team/auditlog-exts", None, (200, 403, 403, 403, 200, 401)),
    ("get", "/audit-logs", None, (200, 200, 200, 200, 200, 401)),
    ("get", "/auditlog-exts", None, (200, 200, 200, 200, 200, 401)),
    ("get", "/auditlog-exts/events", None, (403, 403, 403, 403, 200, 401)),
    ("get", "/quotas", None, (403, 403, 403, 403, 200, 401)),
    ("get", "/labels?scope=g", None, (200, 200, 200, 200, 200, 401)),
    ("post", "/labels", {"name": "new", "scope": "g"}, (403, 403, 403, 403, 201, 401)),
    ("post", "/projects/team/repositories/app/artifacts/v1/labels", {"id": 999999}, (404, 404, 403, 403, 404, 401)),
    ("get", "/statistics", None, (200, 200, 200, 200, 200, 401)),
    ("get", "/configurations", None, (403, 403, 403, 403, 200, 401)),
    ("put", "/configurations", {"banner_message": "x"}, (403, 403, 403, 403, 200, 401)),
    ("get", "/usergroups", None, (403, 403, 403, 403, 200, 401)),
    ("get", "/system/CVEAllowlist", None, (200, 200, 200, 200, 200, 401)),
    ("put", "/system/CVEAllowlist", {"items": []}, (403, 403, 403, 403, 200, 401)),
    ("get", "/systeminfo/volumes", None, (403, 403, 403, 403, 200, 401)),
    ("get", "/permissions", None, (200, 403, 403, 403, 200, 401)),
    ("get", "/systeminfo", None, (200, 200, 200, 200, 200, 200)),
    ("get", f"/icons/sha256:{'0' * 64}", None, (404, 404, 404, 404, 404, 404)),
    ("get", "/ping", None, (200, 200, 200, 200, 200, 200)),
]  # fmt: skip
CASES = [
    pytest.param(who, method, path, body, status, id=f"{who}-{method}-{path}")
    for method, path, body, statuses in TABLE
    for who, status in zip(WHO, statuses, strict=True)
]


@pytest.fixture
def world(team: Project, mallory: User, admin: User, alice: User) -> Project:
    factories.push(factories.repository(team), alice, "v1")
    return team


@pytest.mark.parametrize(("who", "method", "path", "body", "status"), CASES)
def test_who_may_call_what(
    world: Project, call: Call, who: str | None, method: str, path: str, body: Any, status: int
) -> None:
    answer = call(who, method, path, body)
    assert answer.status_code == status, answer.content
    if status >= 400:
        assert answer.json()["errors"][0]["message"]
    assert answer["X-Request-Id"]


def test_the_table_has_a_line_for_every_kind_of_guard() -> None:
    """Robots of projects and single users are in tests of their own."""
    covered = {view.cls.resource for _, view in api_routes()}
    assert covered == {
        *(EVERYBODY, SIGNED_IN, "project", "member", "repository", "artifact", "tag", "accessory", "user", "robot"),
        *(
            "log",
            "audit-log",
            "quota",
            "label",
            "artifact-label",
            "artifact-addition",
            "configuration",
            "user-group",
            "system-volumes",
        ),
    }


def test_a_child_is_found_only_under_its_own_parent(world: Project, call: Call, mallory: User) -> None:
    """Mallory owns a project and uses it as a way to Alice's rows."""
    own = factories.project("own", mallory)
    factories.push(factories.repository(own), mallory, "mine")
    member = Member.objects.filter(project=world).first()
    artifact = world.repositories.get().artifacts.get()
    assert member is not None
    for method, path, body in (
        ("get", f"/projects/own/members/{member.pk}", None),
        ("put", f"/projects/own/members/{member.pk}", {"role_id": 5}),
        ("delete", f"/projects/own/members/{member.pk}", None),
        ("get", f"/projects/own/repositories/app/artifacts/{artifact.digest}", None),
        ("delete", f"/projects/own/repositories/app/artifacts/{artifact.digest}", None),
        ("delete", "/projects/own/repositories/app/artifacts/mine/tags/v1", None),
    ):
        assert call("mallory", method, path, body).status_code == 404, path
    member.refresh_from_db()
    artifact.refresh_from_db()
    assert (member.role, artifact.deleted) == (Role.PROJECT_ADMIN, None)


def test_foreign_robots_are_out_of_reach(world: Project, call: Call, mallory: User) -> None:
    factories.project("own", mallory)
    body = {"name": "ci", "level": "project", "duration": -1, "permissions": factories.grants("team", "pull")}
    made = call("alice", "post", "/robots", body)
    assert made.status_code == 201
    path = f"/robots/{made.json()['id']}"
    for method, form in (
        ("get", None),
        ("put", {**body, "permissions": factories.grants("own", "pull")}),
        ("patch", {}),
        ("delete", None),
    ):
        assert call("mallory", method, path, form).status_code == 403
        assert call(None, method, path, form).status_code == 401
    assert call("mallory", "get", f"/robots?q=Level=project,ProjectID={world.pk}").status_code == 403
    assert call("alice", "get", f"/robots?q=Level=project,ProjectID={world.pk}").json()[0]["name"] == "robot$team+ci"
    assert Robot.objects.get().permissions == [
        {"kind": "project", "namespace": "team", "access": [{"resource": "repository", "action": "pull"}]}
    ]


@pytest.mark.parametrize(
    ("who", "form", "status"),
    [
        ("mallory", {}, 403),
        ("bob", {}, 403),
        ("alice", {"permissions": factories.grants("open", "pull")}, 403),
        ("alice", {"permissions": factories.grants("*", "pull")}, 403),
        ("alice", {"level": "system"}, 403),
        ("alice", {"permissions": []}, 400),
        ("alice", {"duration": 0}, 400),
        ("alice", {"name": "Bad Name"}, 400),
        ("alice", {"permissions": factories.grants("team", "scanner-pull")}, 400),
        ("root", {"level": "system", "permissions": factories.grants("*", "pull")}, 201),
    ],
)
def test_nobody_gives_a_robot_what_he_does_not_have(
    world: Project, call: Call, mallory: User, who: str, form: dict[str, Any], status: int
) -> None:
    factories.project("open", mallory, public=True)
    body = {"name": "ci", "level": "project", "duration": -1, "permissions": factories.grants("team", "pull"), **form}
    assert call(who, "post", "/robots", body).status_code == status
    assert Robot.objects.count() == int(status == 201)


def test_fields_that_are_not_the_callers_to_set_are_not_set(world: Project, call: Call, alice: User) -> None:
    call(
        "alice",
        "put",
        f"/users/{alice.pk}",
        {"realname": "A", "sysadmin_flag": True, "is_sysadmin": True, "username": "x"},
    )
    alice.refresh_from_db()
    assert (alice.is_sysadmin, alice.username, alice.realname) == (False, "alice", "A")
    call("alice", "post", "/projects", {"project_name": "p", "storage_limit": 10**12, "owner_id": 1, "id": 99})
    project = Project.objects.get(name="p")
    assert (project.owner, project.quota.hard) == (alice, -1)
    assert call("alice", "put", f"/users/{alice.pk}/sysadmin", {"sysadmin_flag": True}).status_code == 403


def test_one_sees_and_changes_only_oneself(world: Project, call: Call, alice: User, bob: User) -> None:
    assert call("alice", "get", f"/users/{alice.pk}").status_code == 200
    assert call("alice", "get", f"/users/{bob.pk}").status_code == 403
    assert call("alice", "put", f"/users/{bob.pk}/password", {"new_password": "Other12345"}).status_code == 403
    assert call("alice", "delete", f"/users/{bob.pk}").status_code == 403
    assert call("alice", "delete", f"/users/{alice.pk}").status_code == 403


def test_a_limited_robot_calls_the_api_with_its_own_list(world: Project, call: Call) -> None:
    robot, secret = factories.robot("reader", factories.grants("team", "list"))
    who = f"{robot.name}:{secret}"
    assert call(who, "get", "/projects/team/repositories").status_code == 200
    assert call(who, "get", "/projects/team/repositories/app").status_code == 403
    assert call(who, "get", "/projects/team/members").status_code == 403
    assert call(who, "get", "/users/current").status_code == 412
