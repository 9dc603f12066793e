"""The audit log through the API: Alice owns `team`, Bob develops there, Carol is a guest, Mallory a stranger."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from core import clock, events
from core.api import pagination
from core.cve_allowlist import CveAllowlistChanged
from core.events import emit
from core.models import Outbox
from projects import projects
from projects.events import TagDeleted
from projects.models import AuditLog, Project
from rbac.access import Actor, allowed
from rbac.models import Group
from rbac.roles import Role
from tests import plans
from tests.rest import Api, code
from tests.rows import (
    PASSWORD,
    Story,
    add_member,
    make_artifact,
    make_group,
    make_project,
    make_repository,
    make_robot,
)

EVERYTHING = ("/auditlog-exts", "/audit-logs")
OF_TEAM = ("/projects/team/auditlog-exts", "/projects/team/logs")
LISTS = (*EVERYTHING, *OF_TEAM)
FROM = {"X-Real-IP": "192.0.2.7"}
# What a sample of an event holds: the same everywhere, so that each row can be told what it must say.
SAMPLE = {"str": "sample", "int": 3, "int | None": 7, "tuple[str, ...]": ("sample", "other")}
KINDS = sorted(events.kinds(), key=lambda kind: kind.__qualname__)
AUDITED = [kind for kind in KINDS if kind.is_audited]


def write(project: Project | None, resource: str, *, days_ago: float = 0, **facts: Any) -> None:
    AuditLog.objects.create(
        **{
            "op_time": clock.now() - timedelta(days=days_ago),
            "username": "alice",
            "operation": "create",
            "resource_type": "tag",
            "resource": resource,
            "project_id": project.pk if project else None,
            **facts,
        }
    )


def resources(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["resource"] for row in answer.json()]


# --- what is written ----------------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize("kind", AUDITED, ids=lambda kind: kind.__qualname__)
def test_an_event_of_any_kind_is_one_row_that_says_who_what_and_with_what_result(kind: Any) -> None:
    # What went with something else has no row of its own.
    fields = [field for field in dataclasses.fields(kind) if field.name != "gone_with"]
    event = kind(**{field.name: SAMPLE[str(field.type)] for field in fields})
    emit(event)
    row = AuditLog.objects.get()
    assert (row.username, row.project_id, row.succeeded) == ("sample", 7, kind.succeeded)
    named = "CVE allowlist" if kind is CveAllowlistChanged else "sample"
    assert (row.operation, row.resource_type, row.resource) == (kind.operation, kind.resource_type, event.resource)
    assert row.description.startswith(f"{kind.operation} {kind.resource_type}: {named}")
    assert abs(row.op_time - clock.now()) < timedelta(minutes=5)


@pytest.mark.django_db
def test_news_that_are_nobodys_deed_have_no_row() -> None:
    others: list[Any] = [kind for kind in KINDS if not kind.is_audited]
    assert {kind.topic for kind in others} == {"PULL_ARTIFACT", "QUOTA_EXCEED", "QUOTA_WARNING"}
    for kind in others:
        emit(kind(**{field.name: SAMPLE[str(field.type)] for field in dataclasses.fields(kind)}))
    assert not AuditLog.objects.exists()


APP = "/projects/team/repositories/app"
USER = {"username": "dave", "password": "Secret123", "email": "dave@example.com"}
ROBOT = {
    "name": "ci",
    "level": "project",
    "duration": -1,
    "permissions": [{"kind": "project", "namespace": "team", "access": [{"resource": "repository", "action": "pull"}]}],
}
CHANGES = [
    ("post", "/projects", {"project_name": "fresh"}, "create", "project", "fresh"),
    ("put", "/projects/team", {"metadata": {"severity": "low"}}, "update", "project", "team"),
    ("put", APP, {"description": "x"}, "update", "repository", "team/app"),
    ("post", f"{APP}/artifacts/v1/tags", {"name": "v2"}, "create", "tag", "team/app:v2"),
    ("delete", f"{APP}/artifacts/v1/tags/v1", None, "delete", "tag", "team/app:v1"),
    ("delete", f"{APP}/artifacts/v1", None, "delete", "artifact", "team/app@{digest}"),
    ("delete", APP, None, "delete", "repository", "team/app"),
    (
        "post",
        "/projects/team/members",
        {"role_id": 3, "member_user": {"username": "mallory"}},
        "create",
        "member",
        "team/mallory",
    ),
    ("post", "/users", USER, "create", "user", "dave"),
    ("post", "/robots", ROBOT, "create", "robot", "robot$team+ci"),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change[3]}-{change[4]}")
def test_an_acknowledged_change_is_there_once_with_the_address_it_came_from(story: Story, change: Any) -> None:
    method, path, body, operation, resource_type, resource = change
    artifact = make_artifact(make_repository(story.team), "v1")
    assert getattr(Api(story.admin), method)(path, body, headers=FROM).status_code in (200, 201)
    row = AuditLog.objects.get()
    assert (row.username, row.operation, row.resource_type) == ("root", operation, resource_type)
    assert row.resource == resource.format(digest=artifact.digest)
    assert (row.address, row.succeeded) == ("192.0.2.7", True)


def test_a_refused_change_is_not_there(story: Story) -> None:
    make_repository(story.team)
    assert Api(story.carol).put(APP, {"description": "x"}).status_code == 403
    assert not AuditLog.objects.exists()


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Client-IP", "Client-IP", "Forwarded", "X-Forwarded"])
def test_nobody_chooses_the_address_that_he_came_from(story: Story, header: str) -> None:
    headers = {"X-Real-IP": "10.0.0.5", header: "8.8.8.8"}
    assert Api(story.alice).post("/projects", {"project_name": "fresh"}, headers=headers).status_code == 201
    assert AuditLog.objects.get().address == "10.0.0.5"


def test_what_the_platform_does_by_itself_comes_from_nowhere(story: Story) -> None:
    Api(story.alice).get("/projects", headers=FROM)
    projects.create_for(name="given", owner=story.bob)
    row = AuditLog.objects.get()
    assert (row.username, row.address) == ("system", "")


# --- signing in ---------------------------------------------------------------------------------------------
def sign_in(browser: Client, name: str, password: str) -> int:
    return browser.post("/sign-in", {"username": name, "password": password}, headers=FROM).status_code


def rows_of_sign_ins() -> list[tuple[str, str, str, bool, str]]:
    return list(
        AuditLog.objects.order_by("id").values_list("username", "operation", "resource", "succeeded", "address")
    )


def test_signing_in_and_out_are_rows(story: Story) -> None:
    browser = Client()
    assert sign_in(browser, "alice", PASSWORD) == 302
    assert browser.post("/sign-out", headers=FROM).status_code == 302
    assert rows_of_sign_ins() == [
        ("alice", "login", "alice", True, "192.0.2.7"),
        ("alice", "logout", "alice", True, "192.0.2.7"),
    ]


def test_who_is_not_signed_in_signs_out_without_a_row(story: Story) -> None:
    assert Client().post("/sign-out").status_code == 302
    assert not AuditLog.objects.exists()


def test_a_failed_sign_in_names_the_account_only_if_it_exists(story: Story) -> None:
    """Somebody types his password into the field of the name."""
    for name in ("alice", "My-Passw0rd", "nul\0"):
        assert sign_in(Client(), name, "wrong") == 401
    assert rows_of_sign_ins() == [
        ("anonymous", "login", "alice", False, "192.0.2.7"),
        ("anonymous", "login", "", False, "192.0.2.7"),
        ("anonymous", "login", "", False, "192.0.2.7"),
    ]
    assert set(Outbox.objects.values_list("topic", flat=True)) == {"LOGIN_USER_FAILED"}
    assert "My-Passw0rd" not in str([*AuditLog.objects.values(), *Outbox.objects.values()])


def test_guessing_beyond_the_limit_fills_no_table(story: Story) -> None:
    answers = [sign_in(Client(), "alice", "wrong") for _ in range(40)]
    assert answers[-1] == 429
    assert AuditLog.objects.count() == answers.count(401)


# --- what a row looks like ----------------------------------------------------------------------------------
def test_the_newer_list_has_harbors_fields(story: Story) -> None:
    artifact = make_artifact(make_repository(story.team), "v1")
    assert Api(story.alice).post(f"{APP}/artifacts/v1/tags", {"name": "v2"}, headers=FROM).status_code == 201
    (row,) = Api(story.alice).get("/auditlog-exts").json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row.pop("op_time"))
    assert row.pop("id") == AuditLog.objects.get().id
    assert row == {
        "username": "alice",
        "operation": "create",
        "operation_description": f"create tag: team/app:v2 ({artifact.digest}), from 192.0.2.7",
        "operation_result": True,
        "resource": "team/app:v2",
        "resource_type": "tag",
    }


def test_a_result_is_shown_when_it_is_false_and_empty_fields_are_left_out(story: Story) -> None:
    sign_in(Client(), "nobody-there", "wrong")
    (row,) = Api(story.admin).get("/auditlog-exts").json()
    assert row["operation_result"] is False
    assert "resource" not in row


def test_the_older_list_has_its_own_fields_and_kinds(story: Story) -> None:
    for kind in ("project", "repository", "artifact", "tag", "member", "robot", "user"):
        write(story.team, kind, resource_type=kind)
    rows = Api(story.alice).get("/audit-logs").json()
    assert {row["resource_type"] for row in rows} == {"project", "repository", "artifact", "tag"}
    assert set(rows[0]) == {"id", "username", "operation", "resource", "resource_type", "op_time"}
    assert {row["resource"] for row in Api(story.alice).get("/projects/team/logs").json()} == {
        *("project", "repository", "artifact", "tag")
    }


def test_event_types_are_those_that_rows_have(story: Story) -> None:
    types = [entry["event_type"] for entry in Api(story.admin).get("/auditlog-exts/events").json()]
    assert types == sorted(set(types))
    assert {"create_artifact", "delete_tag", "login_user", "update_repository", "create_robot"} <= set(types)
    assert {f"{kind.operation}_{kind.resource_type}" for kind in AUDITED} == set(types)


# --- who sees what ------------------------------------------------------------------------------------------
@pytest.fixture
def rows(story: Story) -> None:
    other = make_project("other", story.mallory)
    write(story.team, "of-team")
    write(other, "of-other")
    write(None, "of-nobody")


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("path", EVERYTHING)
def test_everybody_sees_the_projects_whose_log_he_may_list(story: Story, path: str) -> None:
    assert sorted(resources(Api(story.admin).get(path))) == ["of-nobody", "of-other", "of-team"]
    assert resources(Api(story.alice).get(path)) == ["of-team"]
    assert resources(Api(story.mallory).get(path)) == ["of-other"]
    assert [resources(Api(who).get(path)) for who in (story.bob, story.carol)] == [[], []]
    assert Api(story.carol).get(path)["X-Total-Count"] == "0"
    assert code(Api().get(path)) == "UNAUTHORIZED"


@pytest.mark.usefixtures("rows")
def test_a_public_project_keeps_its_log_to_itself(story: Story) -> None:
    Project.objects.filter(name="team").update(public=True)
    assert [resources(Api(story.carol).get(path)) for path in EVERYTHING] == [[], []]
    assert [Api(story.mallory).get(path).status_code for path in OF_TEAM] == [403, 403]
    assert [Api().get(path).status_code for path in OF_TEAM] == [401, 401]


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("path", OF_TEAM)
def test_a_projects_log_is_for_its_admins(story: Story, path: str) -> None:
    assert resources(Api(story.alice).get(path)) == ["of-team"]
    assert resources(Api(story.admin).get(path)) == ["of-team"]
    nowhere = path.replace("team", "nowhere")
    assert Api(story.admin).get(nowhere).status_code == 404
    for who in (story.bob, story.carol, story.mallory):
        refused, unknown = Api(who).get(path), Api(who).get(nowhere)
        assert (refused.status_code, unknown.status_code) == (403, 403)
        assert refused.json() == unknown.json()
    assert [Api().get(each).status_code for each in (path, nowhere)] == [401, 401]


@pytest.mark.usefixtures("rows")
def test_event_types_are_for_who_sees_everything(story: Story) -> None:
    path = "/auditlog-exts/events"
    assert [Api(who).get(path).status_code for who in (story.alice, None)] == [403, 401]
    auditor = make_robot(access=["audit-log:list"])
    assert Api(auditor).get(path).status_code == 200


@pytest.mark.usefixtures("rows")
def test_robots_see_what_their_list_says(story: Story) -> None:
    assert len(resources(Api(make_robot(access=["audit-log:list"])).get("/auditlog-exts"))) == 3
    reader = make_robot(story.team, ["log:list"])
    assert resources(Api(reader).get("/auditlog-exts")) == ["of-team"]
    assert resources(Api(reader).get("/projects/team/auditlog-exts")) == ["of-team"]
    puller = make_robot(story.team, ["repository:pull"])
    assert resources(Api(puller).get("/auditlog-exts")) == []
    assert Api(puller).get("/projects/team/auditlog-exts").status_code == 403


@pytest.mark.usefixtures("rows")
def test_a_guest_of_some_tags_learns_of_no_tag_from_the_log(story: Story) -> None:
    project = make_project("shared", story.alice)
    add_member(project, story.mallory, Role.GUEST, {"app": ["v1*"]})
    write(project, "shared/app:v2")
    client = Api(story.mallory)
    assert resources(client.get("/auditlog-exts")) == resources(client.get("/audit-logs")) == ["of-other"]
    for name in ("auditlog-exts", "logs"):
        refused, unknown = client.get(f"/projects/shared/{name}"), client.get(f"/projects/nowhere/{name}")
        assert refused.status_code == unknown.status_code == 403
        assert refused.json() == unknown.json()


@pytest.mark.usefixtures("rows")
def test_an_admin_through_a_group_sees_the_log_and_a_deleted_project_has_none(story: Story) -> None:
    crew: Group = make_group("crew", [story.bob])
    add_member(story.team, crew, Role.PROJECT_ADMIN)
    assert resources(Api(story.bob).get("/auditlog-exts")) == ["of-team"]
    projects.delete(project=story.team, actor=story.admin)
    assert resources(Api(story.bob).get("/auditlog-exts")) == []
    assert "of-team" in resources(Api(story.admin).get("/auditlog-exts"))


def test_the_list_of_projects_and_the_single_question_agree(story: Story) -> None:
    """`allowing` asks once for all projects what `allowed` asks for each."""
    make_project("open", story.bob, public=True)
    add_member(make_project("some", story.alice), story.mallory, Role.GUEST, {"app": ["v1"]})
    everywhere = make_robot(name="everywhere", access=[])
    everywhere.permissions = [{"kind": "project", "namespace": "*", "access": [{"resource": "log", "action": "list"}]}]
    everywhere.save()
    robots = [everywhere, make_robot(story.team, ["log:list", "repository:push"])]
    people: list[Actor] = [story.admin, story.alice, story.bob, story.carol, story.mallory, *robots]
    for resource, action in (("log", "list"), ("repository", "pull"), ("repository", "read"), ("member", "list")):
        for actor in people:
            answered = set(Project.objects.allowing(actor, resource, action))
            asked = {project for project in Project.objects.live() if allowed(actor, resource, action, project)}
            assert answered == asked, (actor, resource, action)


# --- q, sort, pages -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("username=bob", ["b"]),
        ("operation={delete update}", ["c", "b"]),
        ("resource=~A", ["a"]),
        ("resource_type=artifact", ["c"]),
        ("ResourceType=artifact", ["c"]),
        ("operation_result=false", ["b"]),
        ("operation_description=~by hand", ["c"]),
        ("address=192.0.2.7", ["a"]),
        ("op_time=[2024-01-02T00:00:00~2024-01-03T00:00:00]", ["old"]),
        ("op_time=[~2024-01-03T00:00:00]", ["old"]),
        ("OpTime=[2024-01-01T00:00:00~],username=~", ["c", "b", "a", "old"]),
        ("unknown=1", ["c", "b", "a"]),
    ],
)
@pytest.mark.parametrize("path", LISTS)
def test_rows_are_filtered_as_in_harbor(story: Story, path: str, q: str, expected: list[str]) -> None:
    old = clock.now() - clock.now().replace(year=2024, month=1, day=2, hour=9)
    write(story.team, "old", days_ago=old / timedelta(days=1))
    write(story.team, "a", days_ago=3, address="192.0.2.7")
    write(story.team, "b", days_ago=2, username="bob", operation="delete", succeeded=False)
    write(story.team, "c", days_ago=1, operation="update", resource_type="artifact", description="by hand")
    assert resources(Api(story.alice).get(path, {"q": q})) == expected


@pytest.mark.parametrize("path", LISTS)
def test_rows_are_sorted_and_paged_as_in_harbor(story: Story, path: str) -> None:
    for number in range(12):
        write(story.team, f"r{number:02}", days_ago=20 - number)
    first = Api(story.alice).get(path)
    assert resources(first) == [f"r{number:02}" for number in range(11, 1, -1)]
    assert first["X-Total-Count"] == "12"
    assert first["Link"] == f'</api/v2.0{path}?page=2&page_size=10>; rel="next"'
    assert resources(Api(story.alice).get(f"{path}?sort=resource&page_size=2")) == ["r00", "r01"]
    assert resources(Api(story.alice).get(f"{path}?sort=op_time&page_size=5&page=3")) == ["r10", "r11"]


@pytest.mark.parametrize(
    ("query", "status"),
    [("q=op_time=[x~y]", 400), ("q=op_time", 400), ("q=id=x", 400), ("q=op_time=~2024", 400), ("page_size=101", 422)],
)
@pytest.mark.parametrize("path", LISTS)
def test_what_makes_no_sense_is_refused(story: Story, path: str, query: str, status: int) -> None:
    assert Api(story.alice).get(f"{path}?{query}").status_code == status


@pytest.mark.parametrize("path", LISTS)
def test_without_a_time_the_last_thirty_days_are_shown(story: Story, path: str) -> None:
    write(story.team, "older", days_ago=31)
    write(story.team, "newer", days_ago=29)
    answer = Api(story.alice).get(path)
    assert (resources(answer), answer["X-Total-Count"]) == (["newer"], "1")


def test_no_more_is_counted_than_a_page_needs(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagination, "MOST_COUNTED", 4)
    for number in range(9):
        write(story.team, f"r{number}", days_ago=number)
    path, seen = "/api/v2.0/auditlog-exts?page_size=2", []
    totals = []
    while path:
        answer = Api(story.alice).get(path)
        seen += resources(answer)
        totals.append(answer["X-Total-Count"])
        following = re.search(r'<([^>]*)>; rel="next"', answer.headers.get("Link", ""))
        path = following[1] if following else ""
    assert seen == [f"r{number}" for number in range(9)]
    assert totals == ["4", "5", "7", "9", "9"]
    assert resources(Api(story.alice).get(f"/auditlog-exts?page={2**62}")) == []


def test_months_that_nobody_asks_for_are_not_read(story: Story) -> None:
    """The plan leaves out their partitions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE audit_log_2019_01 PARTITION OF audit_log FOR VALUES FROM ('2019-01-01') TO ('2019-02-01')"
        )
    write(story.team, "newer")
    with CaptureQueriesContext(connection) as queries:
        assert resources(Api(story.alice).get("/auditlog-exts")) == ["newer"]
    selects = [query["sql"] for query in queries if 'FROM "audit_log"' in query["sql"]]
    assert len(selects) == 2
    for sql in selects:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "audit_log_default" in plan
        assert "audit_log_2019_01" not in plan


def is_of_the_log(node: dict[str, Any]) -> bool:
    """Whether a step of a plan takes rows from the log."""
    return str(node.get("Relation Name", "")).startswith("audit_log") or node["Node Type"] == "Bitmap Index Scan"


def test_rows_of_projects_that_somebody_does_not_see_cost_him_nothing(story: Story) -> None:
    other = make_project("other", story.mallory)
    for number in range(3):
        write(story.team, f"r{number}", days_ago=number)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_log (username, operation, resource_type, resource, project_id) "
            "SELECT 'mallory', 'create', 'artifact', 'other/app', %s FROM generate_series(1, 20000)",
            [other.pk],
        )
        cursor.execute("ANALYZE audit_log")
    with CaptureQueriesContext(connection) as queries:
        assert resources(Api(story.alice).get("/auditlog-exts")) == ["r0", "r1", "r2"]
    selects = [query["sql"] for query in queries if 'FROM "audit_log"' in query["sql"]]
    assert len(selects) == 2
    for sql in selects:
        assert 3 <= sum(map(plans.rows_of, filter(is_of_the_log, plans.nodes(sql)))) < 100


def test_a_tags_row_is_written_with_its_project(story: Story) -> None:
    emit(TagDeleted(actor="bob", project_id=story.team.pk, project="team", repository="team/app", digest="d", tag="v"))
    assert resources(Api(story.alice).get("/projects/team/logs")) == ["team/app:v"]
