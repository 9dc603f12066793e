"""Harbor's CSRF convention: answers give a token in `X-Harbor-CSRF-Token`, and whatever changes something returns it.

Only requests to the API without a session cookie need none: they say themselves who they come from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.http.response import HttpResponseBase
from django.middleware.csrf import (
    REASON_BAD_ORIGIN,
    REASON_CSRF_TOKEN_MISSING,
    REASON_NO_REFERER,
    CsrfViewMiddleware,
    get_token,
)

from core import errors
from core.api.exceptions import render

HEADER = "X-Harbor-CSRF-Token"
# How Django's reasons begin; what they go on with is the request's own.
_BAD_ORIGIN, _BAD_REFERER = (reason.partition(" - ")[0] for reason in (REASON_BAD_ORIGIN, REASON_NO_REFERER))
_REASONS_OF_OTHER_ADDRESSES = (_BAD_ORIGIN, _BAD_REFERER)


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
    return render(request, errors.Forbidden(_why(request, reason)))


def is_of_another_address(reason: str) -> bool:
    """Whether a request was refused because of the page that it comes from, whatever its token."""
    return reason.startswith(_REASONS_OF_OTHER_ADDRESSES)


def _why(request: HttpRequest, reason: str) -> str:
    if is_of_another_address(reason):
        name = "Origin" if reason.startswith(_BAD_ORIGIN) else "Referer"
        said = request.headers.get(name, "")[:200]
        return f"{name} invalid: {said!r} is not {settings.EXTERNAL_URL}, from whose pages alone changes are taken"
    is_missing = reason == REASON_CSRF_TOKEN_MISSING or HEADER not in request.headers
    text = "CSRF token not found in request" if is_missing else "CSRF token invalid"
    return f"{text}: send back the {HEADER} of the last answer, and its cookies"


def _is_checked(request: HttpRequest) -> bool:
    return not request.path.startswith("/api/") or settings.SESSION_COOKIE_NAME in request.COOKIES


def _not_exempt(request: HttpRequest) -> HttpResponse:
    """Stands for any view without `csrf_exempt`; nobody calls it."""
    raise NotImplementedError
