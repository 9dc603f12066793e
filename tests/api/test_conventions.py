"""Harbor's conventions: paging, q, sort, names, headers, errors."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from projects.models import AuditLog, Project
from rbac.models import User
from tests import factories, rows
from tests.api.conftest import Call
from tests.e2e.client import OCI_INDEX, Image, make_image, make_index

pytestmark = pytest.mark.django_db
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [entry["name"] for entry in answer.json()]


@pytest.mark.parametrize("sort", ["", "pull_time", "-pull_time", "size,-push_time"])
@pytest.mark.parametrize("size", [1, 4, 7, 10, 100])
def test_pages_from_either_end_make_the_whole_list(team: Project, call: Call, sort: str, size: int) -> None:
    """Half of them were never pulled, and many are equally large."""
    place = rows.make_repository(team)
    pulled = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(10):
        once = pulled + timedelta(days=number) if number % 2 else None
        rows.make_artifact(place, f"v{number}", size=number // 4, pulled=once)
    path = f"/projects/team/repositories/app/artifacts?sort={sort}"
    whole = [row["id"] for row in call("alice", "get", f"{path}&page_size=100").json()]
    pages = range(1, -(-10 // size) + 1)
    found = [call("alice", "get", f"{path}&page_size={size}&page={page}").json() for page in pages]
    assert len(set(whole)) == 10
    assert [row["id"] for page in found for row in page] == whole
    assert call("alice", "get", f"{path}&page_size={size}&page={len(pages) + 1}").json() == []


@pytest.fixture
def many(alice: User) -> list[Project]:
    return [factories.project(f"p{number:02d}", alice, public=number % 2 == 0) for number in range(25)]


def test_lists_come_in_pages_of_ten(many: list[Project], call: Call) -> None:
    first = call("alice", "get", "/projects")
    assert names(first) == [f"p{number:02d}" for number in range(10)]
    assert first["X-Total-Count"] == "25"
    assert first["Link"] == '</api/v2.0/projects?page=2&page_size=10>; rel="next"'
    last = call("alice", "get", "/projects?page=3")
    assert len(names(last)) == 5
    assert last["Link"] == '</api/v2.0/projects?page=2&page_size=10>; rel="prev"'
    assert names(call("alice", "get", "/projects?page=99")) == []


@pytest.mark.parametrize(
    ("query", "status"),
    [("page_size=101", 422), ("page_size=x", 422), ("page=x", 422), ("page=" + "9" * 30, 422), ("page_size=100", 200)],
)
def test_page_numbers_are_checked(many: list[Project], call: Call, query: str, status: int) -> None:
    assert call("alice", "get", f"/projects?{query}").status_code == status


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("name=p03", ["p03"]),
        ("name=~P0,public=true", ["p00", "p02", "p04", "p06", "p08"]),
        ("name=~%25", []),
        ("name=~_", []),
        ("name={p01 p02 nope}", ["p01", "p02"]),
        ("name=[p20~p22]", ["p20", "p21", "p22"]),
        ("name=[~p01]", ["p00", "p01"]),
        ("unknown=1,name=p07", ["p07"]),
        ("owner__password=~a,name=p07", ["p07"]),
        ("deleted=x,name=p07", ["p07"]),
    ],
)
def test_q_filters_by_what_is_allowed(many: list[Project], call: Call, q: str, expected: list[str]) -> None:
    assert names(call("alice", "get", f"/projects?q={q}")) == expected


@pytest.mark.parametrize(
    "q", ["name", "name=", "=x", "name=[a]", "name=[~]", "name=[a~b~c]", "creation_time=yesterday"]
)
def test_a_bad_q_is_400(many: list[Project], call: Call, q: str) -> None:
    answer = call("alice", "get", f"/projects?q={q}")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "BAD_REQUEST")


def test_sort_takes_known_keys_only(many: list[Project], call: Call) -> None:
    assert names(call("alice", "get", "/projects?sort=-name&page_size=2")) == ["p24", "p23"]
    assert names(call("alice", "get", "/projects?sort=owner__password,-creation_time&page_size=1")) == ["p24"]


def test_strangers_list_only_what_is_public(many: list[Project], call: Call, mallory: User) -> None:
    for who in ("mallory", None):
        assert call(who, "get", "/projects")["X-Total-Count"] == "13"


def test_a_project_is_named_or_numbered(alice: User, call: Call) -> None:
    number = factories.project("12345", alice)
    other = factories.project("other", alice)
    assert call("alice", "get", f"/projects/{other.pk}").json()["name"] == "other"
    assert call("alice", "get", "/projects/12345", **{"X-Is-Resource-Name": "true"}).json()["project_id"] == number.pk
    assert call("alice", "get", "/projects/12345").status_code == 403


def test_creation_answers_where_it_is(alice: User, call: Call) -> None:
    made = call(
        "alice", "post", "/projects", {"project_name": "new", "metadata": {"public": "true", "severity": "low"}}
    )
    project = Project.objects.get(name="new")
    assert (made.status_code, made.content, made["Location"]) == (201, b"", f"/api/v2.0/projects/{project.pk}")
    named = call("alice", "post", "/projects", {"project_name": "named"}, **{"X-Resource-Name-In-Location": "true"})
    assert named["Location"] == "/api/v2.0/projects/named"
    seen = call("alice", "get", "/projects/new").json()
    assert seen["metadata"] == {"public": "true", "severity": "low"}
    assert (seen["current_user_role_id"], seen["owner_name"], seen["repo_count"]) == (1, "alice", 0)
    assert TIME.fullmatch(seen["creation_time"])
    assert call("alice", "post", "/projects", {"project_name": "new"}).status_code == 409
    assert call("alice", "head", "/projects?project_name=new").status_code == 200
    assert call("alice", "head", "/projects?project_name=no").status_code == 404
    assert AuditLog.objects.filter(operation="create", resource_type="project").count() == 2


@pytest.mark.parametrize(
    "name", ["", "Upper", "a b", "../x", "a" * 256, "a--b", "-a", "ü", "a\n", "a\x00b", None, 7.5, {"a": 1}]
)
def test_bad_project_names_are_refused(alice: User, call: Call, name: Any) -> None:
    assert call("alice", "post", "/projects", {"project_name": name}).status_code in (400, 422)
    assert not Project.objects.exists()


def test_repository_names_may_be_encoded_once_or_twice(team: Project, alice: User, call: Call) -> None:
    factories.push(factories.repository(team, "a/b"), alice, "v1")
    for spelled in ("a%252Fb", "a%2Fb", "a/b"):
        assert call("alice", "get", f"/projects/team/repositories/{spelled}").json()["name"] == "team/a/b"
        found = call("alice", "get", f"/projects/team/repositories/{spelled}/artifacts/v1").json()
        assert found["repository_name"] == "team/a/b"


def test_an_artifact_shows_what_harbor_shows(team: Project, alice: User, call: Call) -> None:
    place = factories.repository(team)
    image = make_image()
    factories.push(place, alice, "amd", image)
    index = factories.push(place, alice, "multi", Image(make_index(image), {}, OCI_INDEX))
    seen = call("alice", "get", "/projects/team/repositories/app/artifacts/multi").json()
    assert (seen["digest"], seen["type"], seen["pull_time"]) == (index.digest, "IMAGE", "0001-01-01T00:00:00.000Z")
    assert [tag["name"] for tag in seen["tags"]] == ["multi"]
    assert seen["references"][0]["child_digest"] == image.digest
    assert seen["references"][0]["platform"] == {"architecture": "arch0", "os": "linux"}
    by_tag = call("alice", "get", "/projects/team/repositories/app/artifacts?q=tags=amd").json()
    assert [entry["digest"] for entry in by_tag] == [image.digest]
    assert by_tag[0]["extra_attrs"]["architecture"] == "amd64"
    bare = call("alice", "get", "/projects/team/repositories/app/artifacts?with_tag=false").json()
    assert all(entry["tags"] is None for entry in bare)
    refused = call("alice", "delete", f"/projects/team/repositories/app/artifacts/{image.digest}")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (412, "PRECONDITION")
    assert call("alice", "get", "/projects/team/repositories/app/artifacts/no:tag").status_code == 404


def test_tags_are_made_and_deleted(team: Project, alice: User, call: Call) -> None:
    factories.push(factories.repository(team), alice, "v1")
    path = "/projects/team/repositories/app/artifacts/v1/tags"
    assert call("alice", "post", path, {"name": "stable"}).status_code == 201
    assert call("alice", "post", path, {"name": "stable"}).status_code == 409
    assert call("alice", "post", path, {"name": "-bad"}).status_code == 400
    assert {tag["name"] for tag in call("alice", "get", path).json()} == {"v1", "stable"}
    assert call("alice", "delete", f"{path}/stable").status_code == 200
    assert call("alice", "delete", f"{path}/stable").status_code == 404


def test_users_are_made_changed_and_deleted(admin: User, call: Call) -> None:
    form = {"username": "dora", "password": "Strong12345", "email": "dora@example.com", "realname": "Dora"}
    made = call("root", "post", "/users", form)
    assert made.status_code == 201
    path = f"/users/{made['Location'].rsplit('/', 1)[1]}"
    assert call("root", "post", "/users", form).status_code == 409
    for password in ("short1A", "alllowercase1", "NODIGITS", "x" * 129):
        assert call("root", "post", "/users", {**form, "username": "e", "password": password}).status_code == 400
    for name in ("a b", "robot$x", "a:b", "system", "x" * 256):
        assert call("root", "post", "/users", {**form, "username": name}).status_code in (400, 422)
    who = "dora:Strong12345"
    assert call(who, "get", "/users/current").json()["realname"] == "Dora"
    wrong = {"old_password": "nope", "new_password": "Newer12345"}
    assert call(who, "put", f"{path}/password", wrong).status_code == 403
    assert call(who, "put", f"{path}/password", {**wrong, "old_password": "Strong12345"}).status_code == 200
    assert call(who, "get", "/users/current").status_code == 401
    assert call("root", "put", f"{path}/password", {"new_password": "Forced12345"}).status_code == 200
    assert call("root", "put", f"{path}/sysadmin", {"sysadmin_flag": True}).status_code == 200
    assert call("dora:Forced12345", "get", "/users").status_code == 200
    assert call("root", "delete", path).status_code == 200
    assert call("dora:Forced12345", "get", "/users/current").status_code == 401
    assert call("root", "post", "/users", form).status_code == 201


def test_addresses_that_lead_nowhere_are_json(alice: User, call: Call) -> None:
    assert call("alice", "get", "/nothing").json()["errors"][0]["code"] == "NOT_FOUND"
    assert call("alice", "delete", "/projects").json()["errors"][0]["code"] == "METHOD_NOT_ALLOWED"
    assert call("alice", "get", "/projects/a%00b").status_code == 400
    assert call("alice", "get", "/projects?name=%00").status_code == 400
    assert call("alice", "get", "/users/99999999999999999999999").status_code == 422


def test_a_request_id_is_echoed_when_it_is_harmless(call: Call) -> None:
    assert call(None, "get", "/ping", **{"X-Request-Id": "abc-1"})["X-Request-Id"] == "abc-1"
    assert call(None, "get", "/ping", **{"X-Request-Id": "a b<"})["X-Request-Id"] != "a b<"


def test_health_names_its_parts(call: Call) -> None:
    seen = call(None, "get", "/health").json()
    parts = {component["name"]: component["status"] for component in seen["components"]}
    # No worker runs with these tests.
    assert parts.pop("jobservice") == "unhealthy"
    assert parts == dict.fromkeys(("core", "portal", "database", "redis", "registry"), "healthy")
    assert seen["status"] == "unhealthy"


def test_strangers_learn_little_of_the_system(alice: User, call: Call) -> None:
    assert "harbor_version" not in call(None, "get", "/systeminfo").json()
    assert call("alice", "get", "/systeminfo").json()["registry_url"] == "localhost:8080"
