"""/robots, as in Harbor: system-level robots and those of projects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from core import errors
from core.api import json
from core.api.text import Text
from projects.models import Project
from rbac import robots
from rbac.access import allowed
from rbac.authentication import actor_of
from rbac.models import Robot
from rbac.permissions import SIGNED_IN


class AccessForm(serializers.Serializer[Any]):
    resource = Text(max_length=64)
    action = Text(max_length=64)
    effect = serializers.ChoiceField(choices=["allow"], required=False)


class PermissionForm(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=["system", "project"])
    namespace = Text(max_length=255)
    access = AccessForm(many=True)


class RobotForm(serializers.Serializer[Any]):
    name = Text(max_length=600)
    level = serializers.ChoiceField(choices=["system", "project"])
    description = Text(max_length=1024, required=False, allow_blank=True, default="")
    secret = Text(max_length=1024, required=False, allow_blank=True, default="")
    duration = serializers.IntegerField(min_value=-1, max_value=36500)
    disable = serializers.BooleanField(required=False, default=False)
    permissions = PermissionForm(many=True)

    def validate_duration(self, days: int) -> int:
        if days == 0:
            raise serializers.ValidationError("must be -1 (never expires) or a number of days")
        return days


class SecretForm(serializers.Serializer[Any]):
    secret = Text(max_length=1024, required=False, allow_blank=True, default="")


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
            "expires_at": int(robot.expires.timestamp()) if robot.expires else -1,
            "permissions": robot.permissions,
            "creation_time": json.time(robot.created),
            "update_time": json.time(robot.updated),
        },
        keep=("editable", "disable"),
    )


class Robots(GenericViewSet[Robot]):
    """Each robot is asked about where it belongs: in its project, or in the system."""

    resource = SIGNED_IN
    filter_fields = {"name": "short_name", "creation_time": "created"}
    default_sort = ("name", "pk")
    queryset = Robot.objects.none()

    def list(self, request: Request) -> Response:
        rows = self.filter_queryset(self._scope(request))
        page = self.paginate_queryset(rows) or []
        return self.get_paginated_response([as_json(robot) for robot in page])

    def create(self, request: Request) -> Response:
        given = self._read_form(request)
        places = self._places(given["permissions"])
        project = self._project_of(given, places)
        self._check("create", project)
        robot, secret = robots.create(
            short_name=given["name"],
            level=given["level"],
            project=project,
            project_id=project.pk if project else None,
            permissions=given["permissions"],
            places={**places},
            description=given["description"],
            duration_days=given["duration"],
            disabled=given["disable"],
            secret=given["secret"],
            actor=actor_of(request),
        )
        body = {
            "id": robot.pk,
            "name": robot.name,
            "secret": secret,
            "creation_time": json.time(robot.created),
            "expires_at": int(robot.expires.timestamp()) if robot.expires else -1,
        }
        return Response(body, status=201, headers={"Location": f"/api/v2.0/robots/{robot.pk}"})

    def retrieve(self, request: Request, robot_id: int) -> Response:
        return Response(as_json(self._robot("read")[0]))

    def update(self, request: Request, robot_id: int) -> Response:
        robot, project = self._robot("update")
        given = self._read_form(request)
        if given["level"] != robot.level or given["name"] not in (robot.name, robot.short_name):
            raise errors.BadRequest("a robot's name and level cannot be changed")
        robots.update(
            robot=robot,
            permissions=given["permissions"],
            description=given["description"],
            duration_days=given["duration"],
            disabled=given["disable"],
            project=project,
            places={**self._places(given["permissions"])},
            actor=actor_of(request),
        )
        return Response(status=200)

    def refresh(self, request: Request, robot_id: int) -> Response:
        robot, _ = self._robot("update")
        form = SecretForm(data=request.data)
        form.is_valid(raise_exception=True)
        chosen = form.validated_data["secret"]
        secret = robots.refresh_secret(robot=robot, secret=chosen, actor=actor_of(request))
        return Response({} if chosen else {"secret": secret})

    def destroy(self, request: Request, robot_id: int) -> Response:
        robots.delete(robot=self._robot("delete")[0], actor=actor_of(request))
        return Response(status=200)

    def _scope(self, request: Request) -> QuerySet[Robot]:
        """`q=Level=project,ProjectID=n`: that project's robots; without it the system's."""
        pairs = (pair.partition("=") for pair in request.query_params.get("q", "").split(","))
        wanted = {key.lower(): value for key, _, value in pairs}
        if wanted.get("level", "system") == "system":
            self._check("list", None)
            return Robot.objects.filter(level=Robot.Level.SYSTEM)
        number = str(wanted.get("projectid", ""))
        if not number.isdecimal():
            raise errors.BadRequest("q must hold ProjectID when Level is project")
        project = Project.objects.live().filter(pk=int(number[:18])).first()
        self._check("list", project, is_project=True)
        return Robot.objects.filter(level=Robot.Level.PROJECT, project_id=number)

    def _robot(self, action: str) -> tuple[Robot, Project | None]:
        """The robot of the path, if the caller may do this where it belongs; else it is not found."""
        robot = Robot.objects.filter(pk=self.kwargs["robot_id"]).first()
        project = Project.objects.live().filter(pk=robot.project_id).first() if robot and robot.project_id else None
        is_project = robot is not None and robot.level == Robot.Level.PROJECT
        if robot is None and actor_of(self.request).is_sysadmin:
            raise errors.NotFound(f"robot {self.kwargs['robot_id']} not found")
        self._check(action, project, is_project=is_project)
        if robot is None:
            raise errors.NotFound(f"robot {self.kwargs['robot_id']} not found")
        return robot, project

    def _check(self, action: str, project: Project | None, *, is_project: bool = False) -> None:
        if is_project and project is None:
            raise errors.NotFound("project not found") if actor_of(self.request).is_sysadmin else errors.Forbidden
        if not allowed(actor_of(self.request), "robot", action, project):
            raise errors.Forbidden

    def _read_form(self, request: Request) -> dict[str, Any]:
        form = RobotForm(data=request.data)
        form.is_valid(raise_exception=True)
        given: dict[str, Any] = dict(form.validated_data)
        given["permissions"] = [
            {**entry, "access": [dict(access) for access in entry["access"]]} for entry in given["permissions"]
        ]
        prefix = settings.ROBOT_NAME_PREFIX
        given["name"] = given["name"].removeprefix(prefix) if request.method == "POST" else given["name"]
        return given

    def _places(self, permissions: Sequence[dict[str, Any]]) -> dict[str, Project]:
        """The projects that the permissions name; what does not exist can be given to nobody."""
        names = set(robots.places_named(permissions))
        found = {project.name: project for project in Project.objects.live().filter(name__in=names)}
        if names - found.keys() and actor_of(self.request).is_sysadmin:
            raise errors.NotFound(f"project {sorted(names - found.keys())[0]} not found")
        return found

    def _project_of(self, given: dict[str, Any], places: dict[str, Project]) -> Project | None:
        if given["level"] == "system":
            return None
        if len(given["permissions"]) != 1 or given["permissions"][0]["kind"] != "project":
            raise errors.BadRequest("a project's robot has exactly one permission, of kind project")
        project = places.get(given["permissions"][0]["namespace"])
        if project is None:
            raise errors.Forbidden
        return project
