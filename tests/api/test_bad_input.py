"""What no operation can mean: a 4xx of Harbor's form each time, and not one row written; over all routes."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from projects.api.labels import Labels
from tests import rows
from tests.api import world as worlds
from tests.api.test_who_may import views
from tests.api.who_may import TABLE, Route, ids_for
from tests.api.world import API, World, ask, undone

pytestmark = pytest.mark.django_db

JSON = "application/json"
WRITES = [route for route in TABLE if route.is_write]
BODIES = [route for route in WRITES if route.body]
READS_BODY = (400, 413, 415, 422)

TEXTS = {
    "null byte": '"a\\u0000b"',
    "lone surrogate": '"\\ud800"',
    "the other half of a surrogate": '"\\udc00a"',
    "10 MB": '"' + "a" * 10_000_000 + '"',
    "a number": "7",
    "a list": "[]",
    "an object": "{}",
    "true": "true",
}
NUMBERS = {
    "beyond 64 bits": str(2**63),
    "below 64 bits": str(-(2**63) - 1),
    "a million digits": "9" * 1_000_000,
    "infinite": "1e400",
    "a fraction": "1.5",
    "not a number": "NaN",
    "text": '"7"',
    "true": "true",
    "a list": "[]",
}
FLAGS = {"a number": "1", "text": '"true"', "a list": "[]"}
WHOLE = {
    "nothing": b"",
    "half of one": b'{"name"',
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "a null byte": b'{"name": \x00}',
    "a list": b"[]",
    "a number": b"7",
    "text": b'"x"',
    "ten thousand deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a hundred thousand lists": b"[" * 100_000,
    # A parser would let these pass, and who writes or shows them would fail.
    **{f"{levels} deep": b'{"a":' * levels + b"1" + b"}" * levels for levels in (101, 500, 900, 950)},
    "a single quote": b"{'name': 'x'}",
    "after the end": b"{} {}",
}
TYPES = ("text/plain", "text/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "no/such")


def send(world: World, route: Route, content: bytes, kind: str = JSON, path: str = "") -> Any:
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(world.people["root"])
    address = path or route.at(ids_of(world))[0]
    return client.generic(route.method, f"{API}{address}", content, content_type=kind)  # type: ignore[arg-type]


def ids_of(world: World) -> worlds.Ids:
    return {**ids_for("own", world.places), "user_id": world.people["victor"].pk}


def wrong(answer: Any, statuses: tuple[int, ...]) -> str:
    """What is wrong with a refusal; empty when nothing is."""
    if answer.status_code not in statuses:
        return f"{answer.status_code}: {answer.content[:200]!r}"
    (error,) = answer.json()["errors"]
    is_sentence = set(error) == {"code", "message"} and re.fullmatch("[A-Z_]+", error["code"]) and error["message"]
    # An answer as long as what was sent would double the harm.
    return "" if is_sentence and len(answer.content) < 1000 else f"says {answer.content[:200]!r}"


def spoilt(body: Any) -> Iterator[tuple[str, str]]:
    """A good body as JSON with one of its values exchanged for a bad one, for each value and each bad one."""
    for place in _leaves(body, ()):
        value = _at(body, place)
        bad = FLAGS if isinstance(value, bool) else NUMBERS if isinstance(value, int) else TEXTS
        for name, text in bad.items():
            made = copy.deepcopy(body)
            _at(made, place[:-1])[place[-1]] = "@@"
            yield f"{'.'.join(map(str, place))}: {name}", json.dumps(made).replace('"@@"', text)


def _leaves(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(each, (*place, key))
    else:
        yield place


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value


@pytest.mark.parametrize("route", BODIES, ids=lambda route: route.key)
def test_values_that_cannot_be(world: World, route: Route) -> None:
    mistakes = []
    for name, text in spoilt(route.at(ids_of(world))[1]):
        with undone():
            before = worlds.written()
            mistake = wrong(send(world, route, text.encode()), READS_BODY)
            touched = worlds.written_since(before)
        mistakes += [f"{name}: {mistake}"] if mistake else []
        mistakes += [f"{name}: written to were {touched}"] if touched else []
    assert not mistakes, "\n".join(mistakes)


@pytest.mark.parametrize("route", BODIES, ids=lambda route: route.key)
def test_bodies_that_are_none(world: World, route: Route) -> None:
    body = json.dumps(route.at(ids_of(world))[1]).encode()
    first = next(iter(route.body))
    twice = b'{"' + first.encode() + b'": 1, ' + body[1:]
    tried = [*((name, content, JSON) for name, content in WHOLE.items()), ("a key twice", twice, JSON)]
    tried += [(kind, body, kind) for kind in TYPES]
    mistakes = []
    for name, content, kind in tried:
        with undone():
            before = worlds.written()
            mistake = wrong(send(world, route, content, kind), READS_BODY)
            touched = worlds.written_since(before)
        mistakes += [f"{name}: {mistake}"] if mistake else []
        mistakes += [f"{name}: written to were {touched}"] if touched else []
    assert not mistakes, "\n".join(mistakes)


def test_a_mistake_of_our_own_is_not_called_the_callers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*_: Any) -> Any:
        return endless()

    monkeypatch.setattr(Labels, "create", endless)
    answer = ask(world.people["root"], "POST", "/labels", {"name": "fresh", "scope": "g"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (500, "UNKNOWN")


# --- addresses ------------------------------------------------------------------------------------------------------
PLACES = {
    "a%00b": (400,),
    "%ff%fe": (400, 404),
    "%ED%A0%80": (400, 404),
    "a" * 8000: (400, 404),
    "-1": (404,),
    "%2e%2e": (400, 404),
    "1%0d%0aX-Evil:%201": (400, 404),
}
# In the place of a number what is none, or none of 64 bits, is as if the body were wrong.
NO_NUMBERS = (
    *("abc", "1.5", "1e3", "0x1", "1_0", "true", "null", "+", "--1", "a" * 8000),
    *("%207", "%EF%BC%97", "%D9%A7", "%2e%2e", "1%0d%0aX-Evil:%201", "%ff%fe"),
    *(str(2**63), str(-(2**63) - 1), "9" * 400, "0" * 5000 + "9" * 20),
)


def places_of(name: str, ids: worlds.Ids) -> dict[str, tuple[int, ...]]:
    """What somebody may write into a path in the place of this name, and what he may hear."""
    if not isinstance(ids[name], int):
        return {**PLACES, str(2**63): (404,), "9" * 400: (400, 404)}
    most = 2**63 - 1
    numbers = [str(most), f"+{most}", "0" * 5000 + str(most), str(-most - 1), "-1"]
    return {"a%00b": (400,), **dict.fromkeys(numbers, (404,)), **dict.fromkeys(NO_NUMBERS, (422,))}


@pytest.mark.parametrize("route", [each for each in TABLE if "{" in each.base], ids=lambda route: route.key)
def test_addresses_of_nothing(world: World, route: Route) -> None:
    mistakes, ids = [], ids_of(world)
    body = json.dumps(route.at(ids)[1]).encode() if route.body else b""
    for name in re.findall(r"{(\w+)}", route.base):
        for text, statuses in places_of(name, ids).items():
            path = route.at({**ids, name: text})[0]
            with undone():
                before = worlds.written()
                answer = send(world, route, body, path=path)
                touched = worlds.written_since(before)
            assert "X-Evil" not in answer
            if answer.status_code not in statuses and (route.key, name, answer.status_code) not in EXCUSED:
                mistakes.append(f"{name}={text[:30]}: {answer.status_code} {answer.content[:200]!r}")
            if touched:
                mistakes.append(f"{name}={text[:30]}: written to were {touched}")
    assert not mistakes, "\n".join(mistakes)


@pytest.mark.parametrize("name", ["root", "alice", "mallory", "nobody"])
def test_what_is_no_number_is_answered_alike_to_everybody(world: World, name: str) -> None:
    """As in Harbor the path is read first. It is nobody's secret what is no number."""
    answers, ids = set(), ids_of(world)
    for route in TABLE:
        for number in re.findall(r"{(\w+)}", route.base):
            if isinstance(ids[number], int):
                answer = ask(world.people.get(name), route.method, route.at({**ids, number: "abc"})[0])
                (error,) = answer.json()["errors"]
                said = error["message"].partition(" in path")[2]
                answers.add((answer.status_code, error["code"], said))
    assert answers == {(422, "UNPROCESSABLE_ENTITY", " must be of type int64: 'abc'")}


def test_every_number_of_a_path_is_read_in_the_one_way() -> None:
    """Django's own converter would answer 404 for what is none."""
    assert [route for route, _ in views() if "<int:" in route] == []


EXCUSED = {
    # In Harbor a group that is not there is deleted already.
    ("DELETE /usergroups/{group_id}", "group_id", 200),
    # The body is about another key.
    ("PUT /projects/{project_name_or_id}/metadatas/{meta_name}", "meta_name", 400),
    # No digest; no name that a repository can be given.
    ("GET /icons/{digest}", "digest", 400),
    ("POST COPY", "repository_name", 400),
}

QUERIES = {
    "page_size=101": 422,
    "page_size=" + "9" * 30: 422,
    "page_size=ten": 422,
    "page=" + "9" * 30: 422,
    "page=one": 422,
    "page=1.5": 422,
    "q=name": 400,
    "q==x": 400,
    "q=name=": 400,
    "q=name=[a": 400,
    "q=name=[~]": 400,
    "q=name={}": 400,
    "q=a%00b=c": 400,
    "q=a%2500=c": 400,
}


def test_lists_refuse_queries_that_mean_nothing(world: World) -> None:
    mistakes, tried = [], 0
    for route in TABLE:
        path = route.at(ids_of(world))[0]
        if route.method != "GET" or "X-Total-Count" not in ask(world.people["root"], "GET", path):
            continue
        tried += 1
        for query, status in QUERIES.items():
            has_conditions = "?q=" in path and query.startswith("q=")
            address = f"{path},{query[2:]}" if has_conditions else f"{path}{'&' if '?' in path else '?'}{query}"
            if mistake := wrong(ask(world.people["root"], "GET", address), (status,)):
                mistakes.append(f"{address}: {mistake}")
    assert not mistakes, "\n".join(mistakes)
    assert tried >= 19


def test_a_name_that_is_an_id_opens_nothing(world: World) -> None:
    """Mallory calls a project of hers as the strangers' project is numbered."""
    mallory, number = world.people["mallory"], str(world.foreign.pk)
    rows.make_project(number, mallory)
    for route in TABLE:
        if route.names[:1] == ["project_name_or_id"]:
            path, body = route.at({**ids_of(world), **world.places["foreign"], "project_name_or_id": number})
            with undone():
                assert ask(mallory, route.method, path, body).status_code == 403, route.key
        elif route.names[:1] == ["project_name"] and route.method == "GET":
            path, _ = route.at({**world.places["foreign"], "project_name": number})
            answer = ask(mallory, route.method, path)
            # Of her own project, where nothing of theirs is.
            assert (answer.status_code, answer.content) == (200, b"[]") or answer.status_code == 404, route.key


# --- browsers -------------------------------------------------------------------------------------------------------
def test_a_browser_without_its_token_changes_nothing(world: World) -> None:
    browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
    browser.force_login(world.people["root"])
    mistakes = []
    for route in WRITES:
        path, body = route.at(ids_of(world))
        for token in ({}, {"X-Harbor-CSRF-Token": "x" * 32}):
            with undone():
                before = worlds.written()
                answer = browser.generic(route.method, f"{API}{path}", json.dumps(body), JSON, headers=token)
                touched = worlds.written_since(before)
            mistakes += [f"{route.key}: {mistake}" for mistake in [wrong(answer, (403,))] if mistake]
            mistakes += [f"{route.key}: written to were {touched}"] if touched else []
    assert not mistakes, "\n".join(mistakes)


def test_a_browser_with_its_token_does(world: World) -> None:
    """Else the test above would prove nothing."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(world.people["root"])
    token = {"X-Harbor-CSRF-Token": browser.get(f"{API}/users/current")["X-Harbor-CSRF-Token"]}
    answer = browser.post(f"{API}/labels", {"name": "fresh", "scope": "g"}, JSON, headers=token)
    assert answer.status_code == 201, answer.content
