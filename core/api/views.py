"""ping, health and systeminfo: open to everybody, as Harbor's."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.http.request import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core import clock, configuration, health
from core.api import json


class Ping(APIView):
    resource = "everybody"
    authentication_classes = ()

    def get(self, request: Request) -> HttpResponse:
        return HttpResponse("Pong", content_type="text/plain; charset=utf-8")


class Health(APIView):
    resource = "everybody"
    authentication_classes = ()

    def get(self, request: Request) -> Response:
        return Response(health.report())


class SystemInfo(APIView):
    """What clients ask first; strangers learn less than people who signed in."""

    resource = "everybody"

    def get(self, request: Request) -> Response:
        info = {
            "auth_mode": "db_auth",
            "primary_auth_mode": False,
            "self_registration": configuration.get("self_registration"),
            "banner_message": "",
        }
        if request.user.is_authenticated:
            info |= {
                "current_time": json.time(clock.now()),
                "read_only": configuration.get("read_only"),
                "harbor_version": f"v{settings.VERSION}",
                "external_url": settings.EXTERNAL_URL,
                "registry_url": settings.EXTERNAL_HOST,
                "has_ca_root": False,
                "project_creation_restriction": configuration.get("project_creation_restriction"),
                "registry_storage_provider_name": settings.STORE_URL.partition(":")[0].replace("file", "filesystem"),
                "notification_enable": True,
            }
        return Response(info)


def api_version(request: HttpRequest) -> HttpResponse:
    """GET /api/version, for clients that choose between versions."""
    return JsonResponse({"version": "v2.0"})
