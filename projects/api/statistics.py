"""/statistics, as in Harbor."""

from __future__ import annotations

from dataclasses import asdict

from rest_framework.request import Request
from rest_framework.response import Response

from core.api.operations import operation
from core.api.resource import Resource
from projects import statistics
from projects.api import answers
from rbac.authentication import actor_of
from rbac.permissions import SIGNED_IN


class Statistics(Resource):
    """How much there is, as far as the caller may know."""

    resource = SIGNED_IN

    @operation("Count projects and repositories", gives=answers.Statistics)
    def retrieve(self, request: Request) -> Response:
        return Response(asdict(statistics.of(actor_of(request))))
