"""Who may call which route, by hand from Harbor's documentation: one line a route, and one rule for what a line means.

A new route needs a line in ROUTES and, when it writes, a body (in `tests/contracts`, or in BODIES when the body names
what it is about). Whatever its path, query or body call by a name in braces is taken from the places of `world`.

**What a line says**, after method and path:

    anyone           whoever calls
    signed-in        people and robots
    people           no robots
    nobody           is there for the shape, and is given to nobody
    only A, B        these and nobody else
    self             the person it is about, and who has the permission that follows
    P resource:action [+ …]   a permission in the project of the path
    S resource:action         a permission in the system, which system admins and robots have
    SP resource:action        in the project that the object belongs to, or in the system when it belongs to none
    seen P resource:action    a permission in a project that the path does not name: who has it not finds nothing

and what they hear who may: the status. After a slash stands what they hear who have no right at all to anything of that
kind there, when that is not 403: the same as of what does not exist.

**What everybody hears.** Who has the right: the status of the line, and 404 for what does not exist. Who has not: 401
when nobody signed in, else 403, for what exists and for what does not alike; of what is `seen`, 404. The right to a
project that does not exist has the system admin alone. A child that belongs to another place does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rbac.models import Robot, User
from tests.api.world import ABSENT, Ids, World
from tests.contracts.test_contract import CHANGES
from tests.rbac.harbor import GRANTED, ROBOTS
from tests.rows import PASSWORD

ROUTES = """
GET    /ping                                                                 anyone                  200
GET    /health                                                               anyone                  200
GET    /systeminfo                                                           anyone                  200
GET    /systeminfo/getcert                                                   anyone                  404
GET    /systeminfo/volumes                                                   S system-volumes:read   200
GET    /internalconfig                                                       nobody                  200
GET    /configurations                                                       S configuration:read    200
PUT    /configurations                                                       S configuration:update  200
GET    /system/CVEAllowlist                                                  signed-in               200
PUT    /system/CVEAllowlist                                                  S configuration:update  200
GET    /system/gc                                                            S garbage-collection:list   200
GET    /system/gc/{gc_id}                                                    S garbage-collection:read   200
PUT    /system/gc/{gc_id}                                                    S garbage-collection:stop   200
GET    /system/gc/{gc_id}/log                                                S garbage-collection:read   200
GET    /system/gc/schedule                                                   S garbage-collection:read   200
POST   /system/gc/schedule                                                   S garbage-collection:create 201
PUT    /system/gc/schedule                                                   S garbage-collection:update 200
GET    /system/purgeaudit                                                    S purge-audit:list      200
GET    /system/purgeaudit/{purge_id}                                         S purge-audit:read      200
PUT    /system/purgeaudit/{purge_id}                                         S purge-audit:stop      200
GET    /system/purgeaudit/{purge_id}/log                                     S purge-audit:read      200
GET    /system/purgeaudit/schedule                                           S purge-audit:read      200
POST   /system/purgeaudit/schedule                                           S purge-audit:create    201
PUT    /system/purgeaudit/schedule                                           S purge-audit:update    200
GET    /jobservice/pools                                                     S jobservice-monitor:list   200
GET    /jobservice/pools/all/workers                                         S jobservice-monitor:list   200
PUT    /jobservice/jobs/{job_id}                                             S jobservice-monitor:stop   200
GET    /jobservice/jobs/{job_id}/log                                         S jobservice-monitor:list   200
GET    /jobservice/queues                                                    S jobservice-monitor:list   200
PUT    /jobservice/queues/{job_type}                                         S jobservice-monitor:stop   200
GET    /schedules                                                            S jobservice-monitor:list   200
GET    /schedules/all/paused                                                 signed-in               200

GET    /usergroups                                                           S user-group:list       200
POST   /usergroups                                                           S user-group:create     201
GET    /usergroups/search?groupname=crew                                     signed-in               200
GET    /usergroups/{group_id}                                                S user-group:read       200
PUT    /usergroups/{group_id}                                                S user-group:update     200
DELETE /usergroups/{group_id}                                                S user-group:delete     200

GET    /users                                                                S user:list             200
POST   /users                                                                S user:create           201
GET    /users/current                                                        people                  200
GET    /users/current/permissions?scope=/project/{project_id}                signed-in               200
GET    /users/search?username=a                                              signed-in               200
GET    /users/{user_id}                                                      self S user:read        200
PUT    /users/{user_id}                                                      self S user:update      200
DELETE /users/{user_id}                                                      S user:delete           200
PUT    /users/{user_id}/password                                             self S user:update      200
PUT    /users/{user_id}/sysadmin                                             only system admin       200
PUT    /users/{user_id}/cli_secret                                           self S user:update      412

GET    /projects                                                             anyone                  200
POST   /projects                                                             people S project:create 201
HEAD   /projects?project_name={project_name}                                 signed-in               200
GET    /projects/{project_name_or_id}                                        P project:read          200
PUT    /projects/{project_name_or_id}                                        P project:update        200
DELETE /projects/{project_name_or_id}                                        P project:delete        200
GET    /projects/{project_name_or_id}/_deletable                             P project:delete        200
GET    /projects/{project_name_or_id}/summary                                P project:read          200
GET    /projects/{project_name_or_id}/access/explain?subject=bob&action=pull P member:update         200
GET    /projects/{project_name_or_id}/artifacts                              P artifact:list         200
GET    /projects/{project_name_or_id}/metadatas                              P metadata:list         200
POST   /projects/{project_name_or_id}/metadatas                              P metadata:create       200
GET    /projects/{project_name_or_id}/metadatas/{meta_name}                  P metadata:read         200
PUT    /projects/{project_name_or_id}/metadatas/{meta_name}                  P metadata:update       200
DELETE /projects/{project_name_or_id}/metadatas/{meta_name}                  P metadata:delete       200
GET    /projects/{project_name_or_id}/scanner                                P scanner:read          200
PUT    /projects/{project_name_or_id}/scanner                                P scanner:create        404
GET    /projects/{project_name_or_id}/scanner/candidates                     P scanner:create        200
GET    /projects/{project_name_or_id}/immutabletagrules                      P immutable-tag:list    200
POST   /projects/{project_name_or_id}/immutabletagrules                      P immutable-tag:create  201
PUT    RULE                                                                  P immutable-tag:update  200
DELETE RULE                                                                  P immutable-tag:delete  200
GET    /projects/{project_name_or_id}/members                                P member:list           200
POST   /projects/{project_name_or_id}/members                                P member:create         201
GET    /projects/{project_name_or_id}/members/{mid}                          P member:read           200
PUT    /projects/{project_name_or_id}/members/{mid}                          P member:update         200
DELETE /projects/{project_name_or_id}/members/{mid}                          P member:delete         200

GET    /projects/{project_name_or_id}/webhook/policies                       P notification-policy:list  200
POST   /projects/{project_name_or_id}/webhook/policies                       P notification-policy:create 201
GET    HOOK                                                                  P notification-policy:read  200
PUT    HOOK                                                                  P notification-policy:update 200
DELETE HOOK                                                                  P notification-policy:delete 200
POST   HOOK/secret                                                           P notification-policy:update 200
GET    HOOK/executions                                                       P notification-policy:read  200
POST   HOOK/executions/{execution_id}/redeliver                              P notification-policy:update 201
GET    HOOK/executions/{execution_id}/tasks                                  P notification-policy:read  200
GET    HOOK/executions/{execution_id}/tasks/{task_id}/log                    P notification-policy:read  200
GET    /projects/{project_name_or_id}/webhook/lasttrigger                    P notification-policy:read  200
GET    /projects/{project_name_or_id}/webhook/events                         P notification-policy:read  200
GET    /projects/{project_name_or_id}/webhook/jobs?policy_id={webhook_policy_id} P notification-policy:list  200

GET    /projects/{project_name}/logs                                         P log:list              200
GET    /projects/{project_name}/auditlog-exts                                P log:list              200
GET    /audit-logs                                                           signed-in               200
GET    /auditlog-exts                                                        signed-in               200
GET    /auditlog-exts/events                                                 S audit-log:list        200

GET    /quotas                                                               S quota:list            200
GET    /quotas/{id}                                                          S quota:read            200
PUT    /quotas/{id}                                                          S quota:update          200
GET    /statistics                                                           signed-in               200
GET    /statistics/storage                                                   S quota:read            200
GET    /projects/{project_name_or_id}/statistics/storage                     P quota:read            200
GET    /permissions                                    only project admin, stranger, system admin    200

GET    /labels?scope=g                                                       signed-in               200
GET    /labels?scope=p&project_id={project_id}                               P label:list            200
POST   /labels#global                                                        S label:create          201
POST   /labels#project                                                       P label:create          201
GET    /labels/{label_id}                                                    SP label:read           200/404
PUT    /labels/{label_id}                                                    SP label:update         200/404
DELETE /labels/{label_id}                                                    SP label:delete         200/404

GET    /robots                                                               S robot:list            200
GET    /robots?q=Level=project,ProjectID={project_id}                        P robot:list            200
POST   /robots#system                                                        S robot:create          201
POST   /robots#project                                                       P robot:create          201
GET    /robots/{robot_id}                                                    SP robot:read           200
PUT    /robots/{robot_id}                                                    SP robot:update         200
PATCH  /robots/{robot_id}                                                    SP robot:update         200
DELETE /robots/{robot_id}                                                    SP robot:delete         200

GET    /robots/{robot_id}/secrets                                            SP robot:update         200
DELETE /robots/{robot_id}/secrets/{secret_id}                                SP robot:update         200

GET    /search?q=a                                                           anyone                  200
GET    /icons/{digest}                                                       seen P artifact:read    200
GET    /openapi.json                                                         anyone                  200

GET    /repositories                                                         anyone                  200
GET    /projects/{project_name}/repositories                                 P repository:list       200
GET    REPOSITORY                                                            P repository:read       200
PUT    REPOSITORY                                                            P repository:update     200
DELETE REPOSITORY                                                            P repository:delete     200
GET    REPOSITORY/artifacts                                                  P artifact:list         200
POST   COPY P artifact:create + repository:push + artifact:read + repository:pull                        201
GET    ARTIFACT                                                              P artifact:read         200
DELETE ARTIFACT                                                              P artifact:delete       200
GET    ARTIFACT/tags                                                         P tag:list              200
POST   ARTIFACT/tags                                                         P tag:create            201
DELETE ARTIFACT/tags/{tag_name}                                              P tag:delete            200
GET    ARTIFACT/accessories                                                  P accessory:list        200
GET    ARTIFACT/additions/vulnerabilities                                    P artifact-addition:read 200
GET    ARTIFACT/additions/values.yaml                                        P artifact-addition:read 400
POST   ARTIFACT/labels                                                       P artifact-label:create 200
DELETE ARTIFACT/labels/{label_id}                                            P artifact-label:delete 200
"""
_SHORT = {
    "REPOSITORY": "/projects/{project_name}/repositories/{repository_name}",
    "ARTIFACT": "/projects/{project_name}/repositories/{repository_name}/artifacts/{reference}",
    "RULE": "/projects/{project_name_or_id}/immutabletagrules/{immutable_rule_id}",
    "HOOK": "/projects/{project_name_or_id}/webhook/policies/{webhook_policy_id}",
    "COPY": "/projects/{project_name}/repositories/{repository_name}/artifacts"
    "?from={project_name}/{repository_name}@{reference}",
}

_PROJECT_ROBOTS = {
    "kind": "project",
    "namespace": "{project_name}",
    "access": [{"resource": "robot", "action": "create"}],
}
_SYSTEM_ROBOTS = {"kind": "system", "namespace": "/", "access": [{"resource": "robot", "action": "create"}]}
BODIES: dict[str, Any] = {
    "POST /labels#global": {"name": "fresh", "scope": "g"},
    "POST /labels#project": {"name": "fresh", "scope": "p", "project_id": "{project_id}"},
    # A robot may only give what it has, and the one that may do this has nothing else.
    "POST /robots#system": {"name": "fresh", "level": "system", "duration": 1, "permissions": [_SYSTEM_ROBOTS]},
    "POST /robots#project": {"name": "fresh", "level": "project", "duration": 1, "permissions": [_PROJECT_ROBOTS]},
    "PUT /robots/{robot_id}": {
        "name": "{robot_name}",
        "level": "{level}",
        "disable": True,
        "permissions": "{robot_permissions}",
    },
    # Harbor's document writes a slash behind it, which its router takes away.
    "POST /projects/{project_name_or_id}/metadatas": {"reuse_sys_cve_allowlist": "true"},
    "PUT /users/{user_id}/password": {"old_password": PASSWORD, "new_password": "Str0ng-enough"},
    "POST ARTIFACT/labels": {"id": "{free_label_id}"},
    # They need none.
    "PUT /system/gc/{gc_id}": {},
    "PUT /system/purgeaudit/{purge_id}": {},
    "PUT /jobservice/jobs/{job_id}": {},
    "POST HOOK/secret": {},
    "POST HOOK/executions/{execution_id}/redeliver": {},
    "PUT /projects/{project_name_or_id}/metadatas/{meta_name}": {"{meta_name}": "true"},
}
"""The bodies that name what they are about; the others are those of the contract's test."""

ONTO_ITSELF = "POST COPY"
"""A copy onto itself, for which nobody needs the bytes: it changes nothing. Harbor would be content with the rights to
create artifacts here and to read them there; a copy brings in what a push does and takes out what a pull does.
"""

EXCEPTIONS: dict[tuple[str, str, str], int] = {
    # (route, subject or *, object or *) → status
    ("GET /users/current", "robot", "*"): 412,
    ("GET /users/current", "robot without", "*"): 412,
    ("DELETE /users/{user_id}", "system admin", "own"): 403,
    # Documented: whoever signed in may ask whether a name is free.
    ("HEAD /projects?project_name={project_name}", "*", "absent"): 404,
    # As in Harbor, what does not run need not be stopped.
    ("PUT /jobservice/jobs/{job_id}", "*", "absent"): 200,
    # What is deleted stays deleted.
    ("DELETE /usergroups/{group_id}", "*", "absent"): 200,
    # Nothing is what one may do in a project that does not exist.
    ("GET /users/current/permissions?scope=/project/{project_id}", "*", "absent"): 200,
}
"""Where Harbor does not keep to the rule, and why."""

AUDITED: dict[tuple[str, str], int] = {
    # (route, object or *) → rows
    (ONTO_ITSELF, "*"): 0,
    # Nothing was stopped, nothing deleted.
    ("PUT /jobservice/jobs/{job_id}", "absent"): 0,
    ("DELETE /usergroups/{group_id}", "absent"): 0,
}
"""Which acknowledged writes are another number of rows in the audit log than one, and why."""

SUBJECTS = {
    "anonymous": None,
    "stranger": "mallory",
    "limited guest": "liam",
    "guest": "carol",
    "guest of some tags": "tess",
    "developer": "bob",
    "maintainer": "mia",
    "project admin": "alice",
    "system admin": "root",
    "robot": "robot",
    "robot without": "robot",
}
"""What they are in the team's project → who they are. The robots are without a name: they differ with each route.

One has nothing but the permission of the route. The other has every permission that a robot can be given, except that
one; that one it has in another project and, when it is one of a project, in the system.
"""


@dataclass(frozen=True)
class Route:
    """One line of the table."""

    key: str
    """As the line writes it: BODIES and EXCEPTIONS name it so."""
    method: str
    path: str
    """With `{names}` of what it is about, and with its query."""
    kind: str
    pairs: tuple[tuple[str, str], ...]
    status: int
    unknown: int
    """What somebody hears who has no right at all to such a thing there."""

    @property
    def base(self) -> str:
        """The path without its query."""
        return re.split("[?#]", self.path)[0]

    @property
    def body(self) -> Any:
        return BODIES[self.key] if self.key in BODIES else CHANGES.get(f"{self.method} {self.base}")

    @property
    def names(self) -> list[str]:
        """What path, query and body call by name, outermost first."""
        found = re.findall(r"{(\w+)}", f"{self.path} {self.body}")
        return [name for name in dict.fromkeys(found) if name not in _FOLLOW]

    @property
    def is_write(self) -> bool:
        return self.method not in ("GET", "HEAD")

    def at(self, ids: Mapping[str, object]) -> tuple[str, Any]:
        """The path and the body for these ids."""
        return _filled(self.path.partition("#")[0], ids), _filled(self.body, ids)


# What a body says of the object that its path names; it is never varied alone.
_FOLLOW = {"robot_name", "level", "robot_permissions"}
_PROJECT = ("project_name", "project_name_or_id", "project_id")
_KIND = r"anyone|signed-in|nobody|(?:self |people |seen )?(?:S|P|SP)\b|people|only"
_LINE = re.compile(
    rf"(?P<method>[A-Z]+) +(?P<path>\S+) +(?P<kind>{_KIND})(?P<rest>.*?) +(?P<status>\d+)(?:/(?P<unknown>\d+))?"
)


def _parsed(line: str) -> Route:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"this line of ROUTES is not of the form that its head describes: {line}")
    path = match["path"]
    for short, whole in _SHORT.items():
        path = re.sub(rf"^{short}\b", lambda _, whole=whole: whole, path)
    rest, kind = match["rest"], match["kind"]
    pairs = [pair.strip().partition(":") for pair in rest.split("+")] if ":" in rest else []
    return Route(
        key=f"{match['method']} {match['path']}",
        method=match["method"],
        path=path,
        kind=kind if kind != "only" else f"only{rest}",
        pairs=tuple((resource, action) for resource, _, action in pairs),
        status=int(match["status"]),
        unknown=int(match["unknown"] or 403),
    )


TABLE = [_parsed(line) for line in ROUTES.splitlines() if line]


def objects_of(route: Route) -> Iterator[str]:
    """What a route can be pointed at.

    `own`: in the team's project, or oneself. `foreign`: in a project of strangers, or another person. `public`: in a
    public project. `global`: in no project. `absent`: nowhere. And for each name after the first: `absent <name>` and
    `foreign <name>`, which is the child that another project has, asked for under the team's.
    """
    names = route.names
    yield "own"
    if not names:
        return
    first, *children = names
    if first == "user_id":
        yield from ("foreign",)
    elif first in _PROJECT or route.kind == "SP" or route.kind.startswith("seen"):
        yield from ("foreign", "public")
    if route.kind == "SP":
        yield "global"
    yield "absent"
    for child in children:
        # All projects call their metadata alike.
        yield from [f"absent {child}"] + [f"foreign {child}"] * (child != "meta_name")


def ids_for(obj: str, places: Mapping[str, Ids]) -> Ids:
    """The names of an object."""
    where, _, child = obj.partition(" ")
    if child:
        return {**places["own"], child: (ABSENT if where == "absent" else places["foreign"])[child]}
    return {**places["own"], **(ABSENT if where == "absent" else places[where])}


def expected(route: Route, subject: str, obj: str) -> int | None:
    """What a subject hears; None when there is no such subject: a permission that no robot can be given."""
    if subject == "robot" and route.pairs and not _grantable(route):
        return None
    if subject.startswith("robot") and route.names[:1] == ["user_id"] and obj == "own":
        return None  # No person.
    for key in ((route.key, subject, obj), (route.key, subject, "*"), (route.key, "*", obj)):
        if key in EXCEPTIONS and (key[1] != "*" or may(route, subject, obj)):
            return EXCEPTIONS[key]
    if may(route, subject, obj):
        return 404 if "absent" in obj or obj.startswith("foreign ") else route.status
    if route.kind.startswith("seen"):
        return 404
    if subject == "anonymous":
        return 401
    return route.unknown if _knows_nothing(route, subject, obj) else 403


def audited(route: Route, obj: str) -> int:
    """How many rows of the audit log an acknowledged write is."""
    return AUDITED.get((route.key, "*"), AUDITED.get((route.key, obj), 1))


def may(route: Route, subject: str, obj: str) -> bool:
    """Whether a subject has the right that the line asks for, be there such an object or not."""
    kind, is_person = route.kind, subject != "anonymous" and not subject.startswith("robot")
    match kind:
        case "anyone":
            return True
        case "signed-in":
            return subject != "anonymous"
        case "people" if not route.pairs:
            return subject != "anonymous"
        case "nobody":
            return False
        case _ if kind.startswith("only"):
            return subject in [name.strip() for name in kind.removeprefix("only").split(",")]
        case _ if kind.startswith("people") and is_person:
            return True
        case _ if kind.startswith("self") and is_person and obj == "own":
            return True
    if subject == "system admin":
        return True
    if kind.endswith("S") or obj == "global":
        return subject == "robot"
    return all(_has(subject, *pair, _place(obj)) for pair in route.pairs)


def caller(world: World, route: Route, subject: str) -> User | Robot | None:
    """Who calls; None when nobody signed in."""
    if subject.startswith("robot"):
        permissions = robot_permissions(route, is_with=subject == "robot")
        return Robot(pk=world.robot.pk, kept_name="robot$tester", level="system", permissions=permissions)
    name = SUBJECTS[subject]
    return world.people[name] if name else None


def robot_permissions(route: Route, *, is_with: bool) -> list[dict[str, Any]]:
    """The list of the one robot that has nothing but the right of the route, or of the one that has everything else."""
    scope = route.kind.split()[-1]
    pairs = set(route.pairs)
    if is_with:
        team = pairs if scope in ("P", "SP") else set()
        system = pairs if scope in ("S", "SP") else set()
        elsewhere: set[tuple[str, str]] = set()
    else:
        lacking = {route.pairs[0]} if pairs else set()
        # The route's permission of the other kind opens nothing here.
        team = ROBOTS["project"] - (lacking if scope != "S" else set())
        system = ROBOTS["system"] - (lacking if scope != "P" else set())
        elsewhere = lacking
    spaces = (("project", "team", team), ("system", "/", system), ("project", "lair", elsewhere))
    return [
        {"kind": kind, "namespace": namespace, "access": [{"resource": r, "action": a} for r, a in sorted(granted)]}
        for kind, namespace, granted in spaces
        if granted
    ]


def _place(obj: str) -> str:
    """Where an object is asked for: children of others, and those that are not there, under the team."""
    return "own" if " " in obj else obj


def _has(subject: str, resource: str, action: str, place: str) -> bool:
    columns = GRANTED.get(resource, {})
    if place == "public" and action in columns.get("everybody", ()):
        return True
    if place != "own":
        return False
    return subject == "robot" or action in columns.get(subject, ())


def _knows_nothing(route: Route, subject: str, obj: str) -> bool:
    """Whether somebody may do nothing at all with such an object there; what is global everybody may know of."""
    if obj == "global":
        return False
    if subject == "robot without" and obj == "own":
        return False  # It has all other permissions.
    kinds = {resource for resource, _ in route.pairs}
    return not any(_has(subject, kind, verb, _place(obj)) for kind in kinds for verb in ("read", "update", "delete"))


def _grantable(route: Route) -> bool:
    scopes = {"S": ("system",), "P": ("project",), "SP": ("system", "project")}[route.kind.split()[-1]]
    return all(pair in ROBOTS[scope] for scope in scopes for pair in route.pairs)


def _filled(value: Any, ids: Mapping[str, object]) -> Any:
    """A value with every `{name}` in it replaced; one that is nothing but a name becomes what the name stands for."""
    if isinstance(value, dict):
        return {_filled(key, ids): _filled(each, ids) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, ids) for each in value]
    if not isinstance(value, str):
        return value
    if whole := re.fullmatch(r"{(\w+)}", value):
        return ids[whole[1]]
    return re.sub(r"{(\w+)}", lambda match: str(ids[match[1]]), value)
