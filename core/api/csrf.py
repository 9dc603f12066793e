"""Harbor's CSRF convention: answers give a token in `X-Harbor-CSRF-Token`, and whatever changes something returns it.

Only requests to the API without a session cookie need none: they say themselves who they come from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.http.response import HttpResponseBase
from django.middleware.csrf import REASON_CSRF_TOKEN_MISSING, CsrfViewMiddleware, get_token

from core import errors
from core.api.exceptions import render

HEADER = "X-Harbor-CSRF-Token"


class HarborCsrf(CsrfViewMiddleware):
    """Django's check under Harbor's names."""

    def process_view(
        self, request: HttpRequest, callback: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseForbidden | None:
        if not _is_checked(request):
            return None
        # DRF exempts its views; here a session's request is checked all the same.
        return super().process_view(request, _not_exempt, args, kwargs)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if _is_checked(request):
            response[HEADER] = get_token(request)
        return super().process_response(request, response)


def refused(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 in the API's words."""
    is_missing = reason == REASON_CSRF_TOKEN_MISSING or HEADER not in request.headers
    text = "CSRF token not found in request" if is_missing else "CSRF token invalid"
    return render(request, errors.Forbidden(f"{text}: send back the {HEADER} of the last answer, and its cookies"))


def _is_checked(request: HttpRequest) -> bool:
    return not request.path.startswith("/api/") or settings.SESSION_COOKIE_NAME in request.COOKIES


def _not_exempt(request: HttpRequest) -> HttpResponse:
    """Stands for any view without `csrf_exempt`; nobody calls it."""
    raise NotImplementedError
