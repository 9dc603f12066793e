"""`q` and `sort` are no way to what a list does not show: whatever is not to be asked for changes nothing at all.

Not even the SQL: a condition that is ignored cannot be used to guess a password's hash letter by letter.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models
from django.test.utils import CaptureQueriesContext
from django.urls import resolve

from core.api.query import normalised
from tests.api.who_may import TABLE, Route, ids_for, may
from tests.api.world import API, World, ask

pytestmark = pytest.mark.django_db

# By hand: words that no list may be filtered or sorted by, however they are spelled or reached.
SECRET = ("password", "secret", "secrets", "salt", "digest_of_secret", "payload", "session", "last_login", "content")
# Some lists begin a month ago.
_TIME = re.compile(r"'\d{4}-\d\d-\d\d[^']*'")
LOOKUPS = ("id__gt", "name__regex", "owner__username__startswith", "pk", "__class__", "__dict__", "_state", "objects")


def poisons() -> list[str]:
    """Every column that there is, on its own and over every relation, and the words above."""
    found = {*SECRET, *LOOKUPS}
    for model in apps.get_models():
        for field in model._meta.get_fields():
            found.add(field.name)
            if isinstance(other := field.related_model, type) and issubclass(other, models.Model):
                found |= {f"{field.name}__{each.name}" for each in other._meta.get_fields()}
                found |= {f"{field.name}.{each.name}" for each in other._meta.get_fields()}
    return sorted(found)


POISONS = poisons()


def view_of(route: Route, world: World) -> Any:
    path, _ = route.at(world.places["own"])
    return resolve(f"{API}{path.partition('?')[0]}").func.cls  # type: ignore[attr-defined]


def is_list(route: Route) -> bool:
    return route.method == "GET" and "user_id" not in route.names


@pytest.fixture
def lists(world: World) -> list[Route]:
    """The routes that answer in pages."""
    root = world.people["root"]
    found = [each for each in TABLE if is_list(each) and "X-Total-Count" in ask(root, "GET", at(each, world))]
    assert len(found) >= 19
    return found


def at(route: Route, world: World) -> str:
    return str(route.at(ids_for("own", world.places))[0])


def asked(world: World, name: str, path: str, parameter: str = "", value: str = "") -> tuple[bytes, list[str]]:
    """The answer and the SQL of a list."""
    query = f"{'&' if '?' in path else '?'}{parameter}={value}" if parameter else ""
    if parameter == "q" and "?q=" in path:
        query = f",{value}"
    with CaptureQueriesContext(connection) as queries:
        answer = ask(world.people[name], "GET", path + query)
    assert answer.status_code == 200, (path, answer.content)
    return answer.content, [_TIME.sub("?", query["sql"]) for query in queries.captured_queries]


def forbidden_to(view: Any) -> list[str]:
    known = {normalised(key) for key in {**view.filter_fields, **view.sort_fields}}
    # These choose the list, and are read by the view itself.
    known |= {"level", "projectid"} if view.resource == "robot" else set()
    return [key for key in POISONS if normalised(key) not in known]


@pytest.mark.parametrize("name", ["root", "alice"])
def test_what_a_list_does_not_offer_is_ignored(world: World, lists: list[Route], name: str) -> None:
    count = 0
    for route in lists:
        if name == "alice" and not may(route, "project admin", "own"):
            continue
        path, keys = at(route, world), forbidden_to(view_of(route, world))
        plain = asked(world, name, path)
        for value in ("~a", "[a~z]", "{a b}", "argon2"):
            assert asked(world, name, path, "q", ",".join(f"{key}={value}" for key in keys)) == plain, path
        for direction in ("", "-"):
            assert asked(world, name, path, "sort", ",".join(direction + key for key in keys)) == plain, path
        count += len(keys)
    print(f"\n{name}: {count} keys that lists do not offer")


def test_what_a_list_offers_is_asked(world: World, lists: list[Route]) -> None:
    """Else the test above would prove nothing: a key that is offered does change the SQL."""
    root = "root"
    for route in lists:
        view, path = view_of(route, world), at(route, world)
        key = next((key for key, target in view.filter_fields.items() if target == "id"), None)
        if key:
            assert asked(world, root, path, "q", f"{key}=1") != asked(world, root, path), path


ODD = (
    "abc",
    "true",
    "1.5",
    "-",
    "99999999999999999999",
    "[a~b]",
    "[~",
    "{1 b}",
    "(a 1)",
    "~a",
    "~",
    "2024-13-01",
    "%25",
)


def test_whatever_is_asked_of_what_a_list_offers_is_answered(world: World, lists: list[Route]) -> None:
    """Found or refused in words, never an error of ours."""
    refused = 0
    for route in lists:
        path, view = at(route, world), view_of(route, world)
        lead = "," if "?q=" in path else ("&q=" if "?" in path else "?q=")
        for key in view.filter_fields:
            for value in ODD:
                answer = ask(world.people["root"], "GET", f"{path}{lead}{key}={value}")
                assert answer.status_code in (200, 400), (path, key, value, answer.content)
                refused += answer.status_code == 400
    assert refused > 300


def test_no_list_offers_a_secret(world: World, lists: list[Route]) -> None:
    for route in lists:
        view = view_of(route, world)
        targets = [target for target in {**view.filter_fields, **view.sort_fields}.values() if isinstance(target, str)]
        parts = {part for target in targets for part in target.split("__")}
        assert not parts & {*SECRET}, (route.key, parts & {*SECRET})


def test_signs_of_sqls_like_are_letters(world: World, lists: list[Route]) -> None:
    """Nothing in this world is called so, so nothing is found."""
    tried = 0
    for route in lists:
        path = at(route, world)
        if "q=" in path:
            continue
        for key, target in view_of(route, world).filter_fields.items():
            for sign in ("_", "%25", "%255F", "%2525"):
                answer = ask(world.people["root"], "GET", f"{path}{'&' if '?' in path else '?'}q={key}=~{sign}")
                if answer.status_code == 400:
                    continue  # No text.
                tried += 1
                assert (answer.status_code, answer["X-Total-Count"]) == (200, "0"), (path, key, target, sign)
    assert tried > 50
