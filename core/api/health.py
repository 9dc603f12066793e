"""ping, health and the version: open to everybody, as Harbor's."""

from __future__ import annotations

from django.http import HttpResponse, JsonResponse
from django.http.request import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core import health
from core.api import answers
from core.api.operations import operation


class Ping(APIView):
    resource = "everybody"
    authentication_classes = ()

    @operation("Whether core answers", gives=str, media_types=("text/plain; charset=utf-8",))
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse("Pong", content_type="text/plain; charset=utf-8")


class Health(APIView):
    resource = "everybody"
    authentication_classes = ()

    @operation("Whether the parts of the platform answer", gives=answers.Health)
    def get(self, request: Request) -> Response:
        return Response(health.report())


def api_version(request: HttpRequest) -> HttpResponse:
    """GET /api/version, for clients that choose between versions."""
    return JsonResponse({"version": "v2.0"})
