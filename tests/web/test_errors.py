"""What people see when something goes wrong: words, never a stack trace, and what to do next."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection

from core import errors
from projects.models import Project
from rbac.models import User
from tests.web.browser import browser, text
from web.views import projects as projects_page

pytestmark = pytest.mark.django_db


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(projects_page, "_page", fail)


@pytest.mark.parametrize("path", ["/", "/projects/team", "/projects/team/repositories/app"])
def test_a_dead_database_is_a_page_in_words(team: Project, path: str) -> None:
    def dead(*_: Any) -> Any:
        raise OperationalError("connection refused at 10.0.0.1")

    client = browser("alice")
    with connection.execute_wrapper(dead):
        answer = client.get(path)
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert "does not answer right now" in text(answer)
    assert f'href="{path}">Try again' in text(answer)
    assert "10.0.0.1" not in text(answer)


def test_signing_in_without_a_database_is_a_page_too(alice: User) -> None:
    def dead(*_: Any) -> Any:
        raise OperationalError

    with connection.execute_wrapper(dead):
        answer = browser().post("/sign-in", {"username": "alice", "password": "x"})
    assert answer.status_code == 503
    assert "does not answer right now" in text(answer)


def test_our_own_mistake_says_so_and_names_the_request(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(ZeroDivisionError("the secret is 42"), monkeypatch)
    answer = browser("alice").get("/", headers={"X-Request-Id": "request-7"})
    assert answer.status_code == 500
    assert "This is our mistake" in text(answer)
    assert "request-7" in text(answer)
    assert "the secret" not in text(answer)


@pytest.mark.parametrize(
    ("refusal", "status", "words"),
    [
        (errors.ProjectUnknown(), 404, "does not exist, or it is not yours to see"),
        (errors.Forbidden(), 403, "Your account may not do this"),
        (errors.ReadOnly(), 403, "read-only mode"),
        (errors.Unavailable(), 503, "does not answer right now"),
    ],
)
def test_a_refusal_becomes_a_page(
    db: None, monkeypatch: pytest.MonkeyPatch, refusal: errors.Refusal, status: int, words: str
) -> None:
    fail_with(refusal, monkeypatch)
    answer = browser().get("/")
    assert answer.status_code == status
    assert answer["Content-Type"].startswith("text/html")
    assert words in text(answer)


@pytest.mark.parametrize("query", ["q=a;b", "q=100%", "page=1;q=x"])
def test_a_page_makes_the_best_of_a_strange_query(db: None, query: str) -> None:
    """People write addresses by hand; the API's clients are told what is wrong with theirs."""
    answer = browser().get(f"/?{query}")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("path", ["/projects/a%00b", "/?q=a%00b"])
def test_a_null_byte_is_refused_on_a_page(db: None, path: str) -> None:
    answer = browser().get(path)
    assert answer.status_code == 400
    assert "cannot be understood" in text(answer)


def test_an_address_for_forms_says_so(db: None) -> None:
    answer = browser().get("/sign-out")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    assert "only takes what a form sends" in text(answer)


def test_machines_still_get_json(db: None) -> None:
    answer = browser().get("/api/v2.0/nothing")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/json; charset=utf-8")
