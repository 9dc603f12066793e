"""Every status that the contract documents is answered, but for those of NEVER_ANSWERED, each with why.

Most of them have the same few causes everywhere: nobody signed in, a stranger, something that is not there, a body that
cannot be read, the same once more. `everywhere` tries these on every route of `who_may`; what is particular to an
operation stands in PROVOKED by hand. Some operations can understand everything that can be read, and yet 400 is
documented: they answer it to an address that cannot be. 500 is left out: a mistake of our own, for which nobody asks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from django.test import override_settings
from django.urls import resolve

from core import oci
from core.api.slashes import cleaned
from core.store import files
from projects.models import Artifact, Repository
from tests import rows
from tests.api.conftest import world
from tests.api.test_who_may import FIRST, route_of
from tests.api.who_may import TABLE, Route, ids_for, objects_of
from tests.api.world import API, World, undone
from tests.certificates import Authority
from tests.contracts.contract import CONTRACT, OPERATIONS, Operation
from tests.contracts.test_contract import (
    ARTIFACT,
    ARTIFACTS,
    HOOK,
    ICON,
    PROJECT,
    RULE,
    SAMPLES,
    broken,
    broken_error,
    give_icon,
    ours,
)
from tests.rest import Client

__all__ = ["world"]
pytestmark = pytest.mark.django_db

_NO_PROXY_CACHE = "it is for projects that are a cache of another registry, and there are none yet"
_NO_SCANNER = "there is no scanner yet that could be chosen"
_NO_OIDC = "it is for people who sign in by OIDC, and nobody can yet"
_NO_SERVICES = "it is for Harbor's own services, which have a secret between them; there are none here"
_ALWAYS_THERE = "it is one for the whole system, and always there"
_KEY_IS_THERE = "a key that is there already is in the way of POST alone; what is changed or taken away must be there"
_GC_WAITS = "a schedule takes the place of the one before, as in Harbor, and a run waits for the one before"
_ROBOTS_NAME = "a robot keeps its name and so meets nobody else's; another name is 400, as in Harbor"
_LABEL_COMES_OFF = "a label that is on the artifact comes off; one that is not is 404"

NEVER_ANSWERED: dict[tuple[str, int], str] = {
    (f"POST {ARTIFACTS}", 405): _NO_PROXY_CACHE,
    (f"POST {ARTIFACT}/tags", 405): _NO_PROXY_CACHE,
    (f"PUT {PROJECT}/scanner", 200): _NO_SCANNER,
    ("PUT /users/{user_id}/cli_secret", 200): _NO_OIDC,
    ("GET /internalconfig", 200): _NO_SERVICES,
    ("GET /projects", 401): "nobody signed in, or with a wrong password, sees the public projects, as in Harbor",
    ("GET /jobservice/queues", 404): _ALWAYS_THERE,
    ("GET /schedules", 404): _ALWAYS_THERE,
    ("GET /permissions", 404): _ALWAYS_THERE,
    ("GET /schedules/{job_type}/paused", 403): "whoever signed in may ask, as in Harbor",
    ("GET /schedules/{job_type}/paused", 404): "any other job_type than `all` is 400, as in Harbor",
    ("GET /usergroups/search", 409): "a search makes nothing, so nothing can be there already",
    ("POST /system/gc/schedule", 409): _GC_WAITS,
    ("PUT /robots/{robot_id}", 409): _ROBOTS_NAME,
    (f"PUT {PROJECT}/metadatas/{{meta_name}}", 409): _KEY_IS_THERE,
    (f"DELETE {PROJECT}/metadatas/{{meta_name}}", 409): _KEY_IS_THERE,
    (f"DELETE {ARTIFACT}/labels/{{label_id}}", 409): _LABEL_COMES_OFF,
}
"""(operation, status) → why nobody hears it."""

UNTOLD = {
    400: "the body, or a part of the address, cannot be read or means nothing",
    404: "what the address names is not there",
    415: "the body is said to be no JSON",
}
"""What every operation answers that has such a part, as in Harbor, whether the contract tells of it or not."""

Given = Callable[[World], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Provoked:
    """One request by hand, which must be answered with `status`."""

    operation: str
    status: int
    body: Any = None
    _: KW_ONLY
    who: str = "root"
    query: str = ""
    ids: Mapping[str, object] = field(default_factory=dict)
    """What the path names in place of what is in the team's project."""
    given: Given = lambda world: nullcontext()
    """What is so meanwhile."""


@dataclass(frozen=True)
class Try:
    """One request, sent so many times; `content` is the body as it goes out."""

    who: str | None
    method: str
    path: str
    content: bytes = b""
    kind: str = "application/json"
    times: int = 1


# --- what must be so for some of them -------------------------------------------------------------------------------
def an_icon(world: World) -> AbstractContextManager[str]:
    return nullcontext(give_icon(Artifact.objects.get(repository__name="team/app", tags__name="v1")))


def a_built_image(world: World) -> AbstractContextManager[Artifact]:
    app = Repository.objects.get(name="team/app")
    return nullcontext(rows.make_artifact(app, "built", config='{"history": [{"created_by": "a test"}]}'))


@contextmanager
def an_authority(world: World) -> Iterator[None]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ca.crt"
        path.write_text(Authority().pem)
        with override_settings(SECURE=True, CA_CERTIFICATE=path):
            yield


def a_bucket(world: World) -> AbstractContextManager[Any]:
    bucket = replace(files._store(), has_folders=False)
    return patch.object(files, "_store", lambda: bucket)


_WEAK = "nothing-but-letters"
_FRESH_ROBOT = {"name": "fresh", "level": "system", "duration": 1, "permissions": []}

PROVOKED = [
    # What no request can mean, though each can be read.
    Provoked("POST /projects", 400, {"project_name": "Not In Lower Case"}),
    Provoked(f"PUT {PROJECT}", 400, {"metadata": {"public": "perhaps"}}),
    Provoked(f"POST {PROJECT}/members", 400, {"role_id": 99, "member_user": {"username": "root"}}),
    Provoked(f"PUT {PROJECT}/members/{{mid}}", 400, {"role_id": 99}),
    Provoked(f"POST {PROJECT}/metadatas/", 400, {"auto_scan": "true", "severity": "low"}),
    Provoked(f"PUT {PROJECT}/metadatas/{{meta_name}}", 400, {"prevent_vul": "perhaps"}),
    Provoked(f"POST {PROJECT}/immutabletagrules", 400, {**RULE, "action": "retain"}),
    Provoked(f"PUT {PROJECT}/immutabletagrules/{{immutable_rule_id}}", 400, {**RULE, "action": "retain"}),
    Provoked(f"POST {PROJECT}/webhook/policies", 400, {**HOOK, "event_types": []}),
    Provoked(f"PUT {PROJECT}/webhook/policies/{{webhook_policy_id}}", 400, {**HOOK, "targets": []}),
    Provoked(f"GET {PROJECT}/artifacts", 400, query="?latest_in_repository=true"),
    Provoked(f"POST {ARTIFACTS}", 400, query="?from=neither-a-tag-nor-a-digest"),
    Provoked(f"POST {ARTIFACT}/tags", 400, {"name": "no tag!"}),
    Provoked(f"GET {ARTIFACT}/additions/{{addition}}", 400, ids={"addition": "readme.md"}),
    Provoked(f"GET {ARTIFACT}/additions/{{addition}}", 422, ids={"addition": "poem"}),
    Provoked("GET /icons/{digest}", 400, ids={"digest": "no-digest"}),
    Provoked("GET /labels", 400, query="?scope=x"),
    Provoked("POST /labels", 400, {"name": "fresh", "scope": "x"}),
    Provoked("PUT /labels/{label_id}", 400, {"name": ""}),
    Provoked("GET /robots", 400, query="?q=Level=project"),
    Provoked("POST /robots", 400, _FRESH_ROBOT),
    Provoked("PUT /robots/{robot_id}", 400, {**_FRESH_ROBOT, "name": "another", "level": "project"}),
    Provoked("PATCH /robots/{robot_id}", 400, {"secret": _WEAK}),
    Provoked("POST /users", 400, {"username": "nora", "email": "nora@example.com", "password": _WEAK}),
    Provoked("PUT /users/{user_id}/password", 400, {"new_password": rows.PASSWORD}),
    Provoked("PUT /users/{user_id}/cli_secret", 400, {"secret": _WEAK}),
    Provoked("POST /usergroups", 400, {"group_name": "fresh", "group_type": 9}),
    Provoked("PUT /usergroups/{group_id}", 400, {"group_name": ""}),
    Provoked("GET /usergroups/{group_id}", 400, ids={"group_id": 0}),
    Provoked("DELETE /usergroups/{group_id}", 400, ids={"group_id": 0}),
    Provoked("PUT /quotas/{id}", 400, {"hard": {"storage": 0}}),
    Provoked("POST /system/gc/schedule", 400, {"schedule": {"type": "Manual"}, "parameters": {"workers": 11}}),
    Provoked("PUT /system/gc/schedule", 400, {"schedule": {"type": "Custom", "cron": "now and then"}}),
    Provoked("POST /system/purgeaudit/schedule", 400, {"schedule": {}}),
    Provoked("PUT /system/purgeaudit/schedule", 400, {"schedule": {"type": "Custom", "cron": "now and then"}}),
    Provoked("PUT /jobservice/queues/{job_type}", 422, {"action": "hurry"}),
    # What is somebody else's, or not as it would have to be.
    Provoked("GET /permissions", 403, who="carol"),
    Provoked("PUT /labels/{label_id}", 409, {"name": "team-free"}),
    Provoked(f"DELETE {PROJECT}", 412),
    Provoked("PUT /users/{user_id}/cli_secret", 412, {"secret": "Str0ng-enough"}),
    # What is not there, by names that `world` has not.
    Provoked("GET /jobservice/pools/{pool_id}/workers", 404, ids={"pool_id": "nowhere"}),
    Provoked("PUT /jobservice/jobs/{job_id}", 404, ids={"job_id": "no-uuid"}),
    Provoked("GET /systeminfo/volumes", 404, given=a_bucket),
    # What `world` has not, and is there.
    Provoked("GET /icons/{digest}", 200, who="alice", ids={"digest": oci.digest_of(ICON)}, given=an_icon),
    Provoked(
        f"GET {ARTIFACT}/additions/{{addition}}",
        200,
        who="alice",
        ids={"reference": "built", "addition": "build_history"},
        given=a_built_image,
    ),
    Provoked("GET /systeminfo/getcert", 200, who="alice", given=an_authority),
]
"""What `everywhere` does not provoke, and what it provokes in one way only though an operation has its own."""


def everywhere(world: World, route: Route) -> Iterator[Try]:
    """The causes that are the same for all operations."""
    whole = _to("own", world, route)
    yield replace(whole, who=None)
    yield replace(whole, who="mallory")
    yield replace(whole, times=2)
    yield from (_to(obj, world, route) for obj in objects_of(route) if "absent" in obj)
    if _has_conditions(route):
        yield _asked(whole, "q=name")
    if whole.content:
        yield replace(whole, content=b'{"name"')
        yield replace(whole, content=b"[]")
        yield replace(whole, kind="text/plain")


def an_address_of_nothing(world: World, route: Route) -> Iterator[Try]:
    """One that holds a null byte."""
    yield _asked(_to("own", world, route), "x=%00")


def _to(obj: str, world: World, route: Route) -> Try:
    """What a system admin may do, with one of the objects of `who_may`."""
    ids = ids_for(obj, world.places)
    if obj != "absent":
        ids["user_id"] = world.people["victor"].pk
    path, body = route.at(ids)
    return Try("root", route.method, path, _written(body))


def _written(body: Any) -> bytes:
    return b"" if body is None else json.dumps(body).encode()


def _asked(whole: Try, query: str) -> Try:
    return replace(whole, path=f"{whole.path}{'&' if '?' in whole.path else '?'}{query}")


def _has_conditions(route: Route) -> bool:
    said = CONTRACT["operations"][str(operation_of(route))].get("parameters", ())
    return {"$ref": "#/parameters/query"} in said


@cache
def _by_route() -> dict[tuple[str, str], Operation]:
    return {(each.method, resolve(cleaned(f"{API}{each.at(SAMPLES)}")).route): each for each in ours()}


def operation_of(route: Route) -> Operation | None:
    """Harbor's operation at this line of `who_may`; None when it is Wharf's own."""
    return _by_route().get(route_of(route))


def answers_to(world: World, said: Try) -> Iterator[Any]:
    """Sent as often as it is to be."""
    client = Client(raise_request_exception=False)
    if said.who is not None:
        client.force_authenticate(world.people[said.who])
    for _ in range(said.times):
        yield client.generic(said.method, f"{API}{said.path}", said.content, said.kind)  # type: ignore[arg-type]


class Statuses:
    """What was answered, and what is wrong with it."""

    def __init__(self) -> None:
        self.answered: set[tuple[str, int]] = set()
        self.wrong: list[str] = []

    def note(self, operation: Operation, answer: Any) -> None:
        status = answer.status_code
        is_untold = status in UNTOLD and operation.response(status) is None
        mistakes = broken_error(answer) if is_untold else broken(operation, answer)
        self.wrong += [f"{operation}: {status}: {mistake}" for mistake in mistakes]
        if not mistakes:
            self.answered.add((str(operation), status))


def on_every_route(world: World, statuses: Statuses, causes: Callable[[World, Route], Iterator[Try]]) -> None:
    for route in TABLE:
        if (operation := operation_of(route)) is None:
            continue
        for said in causes(world, route):
            with undone():
                if route.key in FIRST:
                    FIRST[route.key](world.places["own"])
                for answer in answers_to(world, said):
                    statuses.note(operation, answer)


def by_hand(world: World, statuses: Statuses) -> None:
    for said in PROVOKED:
        operation = OPERATIONS[said.operation]
        ids = {**world.places["own"], "user_id": world.people["victor"].pk, **said.ids}
        request = Try(said.who, operation.method, operation.at(ids) + said.query, _written(said.body))
        with undone(), said.given(world):
            for answer in answers_to(world, request):
                statuses.note(operation, answer)
                if answer.status_code != said.status:
                    statuses.wrong.append(f"{operation}: {answer.status_code} in place of {said.status}: {said}")


def documented() -> set[tuple[str, int]]:
    return {(str(operation), int(status)) for operation in ours() for status in operation.responses if status != "500"}


def test_every_documented_status_is_answered_or_told_why_not(world: World) -> None:
    statuses, wanted = Statuses(), documented()
    on_every_route(world, statuses, everywhere)
    by_hand(world, statuses)
    unreadable = wanted - statuses.answered
    on_every_route(world, statuses, an_address_of_nothing)
    missing = wanted - statuses.answered
    print(
        f"\n{len(wanted - missing)} of {len(wanted)} documented statuses besides 500 were answered, "
        f"{len(unreadable - missing)} of them only to an address that nobody can read"
    )
    lines = [f"{key} is never answered {status}" for key, status in missing - NEVER_ANSWERED.keys()]
    lines += [f"{key} is answered {status}, or not documented" for key, status in NEVER_ANSWERED.keys() - missing]
    assert not statuses.wrong + lines, "\n".join(sorted(statuses.wrong + lines))


def test_what_is_provoked_by_hand_is_documented() -> None:
    assert {(said.operation, said.status) for said in PROVOKED} <= documented()
