"""Robots: made, changed, given new secrets, deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from core import clock, configuration, errors, oci
from core.constraints import refuse_duplicates
from core.events import emit
from rbac import credentials, roles
from rbac.access import Actor, Place, holds, with_known_roles
from rbac.events import RobotCreated, RobotDeleted, RobotUpdated
from rbac.models import Robot, RobotSecret, User
from rbac.models.robot import KEPT_PREFIX
from rbac.models.user import check_password_strength

Permissions = Sequence[dict[str, Any]]
Places = Mapping[str, Place]
"""The projects that permissions name, by name."""
NEVER = -1
EVERY_PROJECT = "*"
# A century: what expires later may as well never expire.
DAYS_MOST = 36500
GRACE_MOST = 30 * 24 * 3600


def create(
    *,
    short_name: str,
    project: Place | None,
    project_id: int | None,
    permissions: Permissions,
    places: Places,
    description: str,
    duration_days: int,
    disabled: bool,
    secret: str,
    actor: Actor,
) -> tuple[Robot, str]:
    """A robot of a project or (without one) of the system, and its secret, which is never shown again.

    It lives for so many days; NEVER ends it, and 0 is the configured number.

    Raises BadRequest for permissions that no robot may have, Denied for those that its maker does not have
    himself and when it would outlive a robot that makes it, Conflict when the name is taken.
    """
    # The rule of projects' names, which keeps `+` out of them.
    if not oci.is_project_name(short_name):
        raise errors.BadRequest("robot name is not in lower case or contains illegal characters")
    days = _checked_duration(duration_days or default_duration())
    check_permissions(project=project, permissions=permissions)
    check_grant(permissions=permissions, places=places, actor=actor)
    if secret:
        check_password_strength(secret)
    robot = Robot(
        kept_name=KEPT_PREFIX + (f"{project.name}+{short_name}" if project else short_name),
        short_name=short_name,
        level=Robot.Level.PROJECT if project else Robot.Level.SYSTEM,
        project_id=project_id,
        description=description,
        permissions=permissions,
        disabled=disabled,
        duration_days=days,
        created=clock.now(),
        created_by=actor.kept_name if isinstance(actor, Robot) else actor.name,
        creator_ref=actor.pk,
    )
    robot.expires = _expiry(robot.created, days)
    _check_end(robot, actor)
    # With a prefix of letters, it could be a person's.
    if User.objects.live().filter(username=robot.name).exists():
        raise errors.Conflict(f"a user is called {robot.name}")
    with transaction.atomic():
        with refuse_duplicates(rbac_robot_name_key=f"robot {robot.name} exists already"):
            robot.save()
        shown = credentials.set_robot_secret(robot, secret or None)
        emit(RobotCreated(actor=actor.name, account=robot.name, project_id=project_id))
    return robot, shown


def update(
    *,
    robot: Robot,
    permissions: Permissions,
    description: str,
    duration_days: int | None,
    disabled: bool,
    project: Place | None,
    places: Places,
    actor: Actor,
) -> None:
    """Change everything but the name and the level; without a duration the expiry stays, 0 is as of `create`.

    Only what a permission list gains must be the actor's own.
    """
    days = None if duration_days is None else _checked_duration(duration_days or default_duration())
    check_permissions(project=project, permissions=permissions)
    with _changing(robot) as row:
        check_grant(permissions=permissions, places=places, actor=actor, known=row.permissions)
        row.permissions = list(permissions)
        row.description = description
        row.disabled = disabled
        if days is not None and days != row.duration_days:
            row.duration_days = days
            row.expires = _expiry(row.created, days)
        row.save()
        emit(RobotUpdated(actor=actor.name, account=row.name, project_id=row.project_id))


def refresh_secret(*, robot: Robot, secret: str, grace_seconds: int, places: Places, actor: Actor) -> str:
    """A new secret, chosen or (without one) generated, which is returned; the old ones are good for the grace yet.

    Whoever knows the secret can do what the robot can, so Denied when that is more than the actor can himself.
    """
    if secret:
        check_password_strength(secret)
    if not 0 <= grace_seconds <= GRACE_MOST:
        raise errors.BadRequest(f"grace_period must be 0 to {GRACE_MOST} seconds (30 days), not {grace_seconds}")
    with _changing(robot) as row:
        check_grant(permissions=row.permissions, places=places, actor=actor)
        shown = credentials.set_robot_secret(row, secret or None, grace=timedelta(seconds=grace_seconds))
        detail = f"secret, the old one good for {grace_seconds} seconds" if grace_seconds else "secret"
        emit(RobotUpdated(actor=actor.name, account=row.name, project_id=row.project_id, detail=detail))
    return shown


def revoke_secret(*, robot: Robot, secret_id: int, actor: Actor) -> None:
    """End one secret at once, be it the last. NotFound when the robot has no such secret that is still good."""
    with _changing(robot) as row:
        if not RobotSecret.objects.live().filter(robot=row, pk=secret_id).delete()[0]:
            raise errors.NotFound(f"robot {row.name} has no secret {secret_id}")
        emit(RobotUpdated(actor=actor.name, account=row.name, project_id=row.project_id, detail="secret revoked"))


def delete(*, robot: Robot, actor: Actor) -> None:
    with _changing(robot) as row:
        emit(RobotDeleted(actor=actor.name, account=row.name, project_id=row.project_id))
        row.delete()


def forget_project(*, project_id: int, name: str) -> None:
    """Delete a project's robots, and what system robots may do there.

    Whoever makes a project of the same name later must not find old robots in it.
    """
    Robot.objects.filter(project_id=project_id).delete()
    for robot in Robot.objects.select_for_update().filter(permissions__contains=[{"namespace": name}]):
        robot.permissions = [entry for entry in robot.permissions if entry["namespace"] != name]
        robot.save(update_fields=["permissions", "updated"])


def check_permissions(*, project: Place | None, permissions: Permissions) -> None:
    """BadRequest unless a robot of this project, or (without one) of the system, may have such a list."""
    if not permissions:
        raise errors.BadRequest("bad request empty permission")
    if not all(entry["access"] for entry in permissions):
        raise errors.BadRequest("bad request empty access")
    spaces = [(entry["kind"], entry["namespace"]) for entry in permissions]
    if project is not None and spaces != [("project", project.name)]:
        raise errors.BadRequest("bad request permission: a project's robot has exactly one, for its own project")
    for kind, namespace, resource, action in _each(permissions):
        if (kind == "system") != (namespace == "/") or not roles.robot_may_have(kind, resource, action):
            raise errors.BadRequest(f"bad request permission: {resource}:{action}")


def check_grant(*, permissions: Permissions, places: Places, actor: Actor, known: Permissions = ()) -> None:
    """Denied when the list holds what neither was `known` already nor the actor has: nobody gives what is not his."""
    places = {name: with_known_roles(place, actor) for name, place in places.items()}
    for wanted in sorted(set(_each(permissions)) - set(_each(known))):
        if not _has(actor, places, *wanted):
            _, namespace, resource, action = wanted
            raise errors.Denied(f"you cannot give {resource}:{action} in {namespace}, which you do not have")


def default_duration() -> int:
    """For how many days a robot lives of which nobody said it."""
    return int(configuration.get("robot_token_duration"))


def places_named(permissions: Permissions) -> set[str]:
    """Names of the projects that the permissions are about."""
    return {entry["namespace"] for entry in permissions if entry["kind"] == "project"} - {EVERY_PROJECT}


def _each(permissions: Permissions) -> Iterable[tuple[str, str, str, str]]:
    return (
        (entry["kind"], entry["namespace"], access["resource"], access["action"])
        for entry in permissions
        for access in entry["access"]
    )


def _has(actor: Actor, places: Places, kind: str, namespace: str, resource: str, action: str) -> bool:
    if actor.is_sysadmin:
        return True
    if kind == "system":
        return holds(actor, resource, action)
    if namespace == EVERY_PROJECT:
        # All projects, those of others and of the future too: only who has that list himself.
        return isinstance(actor, Robot) and actor.may(resource, action, EVERY_PROJECT)
    place = places.get(namespace)
    # A robot keeps what it was given when a public project becomes private.
    return place is not None and holds(actor, resource, action, place)


def _checked_duration(days: int) -> int:
    if days != NEVER and not 0 < days <= DAYS_MOST:
        raise errors.BadRequest(
            f"bad request error duration input: {days}, it must be -1 (never) or 1 to {DAYS_MOST} days"
        )
    return days


def _check_end(robot: Robot, maker: Actor) -> None:
    """Denied when a robot's robot would outlive it: time is a right, too."""
    end = maker.expires if isinstance(maker, Robot) else None
    if end is not None and (robot.expires is None or robot.expires > end):
        raise errors.Denied(f"no robot outlives the one that made it, and you end at {end:%Y-%m-%d %H:%M} UTC")


def _expiry(created: datetime, days: int) -> datetime | None:
    return None if days == NEVER else created + timedelta(days=days)


@contextmanager
def _changing(robot: Robot) -> Iterator[Robot]:
    """The robot's row as it is now, locked."""
    with transaction.atomic():
        row = Robot.objects.select_for_update().filter(pk=robot.pk).first()
        if row is None:
            raise errors.NotFound(f"robot {robot.pk} not found")
        yield row
