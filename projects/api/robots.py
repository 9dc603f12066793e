"""/robots, as in Harbor: system-level robots and those of projects."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.forms import Choice, Flag, Form, Text, Whole
from core.api.operations import operation
from core.api.query import Exact, conditions
from core.api.resource import Resource
from projects import robots
from projects.api import answers
from projects.api.parents import NUMBER, unknown_project
from projects.models import Project
from rbac import robots as accounts
from rbac.authentication import actor_of
from rbac.models import Robot, RobotSecret
from rbac.models.robot import KEPT_PREFIX


class AccessForm(Form):
    resource = Text(max_length=64)
    action = Text(max_length=64)
    effect = Choice(["", "allow"], required=False)


class PermissionForm(Form):
    kind = Choice(["system", "project"])
    namespace = Text(max_length=255)
    access = AccessForm(many=True, default=list)


class RobotForm(Form):
    name = Text(max_length=600)
    level = Choice(Robot.Level.values)
    description = Text(max_length=1024, default="")
    secret = Text(default="")
    duration = Whole(required=False)
    disable = Flag(default=False)
    permissions = PermissionForm(many=True, default=list)


class SecretForm(Form):
    secret = Text(default="")
    # Wharf's own: for how many seconds the old secrets go on.
    grace_period = Whole(default=0)


def as_json(robot: Robot) -> dict[str, Any]:
    """Harbor's Robot, without any secret."""
    return json.without_empty(
        {
            "id": robot.pk,
            "name": robot.name,
            "description": robot.description,
            "level": robot.level,
            "duration": robot.duration_days,
            "editable": True,
            "disable": robot.disabled,
            "expires_at": _seconds(robot.expires),
            "permissions": robot.permissions,
            "creator_type": "robot" if robot.created_by.startswith(KEPT_PREFIX) else "local",
            "creator_ref": robot.creator_ref,
            "creation_time": json.time(robot.created),
            "update_time": json.time(robot.updated),
        },
        keep=("editable", "disable"),
    )


def secret_as_json(secret: RobotSecret) -> dict[str, Any]:
    """What tells a robot's secret from its others, and no more of it than that."""
    return json.without_empty(
        {
            "id": secret.pk,
            "prefix": secret.prefix,
            "creation_time": json.time(secret.created),
            "expires_at": _seconds(secret.expires),
        }
    )


class Robots(Resource):
    """Each robot is asked about where it belongs: in its project, or in the system."""

    resource = "robot"
    verbs = {"refresh": "update", "secrets": "update", "revoke": "update"}
    filter_fields = {
        "name": "short_name",
        "description": "description",
        "disable": "disabled",
        "creation_time": "created",
        "update_time": "updated",
    }
    default_sort = ("kept_name",)

    def get_project(self) -> Project | None:
        """The project of the robots that the request is about; None for the system's."""
        if not self.request.user.is_authenticated:
            raise errors.Unauthenticated
        return self._place

    @operation(
        "List robots: the system's, or with `q=Level=project,ProjectID=n` a project's",
        lists=answers.Robot,
        refuses=(404,),
    )
    def list(self, request: Request) -> Response:
        project = self.get_project()
        rows: QuerySet[Robot] = Robot.objects.filter(project_id=project.pk if project else None)
        return self.listing(rows, as_json)

    @operation("Create a robot", body=RobotForm, gives=answers.NewRobot, status=201, refuses=(404, 409))
    def create(self, request: Request) -> Response:
        given = {**self._given}
        given.pop("level")
        # Go's zero, which is the configured duration.
        given.setdefault("duration", 0)
        robot, secret = robots.create(project=self.get_project(), actor=actor_of(request), **given)
        body = {
            "id": robot.pk,
            "name": robot.name,
            "secret": secret,
            "creation_time": json.time(robot.created),
            "expires_at": _seconds(robot.expires),
        }
        return self.created(robot.pk, body)

    @operation("Read a robot", gives=answers.Robot)
    def retrieve(self, request: Request, robot_id: int) -> Response:
        return Response(as_json(self._robot))

    @operation("Change a robot", body=RobotForm, refuses=(409,))
    def update(self, request: Request, robot_id: int) -> Response:
        robot, given = self._robot, {**self._given}
        if given.pop("level") != robot.level or given.pop("name") not in (robot.name, robot.short_name):
            raise errors.BadRequest("cannot update the level or name of robot")
        # Secrets have an operation of their own.
        given.pop("secret")
        given.setdefault("duration", None)
        robots.update(robot=robot, project=self.get_project(), actor=actor_of(request), **given)
        return self.done()

    @operation("Give a robot another secret", body=SecretForm, gives=answers.RobotSecret)
    def refresh(self, request: Request, robot_id: int) -> Response:
        given = self.body(SecretForm)
        secret = robots.refresh_secret(
            robot=self._robot,
            secret=given["secret"],
            grace_seconds=given["grace_period"],
            actor=actor_of(request),
        )
        # Who chose it knows it.
        return Response({} if given["secret"] else {"secret": secret})

    @operation("List the secrets of a robot that are good now", gives=answers.LiveSecrets)
    def secrets(self, request: Request, robot_id: int) -> Response:
        """The secrets that are good now, the newest first."""
        rows = RobotSecret.objects.live().filter(robot=self._robot).order_by("-pk")
        return Response([secret_as_json(row) for row in rows])

    @operation("Revoke one secret of a robot")
    def revoke(self, request: Request, robot_id: int, secret_id: int) -> Response:
        accounts.revoke_secret(robot=self._robot, secret_id=secret_id, actor=actor_of(request))
        return self.done()

    @operation("Delete a robot")
    def destroy(self, request: Request, robot_id: int) -> Response:
        accounts.delete(robot=self._robot, actor=actor_of(request))
        return self.done()

    @cached_property
    def _place(self) -> Project | None:
        if self.action == "list":
            number = self._project_asked_for()
        elif self.action == "create":
            return self._project_given()
        else:
            number = self._robot.project_id
        if number is None:
            return None
        return _known(Project.objects.live().filter(pk=number).first(), number, self.request)

    def _project_asked_for(self) -> int | None:
        """`q=Level=project,ProjectID=n`: that project's robots; without it the system's."""
        wanted = conditions(self.request)
        level = wanted.get("level", Exact(Robot.Level.SYSTEM))
        if level == Exact(Robot.Level.SYSTEM):
            return None
        match level, wanted.get("projectid"):
            case Exact(Robot.Level.PROJECT), Exact(number) if NUMBER.fullmatch(number):
                return int(number)
            case Exact(Robot.Level.PROJECT), _:
                raise errors.BadRequest("must with project ID when to query project robots")
        raise errors.BadRequest("bad request error level input")

    def _project_given(self) -> Project | None:
        if self._given["level"] == Robot.Level.SYSTEM:
            return None
        permissions = self._given["permissions"]
        if len(permissions) != 1 or permissions[0]["kind"] != "project":
            raise errors.BadRequest("bad request permission: a project's robot has exactly one, for its own project")
        name = permissions[0]["namespace"]
        return _known(Project.objects.live().filter(name=name).first(), name, self.request)

    @cached_property
    def _given(self) -> dict[str, Any]:
        given = self.body(RobotForm)
        given["permissions"] = [
            {**entry, "access": [dict(access) for access in entry["access"]]} for entry in given["permissions"]
        ]
        return given

    @cached_property
    def _robot(self) -> Robot:
        robot = Robot.objects.filter(pk=self.kwargs["robot_id"]).first()
        if robot is None:
            # Strangers must not learn which robots exist.
            raise errors.NotFound("robot not found") if actor_of(self.request).is_sysadmin else errors.Forbidden()
        return robot


def _known(project: Project | None, name: object, request: Request) -> Project:
    if project is None:
        raise unknown_project(name, actor_of(request))
    return project


def _seconds(expires: datetime | None) -> int:
    """Seconds since 1970; -1 for never."""
    return int(expires.timestamp()) if expires else -1
