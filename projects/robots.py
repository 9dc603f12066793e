"""Robots where they meet projects: made and changed while the projects that they name cannot be deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from core import errors
from projects.models import Project
from rbac import robots
from rbac.access import Actor
from rbac.models import Robot
from rbac.robots import Permissions


def create(
    *,
    name: str,
    project: Project | None,
    permissions: Permissions,
    description: str,
    duration: int,
    disable: bool,
    secret: str,
    actor: Actor,
) -> tuple[Robot, str]:
    """A robot of a project or (without one) of the system, and its secret. Raises what `rbac.robots.create` does."""
    with _places_held(permissions, actor) as places:
        return robots.create(
            short_name=name,
            project=project,
            project_id=project.pk if project else None,
            permissions=permissions,
            places=places,
            description=description,
            duration_days=duration,
            disabled=disable,
            secret=secret,
            actor=actor,
        )


def update(
    *,
    robot: Robot,
    project: Project | None,
    permissions: Permissions,
    description: str,
    duration: int | None,
    disable: bool,
    actor: Actor,
) -> None:
    """Change everything but the name and the level."""
    with _places_held(permissions, actor) as places:
        robots.update(
            robot=robot,
            permissions=permissions,
            description=description,
            duration_days=duration,
            disabled=disable,
            project=project,
            places=places,
            actor=actor,
        )


def refresh_secret(*, robot: Robot, secret: str, grace_seconds: int, actor: Actor) -> str:
    """A robot's new secret. Raises what `rbac.robots.refresh_secret` does."""
    with _places_held(robot.permissions, actor) as places:
        return robots.refresh_secret(
            robot=robot, secret=secret, grace_seconds=grace_seconds, places=places, actor=actor
        )


@contextmanager
def _places_held(permissions: Permissions, actor: Actor) -> Iterator[dict[str, Project]]:
    """The projects that the permissions name, locked against deletion, in one order for all callers.

    A project that does not exist is NotFound for system admins; nobody else has anything to give there.
    """
    names = robots.places_named(permissions)
    with transaction.atomic():
        rows = Project.objects.live().filter(name__in=names).order_by("pk")
        found = {row.name: row for row in rows.select_for_update(of=("self",), no_key=True)}
        missing = sorted(names - found.keys())
        if missing and actor.is_sysadmin:
            raise errors.NotFound(f"project {missing[0]} not found")
        yield found
