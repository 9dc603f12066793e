"""Bodies with fields that are not the caller's to set: they are refused, or they change nothing.

Each write is tried twice, as it should be and with every field name that there is anywhere; both must leave the same
rows behind.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.db import connection

from rbac.models import Robot, User
from tests.api import world as worlds
from tests.api.who_may import ONTO_ITSELF, TABLE, Route, caller, ids_for, may
from tests.api.world import World, ask, undone
from tests.contracts.contract import CONTRACT

pytestmark = pytest.mark.django_db

# By hand from Harbor's documentation: the fields of each body. A new write needs its line here.
# A field with a star only system admins may set: for everybody else it must set nothing.
MAY_SET = """
PUT   /configurations                         (items)
PUT   /system/CVEAllowlist                    items expires_at
POST  /system/gc/schedule                     schedule parameters
PUT   /system/gc/schedule                     schedule parameters
PUT   /system/gc/{gc_id}
POST  /system/purgeaudit/schedule             schedule parameters
PUT   /system/purgeaudit/schedule             schedule parameters
PUT   /system/purgeaudit/{purge_id}
PUT   /jobservice/jobs/{job_id}
PUT   /jobservice/queues/{job_type}           action
POST  /usergroups                             group_name group_type ldap_group_dn
PUT   /usergroups/{group_id}                  group_name
POST  /users                                  username email realname comment password
PUT   /users/{user_id}                        email realname comment
PUT   /users/{user_id}/password               old_password new_password
PUT   /users/{user_id}/sysadmin               sysadmin_flag
PUT   /users/{user_id}/cli_secret             secret
POST  /projects                               project_name public metadata cve_allowlist registry_id storage_limit*
PUT   /projects/{project_name_or_id}          metadata cve_allowlist
POST  /projects/{project_name_or_id}/members  role_id member_user member_group tag_scope
PUT   /projects/{project_name_or_id}/members/{mid}  role_id tag_scope
POST  /projects/{project_name_or_id}/metadatas
PUT   /projects/{project_name_or_id}/metadatas/{meta_name}
PUT   /projects/{project_name_or_id}/scanner  uuid
POST  /projects/{project_name_or_id}/immutabletagrules  priority disabled action template tag_selectors scope_selectors
PUT   RULE  id priority disabled action template tag_selectors scope_selectors
POST  /projects/{project_name_or_id}/webhook/policies  name description event_types targets enabled
PUT   HOOK  name description event_types targets enabled
POST  HOOK/secret
POST  HOOK/executions/{execution_id}/redeliver
PUT   /quotas/{id}                            hard
POST  /labels#global                          name description color scope
POST  /labels#project                         name description color scope project_id
PUT   /labels/{label_id}                      name description color
POST  /robots#system                          name description secret level duration disable permissions
POST  /robots#project                         name description secret level duration disable permissions
PUT   /robots/{robot_id}                      name description level duration disable permissions
PATCH /robots/{robot_id}                      secret grace_period
PUT   REPOSITORY                              description
POST  ARTIFACT/tags                           name
POST  ARTIFACT/labels                         id
"""
OWN_FIELDS = {
    f"{method} {path}": {field for field in fields if not field.endswith("*")}
    for method, path, *fields in map(str.split, MAY_SET.split("\n")[1:-1])
}
# Hashes of new secrets, secrets that we keep, and ids of requests.
_RANDOM = re.compile(r"argon2|whsec_|[0-9a-f]{64}$|[0-9a-f-]{36}$")
WRITES = [
    route
    for route in TABLE
    if isinstance(route.body, dict) or (route.method in ("POST", "PUT", "PATCH") and route.key != ONTO_ITSELF)
]


@pytest.fixture(scope="module")
def counted() -> Iterator[Counter[str]]:
    counts: Counter[str] = Counter()
    yield counts
    print(
        f"\n{counts['fields']} fields that are not the caller's in {counts['ignored'] + counts['refused']} bodies: "
        f"{counts['ignored']} bodies taken without them, {counts['refused']} refused"
    )


def poison(world: World) -> dict[str, Any]:
    """Every field of every answer and of every row, with values that would be seen."""
    names = {name for said in CONTRACT["definitions"].values() for name in said.get("properties", {})}
    for model in apps.get_models():
        names |= {field.name for field in model._meta.get_fields()} | {
            getattr(field, "attname", field.name) for field in model._meta.get_fields()
        }
    mallory, vault = world.people["mallory"], world.foreign
    chosen = {
        **dict.fromkeys(("id", "pk", "user_id", "owner_id", "owner", "entity_id", "user", "creator_id"), mallory.pk),
        **dict.fromkeys(("owner_name", "creator", "created_by", "creator_name", "username", "entity_name"), "mallory"),
        **dict.fromkeys(("sysadmin_flag", "is_sysadmin", "admin_role_in_auth", "is_active", "editable"), True),
        **dict.fromkeys(("is_superuser", "is_staff", "is_authenticated", "public"), True),
        **dict.fromkeys(("project", "project_id", "projectID", "repository_id"), vault.pk),
        **dict.fromkeys(("creation_time", "update_time", "created", "updated", "deleted"), "2001-01-01T00:00:00.000Z"),
        **dict.fromkeys(("push_time", "pull_time", "pushed", "pulled", "expires"), "2001-01-01T00:00:00.000Z"),
        **dict.fromkeys(("password", "secret", "salt", "digest", "password_hash"), "Chosen-by-mallory-1"),
        **dict.fromkeys(("pull_count", "artifact_count", "repo_count", "storage_limit", "used", "size"), 1 << 40),
        **dict.fromkeys(("role", "role_id", "current_user_role_id"), 1),
        **dict.fromkeys(("level", "kind", "scope", "entity_type"), "system"),
        **dict.fromkeys(("project_name", "namespace", "short_name"), "vault"),
        "ldap_group_dn": "cn=mallory,dc=example,dc=com",
        "hard": {"storage": 1 << 40},
        "metadata": {"public": "true"},
        "permissions": [{"kind": "system", "namespace": "/", "access": [{"resource": "user", "action": "create"}]}],
        "is_sysadmin__": True,
        "__class__": "x",
        "owner__username": "mallory",
    }
    return {**dict.fromkeys(names, 7), **chosen}


def rows_after(world: World, who: User | Robot, route: Route, path: str, body: Any) -> tuple[Any, dict[str, list[str]]]:
    """The answer, and all rows of all tables after it; the times and hashes that it made without their values."""
    with connection.cursor() as cursor:
        # So that a new row has the same id whenever it is made.
        cursor.execute("SELECT setval(format('%I.%I', schemaname, sequencename), 1000000) FROM pg_sequences")
    with undone():
        answer = ask(who, route.method, path, body)
        rows = {}
        for model in apps.get_models(include_auto_created=True):
            # A prefix is the beginning of a secret, which is made by chance.
            found = model._default_manager.order_by("pk").values()
            rows[model._meta.label] = [
                str({key: _lasting(world, value) for key, value in row.items() if key != "prefix"}) for row in found
            ]
    return answer, rows


def _lasting(world: World, value: Any) -> Any:
    if isinstance(value, datetime):
        return "long ago" if value.year < 2020 else "now"
    if isinstance(value, UUID):
        return "random"
    if isinstance(value, dict):
        return {key: _lasting(world, each) for key, each in value.items()}
    if isinstance(value, str) and _RANDOM.match(value) and value not in world.secrets:
        return "random"
    return bytes(value) if isinstance(value, memoryview) else value


def least(world: World, route: Route) -> Any:
    """Who may do it and is as little as possible: there others may set more."""
    for subject in ("developer", "project admin", "robot"):
        if may(route, subject, "own"):
            who = caller(world, route, subject)
            if isinstance(who, Robot) and (route.body is None or route.names[:1] == ["user_id"]):
                continue
            return who
    return world.people["root"]


def test_every_write_says_what_may_be_set() -> None:
    assert {route.key for route in WRITES} == set(OWN_FIELDS), (
        "give each write its line in MAY_SET, by Harbor's documents"
    )


@pytest.mark.parametrize("route", WRITES, ids=lambda route: route.key)
def test_a_field_that_is_not_the_callers_sets_nothing(world: World, counted: Counter[str], route: Route) -> None:
    who = least(world, route)
    ids = ids_for("own", world.places)
    ids["user_id"] = who.pk if may(route, "developer", "own") else world.people["carol"].pk
    path, body = route.at(ids)
    own = {*OWN_FIELDS[route.key], *body}
    if "(items)" in own:
        own |= {*CONTRACT["definitions"]["Configurations"]["properties"]}
    extra = {name: value for name, value in poison(world).items() if name not in own}
    plain, expected = rows_after(world, who, route, path, body)
    assert plain.status_code == route.status, plain.content
    before = worlds.written()
    answer, left = rows_after(world, who, route, path, {**extra, **body})
    assert answer.status_code < 500, answer.content
    if answer.status_code >= 400:
        assert worlds.written_since(before) == []
    else:
        assert {name: (rows, expected[name]) for name, rows in left.items() if rows != expected[name]} == {}
    counted["refused" if answer.status_code >= 400 else "ignored"] += 1
    counted["fields"] += len(extra)
