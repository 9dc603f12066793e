"""The one question: may they?"""

from __future__ import annotations

from collections.abc import Iterable
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
