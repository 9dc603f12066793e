"""/permissions and /users/current/permissions, as in Harbor, so that clients offer no more than there is."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api.operations import operation
from core.api.resource import Resource
from projects.api import answers
from projects.models import Member, Project
from rbac import roles
from rbac.access import permissions_in
from rbac.authentication import actor_of
from rbac.models import User
from rbac.permissions import SIGNED_IN

_SCOPE = re.compile(r"/project/(?P<id>[0-9]{1,18})")


class Permissions(Resource):
    """What robots may be given, for who makes robots: system admins, and project admins for their projects'."""

    resource = SIGNED_IN

    @operation("What robots may be given", gives=answers.Permissions, refuses=(403,))
    def list(self, request: Request) -> Response:
        actor = actor_of(request)
        if not actor.is_sysadmin and not (isinstance(actor, User) and _administers_a_project(actor)):
            raise errors.Forbidden
        system = roles.robot_permissions("system") if actor.is_sysadmin else []
        return Response({"system": _as_json(system), "project": _as_json(roles.robot_permissions("project"))})


class CurrentPermissions(Resource):
    """Resources are `/project/<id>/<name>`, or the name alone when asked for `relative`; no scope, nothing."""

    resource = SIGNED_IN

    @operation(
        "What the caller may do in a project", gives=answers.CurrentPermissions, query={"scope": str, "relative": bool}
    )
    def list(self, request: Request) -> Response:
        scope = _SCOPE.fullmatch(request.query_params.get("scope", ""))
        project = Project.objects.live().filter(pk=int(scope["id"])).first() if scope else None
        if scope is None or project is None:
            return Response([])
        place = f"{scope[0]}/"
        before = "" if self.asked("relative") else place
        # The project itself has no name below its scope.
        names = {"project": "" if self.asked("relative") else scope[0]}
        return Response(
            [
                {"resource": names.get(resource, before + resource), "action": action}
                for resource, action in permissions_in(actor_of(request), project)
            ]
        )


def _administers_a_project(user: User) -> bool:
    return Member.objects.of(user).filter(role=roles.Role.PROJECT_ADMIN).exists()


def _as_json(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"resource": resource, "action": action} for resource, action in pairs]
