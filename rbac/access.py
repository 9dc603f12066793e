"""The one question: may they?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
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
        """The roles a user has there, own and through groups, for everything in it."""
        ...

    def has_tags_for(self, user: User) -> bool:
        """Whether a user is a guest there who is limited to some tags."""
        ...


def allowed(actor: Actor, resource: str, action: str, project: Place | None = None) -> bool:
    """Whether an actor may do this in a project or, without one, in the system. Default: no."""
    if project is not None and project.public and roles.public_grants(resource, action):
        return True
    return holds(actor, resource, action, project)


def holds(actor: Actor, resource: str, action: str, project: Place | None = None) -> bool:
    """Whether an actor was given this himself, not only as everybody while a project is public: what he can pass on."""
    if actor.is_sysadmin:
        # Only scanners' robots hold it: it opens what the vulnerability policy closes.
        return (resource, action) != ("repository", "scanner-pull")
    if isinstance(actor, Robot):
        return actor.may(resource, action, project.name if project else None)
    if project is None or not isinstance(actor, User):
        return False
    return any(roles.role_grants(role, resource, action) for role in project.roles_of(actor))


def allowed_for_tags(actor: Actor, resource: str, action: str, project: Place | None = None) -> bool:
    """Whether an actor may do this at least to some tags of a project.

    Only for callers that show and do no more than `projects.reach` lets them: everybody else asks `allowed`.
    """
    if allowed(actor, resource, action, project):
        return True
    if project is None or not isinstance(actor, User) or not roles.tag_scope_grants(resource, action):
        return False
    return project.has_tags_for(actor)


def permissions_in(actor: Actor, project: Place) -> list[tuple[str, str]]:
    """Every resource and action that an actor has in a project, be it only for some tags."""
    place = with_known_roles(project, actor)
    return [pair for pair in roles.project_permissions() if allowed_for_tags(actor, *pair, place)]


def with_known_roles(project: Place, actor: Actor) -> Place:
    """The project with its roles asked for once, for who has many questions about one actor."""
    return _Known(project.name, project.public, project, actor) if isinstance(actor, User) else project


@dataclass
class _Known:
    """A place that remembers what it was told about one user; what nobody asks is not looked up."""

    name: str
    public: bool
    place: Place
    user: User

    def roles_of(self, user: User) -> Iterable[Role]:
        return self._roles

    def has_tags_for(self, user: User) -> bool:
        return self._has_tags

    @cached_property
    def _roles(self) -> tuple[Role, ...]:
        return tuple(self.place.roles_of(self.user))

    @cached_property
    def _has_tags(self) -> bool:
        return self.place.has_tags_for(self.user)
