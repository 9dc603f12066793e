"""/users/current/permissions, as in Harbor: what the caller may do in a project, so that clients show no more."""

from __future__ import annotations

import re

from rest_framework.request import Request
from rest_framework.response import Response

from core.api.resource import Resource
from projects.models import Project
from rbac.access import permissions_in
from rbac.authentication import actor_of
from rbac.permissions import SIGNED_IN

_SCOPE = re.compile(r"/project/(?P<id>[0-9]{1,18})")


class CurrentPermissions(Resource):
    """Resources are `/project/<id>/<name>`, or the name alone when asked for `relative`; no scope, nothing."""

    resource = SIGNED_IN

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
