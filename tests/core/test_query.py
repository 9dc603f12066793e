"""Harbor's q and sort: the grammar, and what of it reaches the database."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core import errors
from core.api.query import AllOf, AnyOf, Condition, Exact, Fuzzy, Range, parse
from rbac.models import User
from tests.rest import Api, code
from tests.rows import make_user


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("name=app", [("name", Exact("app"))]),
        # Only the first = splits.
        ("name=a=b", [("name", Exact("a=b"))]),
        ("name=~app", [("name", Fuzzy("app"))]),
        ("name=\\~app", [("name", Exact("~app"))]),
        ("size=[1~5]", [("size", Range("1", "5"))]),
        ("size=[1~]", [("size", Range("1", ""))]),
        ("size=[~5]", [("size", Range("", "5"))]),
        ("name={a b}", [("name", AnyOf(("a", "b")))]),
        ("name={'a' \"b\"}", [("name", AnyOf(("a", "b")))]),
        ("labels=(1 2)", [("labels", AllOf(("1", "2")))]),
        ("a=1,b=~2", [("a", Exact("1")), ("b", Fuzzy("2"))]),
        # Unescaped once more than HTTP does.
        ("name=a%2520b", [("name", Exact("a%20b"))]),
        ("name=%7Ea+b", [("name", Fuzzy("a b"))]),
        # The last of a key counts, as in Harbor, however it is written.
        ("name=a,size=1,Name=b", [("Name", Exact("b")), ("size", Exact("1"))]),
    ],
)
def test_the_grammar(text: str, expected: list[tuple[str, Condition]]) -> None:
    assert list(parse(text).values()) == expected


@pytest.mark.parametrize(
    "text",
    ["name", "=app", "name=", "a=1,", "a=1,,b=2", "size=[1]", "size=[~]", "size=[1~2~3]", "size=[1~2", "name={",
     "name={}", "name={a b", "name=()", "name=(a", "name=a%00b",
     f"name={{{'a ' * 101}}}", f"labels=({'1 ' * 101})"],
)  # fmt: skip
def test_what_breaks_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(errors.BadRequest):
        parse(text)


@pytest.fixture
def people(db: None) -> Api:
    for number, name in enumerate(("anna", "ben", "100%", "a_b")):
        make_user(name, comment=str(number))
    User.objects.filter(username="anna").update(created="2024-01-02T03:04:05Z")
    return Api(make_user("root", is_sysadmin=True))


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ("username=anna", ["anna"]),
        ("UserName=anna", ["anna"]),
        ("username=~N", ["anna", "ben"]),
        # % and _ mean themselves.
        ("username=~%", ["100%"]),
        ("username=~_", ["a_b"]),
        ("username={anna ben nobody}", ["anna", "ben"]),
        ("username=[b~c]", ["ben"]),
        ("creation_time=[~2024-12-31T00:00:00]", ["anna"]),
        ("creation_time=[2024-01-02T03:04:05~2024-01-02T03:04:05]", ["anna"]),
        ("creation_time=2024-01-02 03:04:05", ["anna"]),
        ("sysadmin_flag=true", ["root"]),
        ("username=anna,username=~be", ["ben"]),
        (f"username={{anna {'x ' * 99}}}", ["anna"]),
        # What is not offered is ignored, not looked into.
        ("password=~argon2,username=ben", ["ben"]),
        ("username__startswith=x,username=ben", ["ben"]),
        ("memberships__project__name=x,username=ben", ["ben"]),
        ("comment=~1,username=ben", ["ben"]),
    ],
)
def test_lists_are_filtered(people: Api, q: str, names: list[str]) -> None:
    # Twice, as Harbor's own pages do.
    answer = people.get(f"/users?q={quote(quote(q))}")
    assert [row["username"] for row in answer.json()] == names
    assert answer["X-Total-Count"] == str(len(names))


def test_what_is_said_a_thousand_times_is_asked_once(people: Api) -> None:
    """Nobody makes one request as dear as a thousand."""
    with CaptureQueriesContext(connection) as asked:
        assert people.get(f"/users?q={','.join(['username=~'] * 1000)}&sort={'username,' * 1000}").status_code == 200
    for each in asked.captured_queries:
        assert each["sql"].count("UPPER(") <= 2
        assert len(each["sql"]) < 2000


@pytest.mark.parametrize(
    "q",
    ["user_id=x", "user_id=[a~b]", "user_id=~1", "creation_time=yesterday", "creation_time=[1~2]", "username",
     f"user_id={2**64}", "user_id={1 x}", "username=[a", "creation_time=[0000-00-00~]", "username=a%00"],
)  # fmt: skip
def test_values_that_do_not_fit_their_column_are_refused(people: Api, q: str) -> None:
    answer = people.get(f"/users?q={quote(q)}")
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("sort", "first"),
    [("username", "100%"), ("-username", "root"), ("-user_id", "root"), ("creation_time", "anna"),
     ("password,-username", "root"), ("-password", "100%"), ("username__x", "100%"), ("", "100%"), ("-", "100%")],
)  # fmt: skip
def test_lists_are_sorted_by_what_is_offered(people: Api, sort: str, first: str) -> None:
    assert people.get(f"/users?sort={sort}").json()[0]["username"] == first


def test_pages_never_overlap_when_rows_are_equal(people: Api) -> None:
    User.objects.update(realname="same")
    seen = [people.get(f"/users?sort=realname&page_size=1&page={page}").json()[0]["user_id"] for page in range(1, 6)]
    assert len(set(seen)) == 5


@pytest.mark.parametrize(
    ("query", "status"),
    [("page_size=100", 200), ("page_size=101", 422), ("page=x", 422), ("page=0", 200), ("page_size=-1", 200),
     (f"page={2**62}", 200), (f"page={2**64}", 422), ("page=999", 200)],
)  # fmt: skip
def test_paging_keeps_its_limits(people: Api, query: str, status: int) -> None:
    assert people.get(f"/users?{query}").status_code == status


@pytest.mark.parametrize("size", [0, -1])
def test_without_a_limit_means_a_hundred_and_a_link_to_the_rest(people: Api, size: int) -> None:
    """Decision 0129."""
    for number in range(100):
        make_user(f"user{number}")
    answer = people.get(f"/users?page_size={size}")
    assert (len(answer.json()), answer["X-Total-Count"]) == (100, "105")
    assert answer["Link"] == '</api/v2.0/users?page_size=100&page=2>; rel="next"'
    assert len(people.get("/users?page_size=100&page=2").json()) == 5


def test_pages_link_to_their_neighbours(people: Api) -> None:
    answer = people.get("/users?page=2&page_size=2&q=username=~")
    assert answer.status_code == 200
    assert answer["X-Total-Count"] == "5"
    assert answer["Link"] == (
        '</api/v2.0/users?page=1&page_size=2&q=username=~>; rel="prev" , '
        '</api/v2.0/users?page=3&page_size=2&q=username=~>; rel="next"'
    )
    assert "Link" not in people.get("/users")


def test_a_line_break_in_the_query_makes_no_header(people: Api) -> None:
    answer: Any = people.get("/users?page_size=2&q=username=~a%0d%0aSet-Cookie:%20x=1")
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer
