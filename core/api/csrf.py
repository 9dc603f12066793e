"""Harbor's CSRF convention: browsers (cookie `sid`) get a token in `X-Harbor-CSRF-Token` and send it back.

Requests to the API without a session cookie authenticate themselves and need no token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware, get_token

MACHINE_PATHS = ("/v2/", "/api/", "/service/")


class HarborCsrf(CsrfViewMiddleware):
    """Django's check under Harbor's names."""

    def process_view(
        self, request: HttpRequest, callback: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseForbidden | None:
        if request.path.startswith(MACHINE_PATHS):
            if request.path.startswith("/v2/") or settings.SESSION_COOKIE_NAME not in request.COOKIES:
                return None
            # DRF exempts its views; a session's request is checked all the same.
            callback = _not_exempt
        return super().process_view(request, callback, args, kwargs)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and request.method in ("GET", "HEAD", "OPTIONS"):
            response["X-Harbor-CSRF-Token"] = get_token(request)
        return super().process_response(request, response)


def refused(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 in the API's words."""
    error = {"code": "FORBIDDEN", "message": f"CSRF token invalid: {reason}"}
    return JsonResponse({"errors": [error]}, status=403)


def _not_exempt() -> None:
    """Stands for any view without `csrf_exempt`."""
