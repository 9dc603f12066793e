"""Every route, asked by everybody for everything: who may, who may not, and that a refusal has changed nothing.

And that what was acknowledged is in the audit log, once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.models import Max
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from core import clock
from projects.models import AuditLog, Project, Repository
from rbac.permissions import EVERYBODY, SIGNED_IN
from rbac.roles import GRANTS, SYSTEM
from tests.api import world as worlds
from tests.api.who_may import (
    AUDITED,
    ONTO_ITSELF,
    SUBJECTS,
    TABLE,
    Route,
    audited,
    caller,
    expected,
    ids_for,
    may,
    objects_of,
)
from tests.api.world import API, CANARY, HIDDEN, World, ask, undone

pytestmark = pytest.mark.django_db


def views() -> list[tuple[str, Any]]:
    """Route and view of everything under /api/v2.0, as the project's own URLconf has it."""

    def walk(patterns: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for pattern in patterns:
            route = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, route)
            elif isinstance(pattern, URLPattern) and route.startswith("api/v2.0/"):
                yield route, pattern.callback

    return [*walk(get_resolver().url_patterns, "")]


def routed() -> set[tuple[str, str]]:
    """Method and route of every operation."""
    return {(method, route) for route, view in views() for method in _methods(view)}


def _methods(view: Any) -> list[str]:
    by_method = getattr(view, "actions", None) or {
        name: name for name in view.cls.http_method_names if hasattr(view.cls, name)
    }
    # What answers GET answers HEAD as well.
    own = [name for name in by_method if name != "head" or by_method[name] != by_method.get("get", name)]
    return [name.upper() for name in own if name != "options"]


def route_of(route: Route) -> tuple[str, str]:
    """Where the URLconf leads a line of the table."""
    path, _ = route.at(defaultdict(lambda: 7))
    return route.method, resolve(f"{API}{path.partition('?')[0]}").route


@pytest.mark.parametrize(("path", "view"), views(), ids=[path for path, _ in views()])
def test_every_view_names_what_it_guards(path: str, view: Any) -> None:
    assert getattr(view.cls, "resource", None) in {EVERYBODY, SIGNED_IN, *GRANTS, *SYSTEM}


def test_every_route_has_a_line() -> None:
    missing = routed() - {route_of(route) for route in TABLE}
    assert not missing, (
        f"nobody has said who may call {', '.join(f'{method} /{path}' for method, path in sorted(missing))}: add a "
        "line to ROUTES in tests/api/who_may.py with what Harbor's documentation says, never with what a run answered"
    )


def test_every_line_has_a_route() -> None:
    lost = [route.key for route in TABLE if route_of(route) not in routed()]
    assert not lost, f"take these lines out of ROUTES in tests/api/who_may.py, nothing answers there: {lost}"


def test_every_write_has_a_body_or_needs_none() -> None:
    silent = {route.key for route in TABLE if route.method in ("POST", "PUT", "PATCH") and route.body is None}
    silent -= {ONTO_ITSELF}
    assert not silent, f"give these a body in BODIES of tests/api/who_may.py: {silent}"


def test_every_exception_of_the_audit_log_is_a_line() -> None:
    written = {(route.key, obj) for route in TABLE if route.is_write for obj in ("*", *objects_of(route))}
    assert set(AUDITED) <= written


# --- the matrix ---------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def counted() -> Iterator[Counter[str]]:
    counts: Counter[str] = Counter()
    yield counts
    print(
        f"\n{counts['routes']} routes x {len(SUBJECTS)} subjects x {counts['objects']} objects of routes: "
        f"{counts['cells']} answers checked, {counts['refused']} refused changes without effect, "
        f"{counts['audited']} acknowledged ones in the audit log"
    )


def _emptied(ids: worlds.Ids) -> None:
    """A project can only be deleted when there is nothing in it."""
    project = Project.objects.filter(name=ids["project_name_or_id"]).first()
    Repository.objects.filter(project=project).update(deleted=clock.now())


FIRST: dict[str, Callable[[worlds.Ids], None]] = {"DELETE /projects/{project_name_or_id}": _emptied}
"""What must have happened for a route to succeed."""


@pytest.mark.parametrize("route", TABLE, ids=[route.key for route in TABLE])
def test_everybody_hears_what_harbor_says(world: World, counted: Counter[str], route: Route) -> None:
    wrong, effective = [], 0
    counted["routes"] += 1
    for obj in objects_of(route):
        counted["objects"] += 1
        for subject in SUBJECTS:
            if (status := expected(route, subject, obj)) is None:
                continue
            with undone():
                mistakes, did_change = cell(world, route, subject, obj, status)
            wrong += [f"{subject}, {obj}: {mistake}" for mistake in mistakes]
            effective += did_change
            counted["cells"] += 1
            counted["refused"] += route.is_write and status >= 400
            counted["audited"] += route.is_write and status < 400
    assert not wrong, f"{route.key}\n" + "\n".join(wrong)
    # Else no refusal of it would prove anything; what answers nobody with a success changes nothing anyway.
    is_change = route.is_write and route.status < 400 and route.key != ONTO_ITSELF
    assert effective or not is_change, f"{route.key} changes nothing for anybody"


def cell(world: World, route: Route, subject: str, obj: str, status: int) -> tuple[list[str], bool]:
    """What is wrong with one answer, and whether it changed anything."""
    who = caller(world, route, subject)
    ids = ids_for(obj, world.places)
    if route.names[:1] == ["user_id"] and obj != "absent":
        ids["user_id"] = who.pk if obj == "own" and who else world.people["victor"].pk
    if route.key in FIRST:
        FIRST[route.key](ids)
    path, body = route.at(ids)
    last = AuditLog.objects.aggregate(last=Max("id", default=0))["last"]
    before = worlds.written()
    answer = ask(who, route.method, path, body)
    touched = worlds.written_since(before)
    wrong = [] if answer.status_code == status else [f"{answer.status_code} in place of {status}: {answer.content!r}"]
    if touched and answer.status_code >= 400:
        wrong.append(f"{answer.status_code}, but written to were {touched}")
    if route.is_write and answer.status_code < 400:
        rows = list(AuditLog.objects.filter(id__gt=last))
        wrong += unlike_the_deed(
            rows, audited(route, obj), who.name if who else "anonymous", project_of(route, obj, ids)
        )
    wrong += [f"tells {word!r}" for word in told(world, route, subject, obj) if word in answer.content.decode()]
    return wrong, bool(touched)


def project_of(route: Route, obj: str, ids: worlds.Ids) -> object:
    """The project whose log has what was done; None when it is nobody's or when the line does not say which."""
    return ids["project_id"] if route.kind in ("P", "SP") and obj != "global" else None


def unlike_the_deed(rows: list[AuditLog], count: int, name: str, project: object) -> list[str]:
    """What is wrong with the rows that an acknowledged write has left in the audit log."""
    if len(rows) != count:
        said = [f"{row.operation} {row.resource_type}" for row in rows]
        return [f"acknowledged, but the audit log has {len(rows)} rows of it in place of {count}: {said}"]
    return [
        f"the audit log names {row.username} and the project {row.project_id} in place of {name} and {project}"
        for row in rows
        if row.username != name or (project is not None and row.project_id != project)
    ]


def told(world: World, route: Route, subject: str, obj: str) -> set[str]:
    """What nobody, what strangers to the other project, and what the guest of some tags must not read in any answer."""
    words = set(world.secrets)
    if subject != "system admin" and not (route.kind.endswith("S") and may(route, subject, obj)):
        words.add(CANARY)
    if subject == "guest of some tags":
        words.add(HIDDEN)
    return words


@pytest.mark.parametrize("route", [each for each in TABLE if each.method == "GET"], ids=lambda route: route.key)
def test_head_opens_nothing_that_get_does_not(world: World, route: Route) -> None:
    if route.path == "/projects":
        return  # Harbor's HEAD is an operation of its own there: it has a line.
    for obj in ("own", "foreign", "absent"):
        if obj not in objects_of(route):
            continue
        path, _ = route.at({**ids_for(obj, world.places), "user_id": world.people["victor"].pk})
        for subject in SUBJECTS:
            who = caller(world, route, subject)
            got, head = ask(who, "GET", path), ask(who, "HEAD", path)
            assert (head.status_code, head.content) == (got.status_code, b""), (subject, obj)


@pytest.mark.parametrize(
    "route", [each for each in TABLE if "project_name_or_id" in each.names], ids=lambda route: route.key
)
def test_a_projects_number_opens_nothing_that_its_name_does_not(world: World, route: Route) -> None:
    for obj in ("own", "foreign", "absent"):
        ids = ids_for(obj, world.places)
        path, body = route.at({**ids, "project_name_or_id": ids["project_id"]})
        for subject in SUBJECTS:
            if (status := expected(route, subject, obj)) is not None:
                with undone():
                    if route.key in FIRST:
                        FIRST[route.key](ids)
                    answer = ask(caller(world, route, subject), route.method, path, body)
                assert answer.status_code == status, (subject, obj, answer.content)
