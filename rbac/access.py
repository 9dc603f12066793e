"""The one question: may they?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from rbac import roles
from rbac.models import Anonymous, Robot, User
from rbac.roles import Role

Actor = User | Robot | Anonymous


class Place(Protocol):
    """What access needs to know of a project (they live in a higher room)."""

    name: str
    public: bool

    def roles_of(self, user: User) -> Iterable[Role]:
        """The roles a user has there, own and through groups."""
        ...


def allowed(actor: Actor, resource: str, action: str, project: Place | None = None) -> bool:
    """Whether an actor may do this in a project or, without one, in the system. Default: no."""
    if actor.is_sysadmin:
        # Only scanners' robots hold it: it opens what the vulnerability policy closes.
        return (resource, action) != ("repository", "scanner-pull")
    if project is not None and project.public and roles.public_grants(resource, action):
        return True
    if isinstance(actor, Robot):
        return actor.may(resource, action, project.name if project else None)
    if project is None or not isinstance(actor, User):
        return False
    return any(roles.role_grants(role, resource, action) for role in project.roles_of(actor))


def permissions_in(actor: Actor, project: Place) -> list[tuple[str, str]]:
    """Every resource and action that an actor has in a project."""
    place = with_known_roles(project, actor)
    return [pair for pair in roles.project_permissions() if allowed(actor, *pair, place)]


def with_known_roles(project: Place, actor: Actor) -> Place:
    """The project with its roles asked for once, for who has many questions about one actor."""
    return _Known(project.name, project.public, tuple(project.roles_of(actor)) if isinstance(actor, User) else ())


@dataclass
class _Known:
    name: str
    public: bool
    roles: tuple[Role, ...]

    def roles_of(self, user: User) -> Iterable[Role]:
        return self.roles
