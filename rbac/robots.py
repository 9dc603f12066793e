"""Robots: made, changed, given new secrets, deleted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from core import errors
from core.events import emit
from rbac import credentials, roles
from rbac.access import Actor, Place, allowed
from rbac.events import RobotCreated, RobotDeleted, RobotUpdated
from rbac.models import Robot
from rbac.models.user import check_password_strength

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
Permissions = Sequence[dict[str, Any]]


def create(
    *,
    short_name: str,
    level: str,
    project: Place | None,
    project_id: int | None,
    permissions: Permissions,
    places: dict[str, Place],
    description: str,
    duration_days: int,
    disabled: bool,
    secret: str | None,
    actor: Actor,
) -> tuple[Robot, str]:
    """A robot and its secret, which is never shown again.

    `places` holds the projects that the permissions name. Raises BadRequest for permissions that no robot
    may have, Denied for those that its maker does not have himself, Conflict when the name is taken.
    """
    if not _NAME.fullmatch(short_name) or len(short_name) > 255:
        raise errors.BadRequest("a robot's name is lower-case letters and digits, separated by '.', '_' or '-'")
    check_permissions(level=level, project=project, permissions=permissions, places=places, actor=actor)
    if secret:
        check_password_strength(secret)
    robot = Robot(
        name=_full_name(short_name, project),
        short_name=short_name,
        level=level,
        project_id=project_id,
        description=description,
        permissions=permissions,
        disabled=disabled,
        duration_days=duration_days,
        created_by=actor.name,
    )
    robot.expires = _expiry(robot)
    with transaction.atomic():
        _save(robot)
        shown = credentials.set_robot_secret(robot, secret or None)
        emit(RobotCreated(actor=actor.name, account=robot.name, project_id=project_id))
    return robot, shown


def update(
    *,
    robot: Robot,
    permissions: Permissions,
    description: str,
    duration_days: int,
    disabled: bool,
    project: Place | None,
    places: dict[str, Place],
    actor: Actor,
) -> None:
    """Change everything but the name and the level."""
    check_permissions(level=robot.level, project=project, permissions=permissions, places=places, actor=actor)
    robot.permissions = permissions
    robot.description = description
    robot.disabled = disabled
    robot.duration_days = duration_days
    robot.expires = _expiry(robot)
    with transaction.atomic():
        _save(robot)
        emit(RobotUpdated(actor=actor.name, account=robot.name, project_id=robot.project_id))


def refresh_secret(*, robot: Robot, secret: str | None, actor: Actor) -> str:
    """Replace the secret by a chosen one, or by a generated one, and return it."""
    if secret:
        check_password_strength(secret)
    with transaction.atomic():
        shown = credentials.set_robot_secret(robot, secret or None)
        emit(RobotUpdated(actor=actor.name, account=robot.name, project_id=robot.project_id, detail="secret"))
    return shown


def delete(*, robot: Robot, actor: Actor) -> None:
    with transaction.atomic():
        robot.delete()
        emit(RobotDeleted(actor=actor.name, account=robot.name, project_id=robot.project_id))


def check_permissions(
    *, level: str, project: Place | None, permissions: Permissions, places: dict[str, Place], actor: Actor
) -> None:
    """Whether such a robot may be made by this actor: nobody gives what he does not have."""
    if not permissions or not all(entry["access"] for entry in permissions):
        raise errors.BadRequest("bad request empty permission")
    if project is not None and [(e["kind"], e["namespace"]) for e in permissions] != [("project", project.name)]:
        raise errors.BadRequest("a project's robot has exactly one permission: of kind project, for its own project")
    for entry in permissions:
        for access in entry["access"]:
            _check_one(entry, access["resource"], access["action"], places, actor)


def _check_one(entry: dict[str, Any], resource: str, action: str, places: dict[str, Place], actor: Actor) -> None:
    if not roles.robot_may_have(entry["kind"], resource, action):
        raise errors.BadRequest(f"bad request permission: {resource}:{action}")
    if actor.is_sysadmin:
        return
    if not _has_himself(entry, resource, action, places, actor):
        raise errors.Denied(f"you cannot give {resource}:{action} in {entry['namespace']}, which you do not have")


def _has_himself(entry: dict[str, Any], resource: str, action: str, places: dict[str, Place], actor: Actor) -> bool:
    if entry["kind"] == "system":
        return allowed(actor, resource, action)
    if entry["namespace"] == "*":
        # All projects, those of others and of the future too: only who has that list himself.
        return isinstance(actor, Robot) and actor.may(resource, action, "*")
    place = places.get(entry["namespace"])
    return place is not None and allowed(actor, resource, action, place)


def places_named(permissions: Permissions) -> Sequence[str]:
    """Names of the projects that the permissions are about."""
    return [entry["namespace"] for entry in permissions if entry["kind"] == "project" and entry["namespace"] != "*"]


def _full_name(short_name: str, project: Place | None) -> str:
    return settings.ROBOT_NAME_PREFIX + (f"{project.name}+{short_name}" if project else short_name)


def _expiry(robot: Robot) -> Any:
    return None if robot.duration_days == -1 else robot.created + timedelta(days=robot.duration_days)


def _save(robot: Robot) -> None:
    robot.updated = timezone.now()
    try:
        with transaction.atomic():
            robot.save()
    except IntegrityError as error:
        raise errors.Conflict(f"robot {robot.name} exists already") from error
