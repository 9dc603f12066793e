"""What holds for every operation of the API."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from core import configuration, health, redis
from projects.models import Member, Project
from rbac import roles
from rbac.models import Robot, User
from rbac.permissions import EVERYBODY, SIGNED_IN, VERBS
from tests.rest import Api, code
from tests.rows import Story, make_user


def operations() -> Iterator[tuple[str, Any, str | None]]:
    """Path, view class and action of everything under /api/v2.0."""
    for resolver in get_resolver().url_patterns:
        if isinstance(resolver, URLResolver) and str(resolver.pattern) == "api/v2.0/":
            for pattern in resolver.url_patterns:
                assert isinstance(pattern, URLPattern)
                callback: Any = pattern.callback
                for action in (getattr(callback, "actions", None) or {"": None}).values():
                    yield str(pattern.pattern), callback.cls, action


@pytest.mark.parametrize(("path", "view", "action"), list(operations()), ids=str)
def test_every_operation_says_what_it_guards(path: str, view: Any, action: str | None) -> None:
    resource = getattr(view, "resource", None)
    assert resource, f"{path}: a view without a resource answers nobody"
    if resource in (EVERYBODY, SIGNED_IN):
        return
    verb = {**VERBS, **view.verbs}.get(action or "")
    assert verb, f"{path}: {action} is no verb"
    known = {(name, word) for name, words in roles.SYSTEM.items() for word in words.split()}
    # And what no robot can be given.
    known.update(roles.project_permissions(), {("robot", "update"), ("user", "appoint")})
    assert verb in (EVERYBODY, SIGNED_IN) or (resource, verb) in known


def test_there_are_as_many_operations_as_we_think() -> None:
    assert len(list(operations())) >= 50


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/nothing", "/projects/nowhere", "/users/99", "/robots/-1", f"/users/{2**63 - 1}"])
def test_what_does_not_exist_is_not_found_in_json(path: str) -> None:
    answer = Api(make_user(is_sysadmin=True)).get(path)
    assert (answer.status_code, code(answer)) == (404, "NOT_FOUND")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/users/x", f"/users/{'9' * 5000}"])
def test_what_is_no_number_is_unprocessable_in_json(path: str) -> None:
    answer = Api().get(path)
    assert (answer.status_code, code(answer)) == (422, "UNPROCESSABLE_ENTITY")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/users", "/projects", "/users/current", "/projects/team/members", "/robots"])
@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "TRACE", "PURGE"])
def test_a_wrong_method_is_not_allowed_whoever_asks(method: str, path: str) -> None:
    answer = Api().send(method, path)
    assert (answer.status_code, code(answer)) == (405, "METHOD_NOT_ALLOWED")


NO_JSON = [
    b"{", b"nonsense", b'{"username": NaN}', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000,
    b'{"username": "\\u0000"}', b'{"username": "\\ud800"}', b'{"username": ' + b"9" * 5000 + b"}",
]  # fmt: skip
NO_OBJECT = [b"", b"[]", b"null", b"5", b'"x"']
# Of a project they say nothing that it has: such a change is one that changes nothing.
OF_ANOTHER_TYPE = [b'{"username": {"$ne": 1}}', b'{"username": true}', b'{"username": 1e999}', b'{"username": ["a"]}']


@pytest.mark.parametrize(
    ("content", "status", "status_of_a_project"),
    [
        *((content, 400, 400) for content in NO_JSON),
        *((content, 422, 422) for content in NO_OBJECT),
        *((content, 422, 200) for content in OF_ANOTHER_TYPE),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else "",
)
def test_strange_bodies_are_the_callers_mistake(
    story: Story, content: bytes, status: int, status_of_a_project: int
) -> None:
    rows = kept()
    for method, path in (("POST", "/users"), ("POST", "/projects"), ("POST", "/robots"), ("PUT", "/projects/team"),
                         ("POST", "/projects/team/members"), ("PUT", f"/users/{story.bob.pk}/password")):  # fmt: skip
        answer = Api(story.admin).send(method, path, content)
        assert answer.status_code == (status_of_a_project if path == "/projects/team" else status), (path, answer)
        assert kept() == rows, path


def kept() -> list[list[dict[str, Any]]]:
    """Every row that such a body might change; when a project was touched last is no fact of it."""
    projects = [{**row, "updated": None} for row in Project.objects.order_by("pk").values()]
    return [projects, *(list(model.objects.order_by("pk").values()) for model in (User, Robot, Member))]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"name"', "The body is not valid JSON at line 1, column 8: expecting ':' delimiter"),
        (b'{"name": "x",\n "scope" "g"}', "The body is not valid JSON at line 2, column 10: expecting ':' delimiter"),
        (b"{'name': 'x'}", "line 1, column 2: expecting property name enclosed in double quotes"),
        (b"{} {}", "line 1, column 4: extra data"),
        (b" ", "line 1, column 2: expecting value"),
        (b'{"name": "\xff"}', "The body is no UTF-8: its byte 11 is 0xff, which cannot stand there"),
        (b'\xef\xbb\xbf{"name": "x"}', "The body begins with a byte order mark, which JSON must not have"),
        (b'{"name": NaN}', "The body says NaN, which is no number of JSON"),
        (b'{"name": -Infinity}', "The body says -Infinity, which is no number of JSON"),
        (b'{"name": ' + b"9" * 5000 + b"}", "The body holds a number of 5000 digits; nothing here is so large"),
        (b'{"name": "\\ud800"}', "The body holds half of a surrogate pair, which is no character"),
        (b'{"name": "\\u0000"}', "The body holds a null byte"),
    ],
    ids=lambda case: repr(case)[:30],
)
def test_what_is_wrong_with_a_body_is_said_in_words(story: Story, content: bytes, words: str) -> None:
    answer = Api(story.admin).send("POST", "/labels", content)
    message = answer.json()["errors"][0]["message"]
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")
    assert words in message
    assert "Error" not in message


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_other_kinds_of_bodies_are_not_read_and_the_answer_says_which_are(story: Story, kind: str) -> None:
    answer = Api(story.admin).send("POST", "/users", b'{"username": "x"}', kind)
    assert (answer.status_code, code(answer)) == (415, "UNSUPPORTED_MEDIA_TYPE")
    wanted = "The body is read with the header Content-Type: application/json only"
    assert answer.json()["errors"][0]["message"] == wanted


QUERIES_OF_NONE = [
    ("page=1;page_size=3", "separated by &, not by ';': a ';' of a value is written %3B"),
    ("q=name=x;y", "separated by &, not by ';'"),
    ("name=100%", "a % that begins no escape: a % of a value is written %25"),
    ("name=%zz&page=1", "a % that begins no escape"),
    ("%2", "a % that begins no escape"),
]


@pytest.mark.parametrize(("query", "words"), QUERIES_OF_NONE)
@pytest.mark.parametrize("path", ["/projects", "/users/current", "/nothing", "/api/version"])
def test_a_query_that_harbor_cannot_read_is_refused_whatever_is_asked(path: str, query: str, words: str) -> None:
    answer = Api().get(f"{path}?{query}")
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")
    assert words in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(("query", "words"), QUERIES_OF_NONE)
def test_container_clients_hear_it_too(query: str, words: str) -> None:
    for path in ("/v2/team/app/tags/list", "/service/token"):
        answer = Client().get(f"{path}?{query}")
        assert (answer.status_code, code(answer)) == (400, "UNSUPPORTED")
        assert words in answer.json()["errors"][0]["message"]


def test_what_is_escaped_belongs_to_the_value(story: Story) -> None:
    for query in ("name=a%3Bb", "q=name%3Da%3bb", "name=100%25", "name=%C3%BC"):
        answer = Api(story.alice).get(f"/projects?{query}")
        assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/projects?name=a%00", 400),
        ("/projects/a%00b", 400),
        ("/users/search?username=%00", 400),
        ("/projects/team/members?entityname=%00", 400),
        # Escaped twice, so it is the value that holds the null byte, not the address.
        ("/projects?q=name%3D~%2500", 400),
        # No repository is called so: this is no operation.
        ("/projects/team/repositories/a%2500b", 404),
        # Bytes that are no text are in no name.
        ("/projects/%FF%FE", 404),
        ("/projects?name=%ff", 200),
    ],
)
def test_strange_addresses_are_the_callers_mistake(story: Story, path: str, status: int) -> None:
    answer = Api(story.admin).get(path)
    assert answer.status_code == status, answer.content
    assert status == 200 or code(answer) == {400: "BAD_REQUEST", 404: "NOT_FOUND"}[status]


def test_the_request_id_comes_back(story: Story) -> None:
    assert Api(story.alice).get("/projects", HTTP_X_REQUEST_ID="mine-1")["X-Request-Id"] == "mine-1"
    assert Api().get("/nothing")["X-Request-Id"]


def test_read_only_mode_stops_changes_only(story: Story) -> None:
    configuration.change(read_only=True)
    answer = Api(story.alice).post("/projects", {"project_name": "new"})
    assert (answer.status_code, code(answer)) == (403, "DENIED")
    assert "read only" in answer.json()["errors"][0]["message"]
    assert Api(story.alice).delete("/projects/team").status_code == 403
    assert Api(story.alice).get("/projects/team").status_code == 200


def test_wrong_credentials_make_a_stranger(story: Story) -> None:
    client = Api(story.alice, password="wrong")
    assert client.get("/projects").status_code == 200
    answer = client.get("/projects/team")
    assert (answer.status_code, code(answer)) == (401, "UNAUTHORIZED")
    assert answer["WWW-Authenticate"] == 'Basic realm="harbor"'


def test_the_api_works_without_redis(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "_away_until", float("inf"))
    assert Api(story.alice).post("/projects", {"project_name": "new"}).status_code == 201
    assert Api(story.alice).get("/projects/new").status_code == 200
    components = {row["name"]: row["status"] for row in Api().get("/health").json()["components"]}
    assert components["redis"] == "unhealthy"


def test_without_postgres_clients_hear_when_to_try_again(story: Story) -> None:
    def away(*_: Any) -> Any:
        raise OperationalError("server closed the connection unexpectedly")

    for client, method, path in ((Api(), "GET", "/projects"), (Api(story.alice), "POST", "/projects")):
        with connection.execute_wrapper(away):
            answer = client.send(method, path, b"{}")
        assert (answer.status_code, code(answer)) == (503, "UNAVAILABLE")
        assert int(answer["Retry-After"]) > 0


@pytest.mark.django_db
def test_everybody_may_ask_how_the_platform_is() -> None:
    assert Api().get("/ping").content == b"Pong"
    body = Api().get("/health").json()
    assert {"core", "portal", "database", "redis", "registry", "jobservice"} == {c["name"] for c in body["components"]}
    # No registry and no worker run with the tests.
    assert body["status"] == "unhealthy"
    assert Api().get("/api/version").json() == {"version": "v2.0"}


def test_a_hanging_component_does_not_hold_up_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("database", "registry", "redis"):
        monkeypatch.setitem(health.QUESTIONS, name, lambda: time.sleep(4))
    began = time.monotonic()
    components = {row["name"]: row for row in Api().get("/health").json()["components"]}
    assert time.monotonic() - began < 3
    assert components["database"] == {"name": "database", "status": "unhealthy", "error": "no answer in time"}


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["text/plain", "text/html", "nonsense", "application/json; indent=4"])
def test_answers_are_json_whatever_is_accepted(accept: str) -> None:
    assert Api().get("/ping", HTTP_ACCEPT=accept).status_code == 200
    answer = Api().get("/projects?format=xml", HTTP_ACCEPT=accept)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


def test_strangers_learn_less_of_the_system(story: Story) -> None:
    public = Api().get("/systeminfo").json()
    assert set(public) <= {"auth_mode", "primary_auth_mode", "self_registration", "banner_message"}
    assert public["auth_mode"] == "db_auth"
    body = Api(story.carol).get("/systeminfo").json()
    assert body["project_creation_restriction"] == "everyone"
    assert body["external_url"] == "http://localhost:8080"
    assert body["registry_url"] == "localhost:8080"


@pytest.mark.parametrize("path", ["/service/token", "/api/v2.0/projects", "/v2/team/app/tags/list", "/"])
def test_more_parameters_than_anybody_needs_are_a_bad_request(path: str, db: None) -> None:
    answer = Client(raise_request_exception=False).get(path + "?" + "&".join(f"a{n}" for n in range(1002)))
    assert answer.status_code in (400, 401), answer.content[:200]
    assert answer.status_code == 400 or path.startswith("/v2/")
