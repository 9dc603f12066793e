"""/systeminfo, as in Harbor: what clients ask first."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from core import clock, configuration, errors
from core.api import answers, json
from core.api.operations import operation
from core.api.resource import Resource
from core.store import files

_FOR_EVERYBODY = ("auth_mode", "primary_auth_mode", "self_registration", "banner_message")
_FOR_PEOPLE = ("read_only", "project_creation_restriction", "notification_enable")


class SystemInfo(Resource):
    """Strangers learn less than people who signed in."""

    resource = "everybody"

    @operation("What the platform is and how one signs in", gives=answers.SystemInfo)
    def retrieve(self, request: Request) -> Response:
        info: dict[str, Any] = {key: configuration.get(key) for key in _FOR_EVERYBODY}
        if request.user.is_authenticated:
            info |= {key: configuration.get(key) for key in _FOR_PEOPLE}
            info |= {
                "current_time": json.time(clock.now()),
                "harbor_version": f"v{settings.VERSION}",
                "external_url": settings.EXTERNAL_URL,
                "registry_url": settings.EXTERNAL_HOST,
                "has_ca_root": _authority() is not None,
                "registry_storage_provider_name": settings.STORE_URL.partition(":")[0].replace("file", "filesystem"),
            }
        return Response(info)


class Volumes(Resource):
    """How full the disk of the store is, in bytes."""

    resource = "system-volumes"

    @operation("How full the disk of the store is", gives=answers.Volumes, refuses=(403,))
    def retrieve(self, request: Request) -> Response:
        total, free = files.disk()
        return Response({"storage": [{"total": total, "free": free}]})


class Certificate(Resource):
    """The certificate of the authority that signed ours, for who wants to trust it."""

    resource = "everybody"

    @operation(
        "Download the authority's certificate", gives=str, media_types=("application/octet-stream",), refuses=(404,)
    )
    def retrieve(self, request: Request) -> HttpResponse:
        certificate = _authority()
        if certificate is None:
            raise errors.NotFound(
                "there is no root certificate to download; ours is signed by an authority of your own"
            )
        disposition = {"Content-Disposition": "attachment; filename=ca.crt"}
        return HttpResponse(certificate, content_type="application/octet-stream", headers=disposition)


def _authority() -> bytes | None:
    """The authority's certificate (PEM), and nothing else that the file may hold; None when there is none."""
    if not settings.SECURE:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(settings.CA_CERTIFICATE.read_bytes())
    except (OSError, ValueError):
        return None
    return certificate.public_bytes(Encoding.PEM)
