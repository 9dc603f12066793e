"""`X-Request-Id`: the client's own, or a new one, on every answer and in every log line; there with the address."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from core.api.client_address import client_address

_SANE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class RequestId:
    """Middleware that echoes or makes the id (Harbor's convention)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if _SANE.fullmatch(given) else str(uuid.uuid4())
        request.META["HTTP_X_REQUEST_ID"] = request_id
        # django-structlog's own idea of the address believes headers that any client can send.
        structlog.contextvars.bind_contextvars(request_id=request_id, ip=client_address(request))
        response = self.get_response(request)
        response["X-Request-Id"] = request_id
        return response
