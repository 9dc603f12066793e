"""Container clients take a short way past the middlewares of pages; what it owes them is still there."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.http import StreamingHttpResponse
from django.test import Client, RequestFactory

from core.api.short_way import Handler
from core.store import signing
from projects.models import AuditLog, Project
from rbac.models import User
from registry.token import issue
from registry.token.scopes import parse_scopes
from tests import factories
from tests.core.test_postgres import end_our_connection
from tests.e2e.client import OCI_MANIFEST, make_image


def test_an_answer_carries_the_requests_id_and_its_length() -> None:
    answer = Client().get("/v2/", headers={"X-Request-Id": "abc-1"})
    assert answer.status_code == 401
    assert answer["X-Request-Id"] == "abc-1"
    assert answer["Content-Length"] == str(len(answer.content))
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_a_page_takes_the_long_way() -> None:
    assert "Content-Security-Policy" in Client().get("/sign-in")
    assert "Content-Security-Policy" not in Client().get("/v2/")


@pytest.mark.parametrize("path", ["/v2/team/app/no/such", "/service/nothing", "/v2/_judge_upload/x"])
def test_what_does_not_exist_is_json(path: str) -> None:
    answer = Client().get(path, headers={"Authorization": f"Bearer {signing.sign(subject='', access=[], lifetime=9)}"})
    assert answer.status_code == 404
    assert answer.json()["errors"]


@pytest.mark.parametrize("path", ["/service/token?scope=%00", "/v2/te%00am/app/tags/list"])
def test_a_null_byte_is_refused(path: str) -> None:
    answer = Client().get(path)
    assert answer.status_code == 400
    assert "null byte" in answer.json()["errors"][0]["message"]


@pytest.mark.django_db
def test_the_audit_log_knows_who_asked_from_where(team: Project, alice: User) -> None:
    place = factories.repository(team, f"short{factories.number()}")
    image = make_image()
    factories.push(place, alice, "v1", image)
    token = issue.signed(alice, parse_scopes([f"repository:{place.name}:pull,push"]), 300)
    headers = {"Authorization": f"Bearer {token}", "X-Real-IP": "192.0.2.7", "X-Request-Id": "push-1"}
    path = f"/v2/{place.name}/manifests/v2"
    answer = Client().put(path, image.manifest, content_type=OCI_MANIFEST, headers=headers)
    assert answer.status_code == 201
    row = AuditLog.objects.get(resource=f"{place.name}:v2")
    assert (row.address, row.request_id) == ("192.0.2.7", "push-1")


def served(handler: WSGIHandler, path: str, method: str = "GET", **headers: str) -> tuple[str, dict[str, str], bytes]:
    """What a WSGI server gets: status, headers and body."""
    told: list[Any] = []

    environ = RequestFactory().generic(method, path, headers={"X-Request-Id": "same", **headers}).environ

    def start_response(status: str, headers: list[tuple[str, str]], failure: Any = None) -> Any:
        told.extend((status, dict(headers)))

    body = b"".join(handler(environ, start_response))
    return told[0], told[1], body


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/v2/", "/v2/no/such/thing", "/service/no", "/sign-in", "/api/v2.0/ping"])
def test_the_server_hears_what_django_itself_would_have_said(path: str) -> None:
    short, django = served(Handler(), path), served(WSGIHandler(), path)
    if path != "/sign-in":
        assert short == django
    assert short[0] == django[0]
    assert short[1].keys() == django[1].keys()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v2.0/ping", "200 OK"),
        ("/api/v2.0/users/x", "422 Unprocessable Entity"),
        ("/api/v2.0/users/current", "401 Unauthorized"),
        ("/api/v2.0/nothing", "404 Not Found"),
        ("/service/token", "405 Method Not Allowed"),
        ("/v2/", "401 Unauthorized"),
        ("/v2/team/app/manifests/v1", "401 Unauthorized"),
        ("/sign-in", "200 OK"),
        ("/nothing", "404 Not Found"),
    ],
)
def test_a_head_hears_the_length_and_gets_no_body(path: str, status: str) -> None:
    """The server warns of each body that it has to throw away."""
    told, headers, body = served(Handler(), path, "HEAD")
    assert (told, body) == (status, b"")
    assert int(headers["Content-Length"]) > 0


@pytest.mark.django_db
def test_what_a_head_does_not_get_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that comes in parts may hold a file, or a place in the database."""
    closed: list[bool] = []

    class Answer(StreamingHttpResponse):
        def close(self) -> None:
            closed.append(True)
            super().close()

    handler = Handler()
    monkeypatch.setattr(handler, "_middleware_chain", lambda request: Answer([b"one", b"two"]))
    assert served(handler, "/api/v2.0/ping", "HEAD")[2] == b""
    assert closed == [True]
    assert served(handler, "/api/v2.0/ping")[2] == b"onetwo"


@pytest.mark.django_db(transaction=True)
def test_a_request_after_a_restart_of_postgres_does_not_notice() -> None:
    handler = Handler()
    token = signing.sign(
        subject="x", access=[{"type": "repository", "name": "team/app", "actions": ["pull"]}], lifetime=60
    )
    asked = ("/v2/team/app/manifests/v1", {"Authorization": f"Bearer {token}"})
    for _ in range(2):
        status, _, _ = served(handler, asked[0], **asked[1])
        assert status == "404 Not Found"
        end_our_connection()
    connection.close()
