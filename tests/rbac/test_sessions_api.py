"""Sessions through /c: how a browser, or a client that keeps cookies, signs in, changes something and signs out."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from core import clock, configuration, redis
from projects.models import AuditLog, Project
from tests import rows
from tests.rest import Api, code
from tests.rows import PASSWORD, Story

pytestmark = pytest.mark.django_db
TOKEN = "X-Harbor-CSRF-Token"
NEW = {"project_name": "new"}


class Visitor:
    """A client with cookies, which sends back the CSRF token that the last answer gave."""

    def __init__(self) -> None:
        self.client = APIClient(enforce_csrf_checks=True, raise_request_exception=False)
        self.token = ""

    def get(self, path: str, **headers: str) -> Any:
        return self._remembered(self.client.get(path, headers=headers))

    def post_form(self, path: str, **fields: str) -> Any:
        """A form, as browsers send it."""
        text = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
        form = "application/x-www-form-urlencoded"
        answer = self.client.generic("POST", path, text, form, headers=self._headers())  # type: ignore[arg-type]
        return self._remembered(answer)

    def post(self, path: str, body: Any) -> Any:
        return self._remembered(self.client.post(path, body, format="json", headers=self._headers()))

    def sign_in(self, principal: str, password: str = PASSWORD) -> Any:
        self.get("/c/login")
        return self.post_form("/c/login", principal=principal, password=password)

    def who(self) -> str | None:
        answer = self.get("/api/v2.0/users/current")
        return answer.json()["username"] if answer.status_code == 200 else None

    def _headers(self) -> dict[str, str]:
        return {TOKEN: self.token} if self.token else {}

    def _remembered(self, answer: Any) -> Any:
        self.token = answer.get(TOKEN, self.token)
        return answer


def logins() -> list[tuple[str, str, bool]]:
    rows = AuditLog.objects.filter(operation__in=("login", "logout")).order_by("id")
    return list(rows.values_list("operation", "resource", "succeeded"))


def test_alice_signs_in_makes_a_project_and_signs_out(story: Story) -> None:
    visitor = Visitor()
    answer = visitor.sign_in("alice")
    assert (answer.status_code, answer.content) == (200, b"")
    # No script reads them: the token is in a header, and in the pages' forms.
    assert answer.cookies["sid"]["httponly"]
    assert answer.cookies["_gorilla_csrf"]["httponly"]
    assert "no-store" in answer["Cache-Control"]
    assert visitor.who() == "alice"
    assert visitor.post("/api/v2.0/projects", NEW).status_code == 201
    assert Project.objects.get(name="new").owner == story.alice
    assert visitor.get("/c/log_out").status_code == 200
    assert visitor.who() is None
    assert logins() == [("login", "alice", True), ("logout", "alice", True)]


def test_the_token_that_login_answers_is_good_for_the_next_change(story: Story) -> None:
    """Signing in changes the token; a client need not read something first."""
    visitor = Visitor()
    before = visitor.sign_in("alice").request["HTTP_X_HARBOR_CSRF_TOKEN"]
    good = visitor.token
    visitor.token = before
    assert visitor.post("/api/v2.0/projects", NEW).status_code == 403
    visitor.token = good
    assert visitor.post("/api/v2.0/projects", NEW).status_code == 201


@pytest.mark.parametrize(
    ("token", "words"), [("", "CSRF token not found in request"), ("x" * 64, "CSRF token invalid")]
)
def test_a_sessions_write_without_its_token_is_refused_as_harbor_does(story: Story, token: str, words: str) -> None:
    visitor = Visitor()
    visitor.sign_in("alice")
    visitor.token = token
    refused = visitor.post("/api/v2.0/projects", NEW)
    assert (refused.status_code, code(refused)) == (403, "FORBIDDEN")
    assert refused.json()["errors"][0]["message"].startswith(words)
    assert not Project.objects.filter(name="new").exists()


@pytest.mark.parametrize(
    ("origin", "status", "words"),
    [
        ("http://testserver", 201, ""),
        ("http://localhost:8080", 201, ""),
        (
            "https://evil.example",
            403,
            "Origin invalid: 'https://evil.example' is not http://localhost:8080, from whose",
        ),
        ("null", 403, "Origin invalid: 'null' is not"),
    ],
)
def test_a_request_of_another_page_is_refused_because_of_that(
    story: Story, origin: str, status: int, words: str
) -> None:
    visitor = Visitor()
    visitor.sign_in("alice")
    answer = visitor.client.post(
        "/api/v2.0/projects", NEW, format="json", headers={TOKEN: visitor.token, "Origin": origin}
    )
    assert (answer.status_code, words.encode() in answer.content) == (status, True), answer.content
    assert b"CSRF token" not in answer.content


@pytest.mark.parametrize("referer", ["", "https://evil.example/page"])
def test_by_https_the_referer_counts_where_there_is_no_origin(story: Story, referer: str) -> None:
    visitor = Visitor()
    visitor.sign_in("alice")
    headers: Any = {TOKEN: visitor.token, **({"Referer": referer} if referer else {})}
    answer = visitor.client.post("/api/v2.0/projects", NEW, format="json", secure=True, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["errors"][0]["message"].startswith(f"Referer invalid: {referer!r} is not http")


def test_signing_in_needs_the_token_too(story: Story) -> None:
    """Or a foreign page could sign somebody in as another."""
    refused = Visitor().post_form("/c/login", principal="alice", password=PASSWORD)
    assert (refused.status_code, code(refused)) == (403, "FORBIDDEN")
    assert logins() == []


def test_who_signs_in_with_every_request_needs_no_token_and_gets_no_session(story: Story) -> None:
    answer = Api(story.alice).post("/projects", NEW)
    assert answer.status_code == 201
    assert TOKEN not in answer
    assert "sid" not in answer.cookies


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD), ("", "")])
def test_all_that_fails_to_sign_in_looks_alike(story: Story, name: str, password: str) -> None:
    """A wrong password, no such user, a disabled one."""
    rows.make_user("gone", is_active=False)
    visitor = Visitor()
    answer = visitor.sign_in(name, password)
    assert (answer.status_code, code(answer)) == (401, "UNAUTHORIZED")
    assert answer.json()["errors"][0]["message"] == "The user name or password is wrong."
    assert "sid" not in answer.cookies
    assert visitor.who() is None
    assert logins() == [("login", name if name in ("alice", "gone") else "", False)]


# --- a session's time ----------------------------------------------------------------------------------------------
POLLING = {"X-Harbor-No-Session-Renewal": "true"}


def left() -> timedelta:
    """How long the one session lives if nobody uses it."""
    return Session.objects.get().expire_date - clock.now()


def grow_old(*, minutes: int) -> datetime:
    """The one session as it will be when so many minutes of its time are left; its end."""
    end = clock.now() + timedelta(minutes=minutes)
    Session.objects.update(expire_date=end)
    return end


@pytest.fixture
def visitor(story: Story) -> Visitor:
    """Alice, signed in for 60 minutes."""
    visitor = Visitor()
    visitor.sign_in("alice")
    assert timedelta(minutes=59) < left() <= timedelta(minutes=60)
    return visitor


def test_who_uses_a_session_keeps_it(visitor: Visitor) -> None:
    grow_old(minutes=53)
    answer = visitor.get("/api/v2.0/users/current")
    assert timedelta(minutes=59) < left() <= timedelta(minutes=60)
    cookie = answer.cookies["sid"]
    assert (cookie["max-age"], cookie["httponly"], cookie["samesite"], cookie["path"]) == (3600, True, "Lax", "/")
    # Redis may keep it no longer than at first.
    redis.ask(lambda r: r.flushdb())
    assert visitor.who() == "alice"


def test_a_page_keeps_it_too(visitor: Visitor) -> None:
    grow_old(minutes=53)
    assert visitor.get("/").status_code == 200
    assert left() > timedelta(minutes=59)


@pytest.mark.parametrize("path", ["/", "/api/v2.0/users/current"])
def test_what_a_page_asks_by_itself_does_not_keep_it(visitor: Visitor, path: str) -> None:
    end = grow_old(minutes=1)
    answer = visitor.get(path, **POLLING)
    assert (answer.status_code, "sid" in answer.cookies) == (200, False)
    assert Session.objects.get().expire_date == end


def test_nothing_is_written_while_little_of_the_time_is_over(visitor: Visitor) -> None:
    end = grow_old(minutes=58)
    assert "sid" not in visitor.get("/api/v2.0/users/current").cookies
    assert Session.objects.get().expire_date == end
    with CaptureQueriesContext(connection) as asked:
        assert visitor.who() == "alice"
    assert [query["sql"] for query in asked if "django_session" in query["sql"]] == []


def test_a_part_of_what_is_configured_counts(visitor: Visitor) -> None:
    configuration.change(session_timeout=600)
    grow_old(minutes=575)
    visitor.get("/api/v2.0/users/current")
    assert left() < timedelta(minutes=575)
    visitor = Visitor()
    Session.objects.all().delete()
    visitor.sign_in("alice")
    grow_old(minutes=565)
    visitor.get("/api/v2.0/users/current")
    assert left() > timedelta(minutes=599)


def test_who_signed_out_meanwhile_stays_signed_out(visitor: Visitor) -> None:
    """A request that is on its way finds its session in Redis, or has found it there, and the row is gone."""
    Session.objects.all().delete()
    answer = visitor.get("/api/v2.0/users/current")
    assert (answer.status_code, "sid" in answer.cookies) == (200, False)
    assert not Session.objects.exists()
    redis.ask(lambda r: r.flushdb())
    assert visitor.who() is None


def test_a_session_that_is_over_is_not_renewed(visitor: Visitor) -> None:
    """Redis may still know it for a moment."""
    end = grow_old(minutes=-1)
    visitor.get("/api/v2.0/users/current")
    assert Session.objects.get().expire_date == end
    redis.ask(lambda r: r.flushdb())
    assert visitor.who() is None


def test_a_robot_makes_no_session(story: Story) -> None:
    robot = rows.make_robot(None, ["user:list"])
    visitor = Visitor()
    answer = visitor.sign_in(robot.name)
    assert (answer.status_code, "sid" in answer.cookies) == (401, False)


def test_the_limit_of_failed_logins_holds_here_too(story: Story) -> None:
    visitor = Visitor()
    for _ in range(10):
        assert visitor.sign_in("alice", "wrong").status_code == 401
    refused = visitor.sign_in("alice")
    assert (refused.status_code, code(refused)) == (429, "TOO_MANY_REQUEST")
    assert int(refused["Retry-After"]) > 0
    assert Visitor().sign_in("bob").status_code == 200


def test_one_signs_in_and_out_while_nothing_may_be_changed(story: Story) -> None:
    configuration.change(read_only=True)
    visitor = Visitor()
    assert visitor.sign_in("alice").status_code == 200
    refused = visitor.post("/api/v2.0/projects", NEW)
    assert (refused.status_code, code(refused)) == (403, "DENIED")
    assert visitor.get("/c/log_out").status_code == 200


def test_signing_out_without_a_session_is_no_error_and_no_row(story: Story) -> None:
    assert Visitor().get("/c/log_out").status_code == 200
    assert logins() == []


@pytest.mark.parametrize(
    ("target", "value", "taken"),
    [("username", "bob", True), ("username", "bo", False), ("email", "bob@example.com", True), ("email", "b@x", False)],
)
def test_who_may_sign_up_hears_what_is_taken(story: Story, target: str, value: str, taken: bool) -> None:
    configuration.change(self_registration=True)
    visitor = Visitor()
    visitor.get("/c/login")
    answer = visitor.post_form("/c/userExists", target=target, value=value)
    assert (answer.status_code, answer.json()) == (200, taken)


def test_where_nobody_may_sign_up_only_who_manages_users_hears_who_exists(story: Story) -> None:
    answers = {}
    for name in ("root", "alice", None):
        visitor = Visitor()
        visitor.get("/c/login")
        if name:
            visitor.sign_in(name)
        answer = visitor.post_form("/c/userExists", target="username", value="bob")
        answers[name] = (answer.status_code, answer.json() if answer.status_code == 200 else code(answer))
    assert answers == {"root": (200, True), "alice": (412, "PRECONDITION"), None: (412, "PRECONDITION")}


@pytest.mark.parametrize(
    "fields", [{}, {"target": "username"}, {"target": "password", "value": "x"}, {"target": "email", "value": "%00"}]
)
def test_a_question_about_nothing_is_400(story: Story, fields: dict[str, str]) -> None:
    visitor = Visitor()
    visitor.sign_in("root")
    answer = visitor.post_form("/c/userExists", **fields)
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("method", "path", "kind", "content", "status"),
    [
        ("PUT", "/c/login", "application/json", b"{}", 405),
        ("POST", "/c/login", "application/json", b'{"principal":"alice","password":"x"}', 415),
        ("POST", "/c/login", "application/x-www-form-urlencoded", b"principal=%00&password=x", 401),
        ("POST", "/c/login", "application/x-www-form-urlencoded", b"principal=%ff&password=%ff", 401),
        ("POST", "/c/unknown", "application/json", b"{}", 404),
    ],
)
def test_what_is_no_login_is_refused_in_json(
    story: Story, method: str, path: str, kind: str, content: bytes, status: int
) -> None:
    visitor = Visitor()
    visitor.get("/c/login")
    answer = visitor.client.generic(method, path, content, kind, headers={TOKEN: visitor.token})  # type: ignore[arg-type]
    assert (answer.status_code, len(answer.json()["errors"])) == (status, 1), answer.content


def test_who_sends_json_to_sign_in_hears_that_a_form_is_wanted(story: Story) -> None:
    visitor = Visitor()
    visitor.get("/c/login")
    headers: Any = {TOKEN: visitor.token}
    answer = visitor.client.generic("POST", "/c/login", b"{}", "application/json", headers=headers)  # type: ignore[arg-type]
    wanted = "The body is read with the header Content-Type: application/x-www-form-urlencoded only"
    assert answer.json()["errors"][0]["message"] == wanted


def test_who_says_with_the_request_who_he_is_is_that_one_whatever_his_cookies(story: Story) -> None:
    """A pipeline on a machine where somebody is signed in must not act as him; wrong credentials say nothing."""
    visitor = Visitor()
    visitor.sign_in("alice")
    for credentials, name in ((f"bob:{PASSWORD}", "bob"), ("bob:wrong", "alice")):
        header = f"Basic {b64encode(credentials.encode()).decode()}"
        answer = visitor.get("/api/v2.0/users/current", Authorization=header)
        assert answer.json()["username"] == name
