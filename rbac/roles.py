"""THE table: resource and role → actions, in Harbor's words (its src/common/rbac, as its users know it).

The token service, the API, the pages and the table that people read (`as_table`, in docs/roles.md) all come from these
literals.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import partial


class Role(IntEnum):
    """A member's role in a project, with Harbor's ids (the members API's `role_id`)."""

    PROJECT_ADMIN = 1
    DEVELOPER = 2
    GUEST = 3
    MAINTAINER = 4
    LIMITED_GUEST = 5

    @property
    def harbor_name(self) -> str:
        return NAMES[self]


NAMES = {
    Role.PROJECT_ADMIN: "projectAdmin",
    Role.DEVELOPER: "developer",
    Role.GUEST: "guest",
    Role.MAINTAINER: "maintainer",
    Role.LIMITED_GUEST: "limitedGuest",
}
# From most to least powerful.
BY_POWER = (Role.PROJECT_ADMIN, Role.MAINTAINER, Role.DEVELOPER, Role.GUEST, Role.LIMITED_GUEST)

ADMIN, MAINTAINER, DEVELOPER, GUEST, LIMITED = (
    Role.PROJECT_ADMIN,
    Role.MAINTAINER,
    Role.DEVELOPER,
    Role.GUEST,
    Role.LIMITED_GUEST,
)

_EVERYTHING = "create read update delete list"

# fmt: off
GRANTS: dict[str, dict[Role, str]] = {
    "project": {ADMIN: "read update delete", MAINTAINER: "read", DEVELOPER: "read", GUEST: "read", LIMITED: "read"},
    "member": {ADMIN: _EVERYTHING, MAINTAINER: "read list", DEVELOPER: "read list", GUEST: "read list"},
    # Harbor quirk: nobody but system admins and robots may list a project's metadata.
    "metadata": {ADMIN: "create read update delete", MAINTAINER: "read"},
    "log": {ADMIN: "list"},
    "label": {ADMIN: _EVERYTHING, MAINTAINER: _EVERYTHING, DEVELOPER: "read list", GUEST: "read list"},
    "quota": {ADMIN: "read", MAINTAINER: "read", DEVELOPER: "read", GUEST: "read", LIMITED: "read"},
    "repository": {
        ADMIN: f"{_EVERYTHING} pull push",
        MAINTAINER: f"{_EVERYTHING} pull push",
        DEVELOPER: "create read update list pull push",
        GUEST: "read list pull",
        LIMITED: "read list pull",
    },
    "tag-retention": dict.fromkeys((ADMIN, MAINTAINER, DEVELOPER), f"{_EVERYTHING} operate"),
    "immutable-tag": dict.fromkeys((ADMIN, MAINTAINER), "create update delete list"),
    "configuration": {ADMIN: "read update", MAINTAINER: "read", DEVELOPER: "read", GUEST: "read", LIMITED: "read"},
    "robot": {ADMIN: _EVERYTHING, MAINTAINER: "read list", DEVELOPER: "read list", GUEST: "read list"},
    "notification-policy": {ADMIN: _EVERYTHING, MAINTAINER: "read list"},
    "scan": {ADMIN: "create read stop", MAINTAINER: "create read stop", DEVELOPER: "read", GUEST: "read",
             LIMITED: "read"},
    "sbom": {ADMIN: "create read stop", MAINTAINER: "create read stop", DEVELOPER: "read", GUEST: "read",
             LIMITED: "read"},
    "scanner": {ADMIN: "create read", MAINTAINER: "read", DEVELOPER: "read", GUEST: "read", LIMITED: "read"},
    "artifact": {
        ADMIN: "create read delete list",
        MAINTAINER: "create read delete list",
        DEVELOPER: "create read list",
        GUEST: "read list",
        LIMITED: "read list",
    },
    "artifact-addition": dict.fromkeys(BY_POWER, "read"),
    "tag": {ADMIN: "create delete list", MAINTAINER: "create delete list", DEVELOPER: "create list", GUEST: "list",
            LIMITED: "list"},
    "accessory": dict.fromkeys(BY_POWER, "list"),
    "artifact-label": dict.fromkeys((ADMIN, MAINTAINER, DEVELOPER), "create delete"),
    "preheat-policy": {ADMIN: _EVERYTHING},
    "export-cve": dict.fromkeys((ADMIN, MAINTAINER, DEVELOPER), "create read list"),
}

# What everybody may do in a public project, signed in or not.
PUBLIC: dict[str, str] = {
    "project": "read",
    "label": "read list",
    # Harbor quirk: one repository cannot be read by strangers, only listed and pulled from.
    "repository": "list pull",
    "scan": "read",
    "scanner": "read",
    "artifact": "read list",
    "artifact-addition": "read",
    "tag": "list",
    "accessory": "list",
}

# What a guest whose membership names tags may do, and only to what those tags reach (projects/reach.py). Less than
# a guest: who is let in for three tags has no business with the member list. A view must say that it honours it.
TAG_SCOPED: dict[str, str] = {
    "project": "read",
    "repository": "read list pull",
    "scan": "read",
    "sbom": "read",
    "artifact": "read list",
    "artifact-addition": "read",
    "tag": "list",
    "accessory": "list",
}

# What a system-level robot may be given outside projects. System admins may do all of it.
SYSTEM: dict[str, str] = {
    "audit-log": "list",
    "preheat-instance": _EVERYTHING,
    "project": "create list",
    "replication-policy": _EVERYTHING,
    "replication": "create read list",
    "replication-adapter": "list",
    "registry": _EVERYTHING,
    "scan-all": "create read update stop",
    "system-volumes": "read",
    "garbage-collection": "create read update list stop",
    "purge-audit": "create read update list stop",
    "jobservice-monitor": "list stop",
    "scanner": _EVERYTHING,
    "label": "create read update delete",
    "security-hub": "read list",
    "catalog": "read",
    "quota": "read list update",
    "robot": "create read list delete",
    "user": _EVERYTHING,
    "ldap-user": "create list",
    "user-group": _EVERYTHING,
}

# What any robot may be given inside a project.
ROBOT: dict[str, str] = {
    "log": "list",
    "project": "read update delete",
    "metadata": _EVERYTHING,
    "repository": "read update delete list pull push",
    "artifact": "create read list delete",
    "scan": "create read stop",
    "sbom": "create read stop",
    "tag": "create list delete",
    "accessory": "list",
    "artifact-addition": "read",
    "artifact-label": "create delete",
    "scanner": "create read",
    "preheat-policy": _EVERYTHING,
    "immutable-tag": "create update delete list",
    "notification-policy": _EVERYTHING,
    "tag-retention": _EVERYTHING,
    "label": _EVERYTHING,
    "quota": "read",
    "robot": "create read list delete",
    "export-cve": "create read",
    "member": _EVERYTHING,
}
# fmt: on


def role_grants(role: Role, resource: str, action: str) -> bool:
    """Whether the table gives a role this action."""
    return action in GRANTS.get(resource, {}).get(role, "").split()


def public_grants(resource: str, action: str) -> bool:
    """Whether everybody may do this in a public project."""
    return action in PUBLIC.get(resource, "").split()


def tag_scope_grants(resource: str, action: str) -> bool:
    """Whether a guest who is limited to some tags may do this to them."""
    return action in TAG_SCOPED.get(resource, "").split()


def robot_may_have(kind: str, resource: str, action: str) -> bool:
    """Whether a robot may be given this; kind is `system` or `project`."""
    return action in _literal_of(kind).get(resource, "").split()


def robot_permissions(kind: str) -> list[tuple[str, str]]:
    """Every resource and action that a robot may be given; kind is `system` or `project`."""
    return [(resource, action) for resource, actions in _literal_of(kind).items() for action in actions.split()]


def project_permissions() -> list[tuple[str, str]]:
    """Every resource and action there is inside projects, sorted."""
    found = {(resource, action) for resource, actions in ROBOT.items() for action in actions.split()}
    for resource, by_role in GRANTS.items():
        found.update((resource, action) for actions in by_role.values() for action in actions.split())
    return sorted(found)


def as_table() -> str:
    """Who may do what in a project, as Markdown: a row for each resource and action, a column for each role."""
    rows = [("", *(NAMES[role] for role in BY_POWER), "everybody", "some tags")]
    rows += [
        (f"{resource}:{action}", *("yes" if may(resource, action) else "" for may in _columns()))
        for resource in GRANTS
        for action in _actions_of(resource)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join((head, rule, *lines)) + "\n"


def _columns() -> list[Callable[[str, str], bool]]:
    return [*(partial(role_grants, role) for role in BY_POWER), public_grants, tag_scope_grants]


def _actions_of(resource: str) -> list[str]:
    """Those that anybody has, in the order in which the literals write them."""
    cells = (*GRANTS[resource].values(), PUBLIC.get(resource, ""), TAG_SCOPED.get(resource, ""))
    return list(dict.fromkeys(action for cell in cells for action in cell.split()))


def _literal_of(kind: str) -> dict[str, str]:
    return SYSTEM if kind == "system" else ROBOT
