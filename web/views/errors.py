"""Pages for what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from core import errors
from core.api import csrf
from core.api.exceptions import MACHINE_PATHS, as_refusal
from web import words


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, 404)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, 403)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, 400)


def failed(request: HttpRequest) -> HttpResponse:
    """What nobody expected; also a database that goes away where no view is to blame (saving the session)."""
    error = sys.exc_info()[1]
    refusal = as_refusal(error) if isinstance(error, Exception) else None
    return _refused(request, refusal) if refusal else _page(request, 500)


def csrf_refused(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without its token: on a page in words, on a machine path in the API's."""
    if request.path.startswith(MACHINE_PATHS):
        return csrf.refused(request, reason)
    if csrf.is_of_another_address(reason):
        words_of_address = _("This form was not sent from %(url)s. Open Wharf at that address and try again.")
        return _page(request, 403, words_of_address % {"url": settings.EXTERNAL_URL})
    return _page(
        request,
        403,
        _("This form was open for too long, or cookies are switched off. Go back, reload the page and try again."),
    )


class RefusalPages:
    """Middleware: a refusal under a page, or a database that is away, becomes a page in words."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(MACHINE_PATHS):
            return self.get_response(request)
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            return _page(request, 400)
        response = self.get_response(request)
        if response.status_code == 405:
            page = _page(request, 405)
            page["Allow"] = response["Allow"]
            return page
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        refusal = None if request.path.startswith(MACHINE_PATHS) else as_refusal(error)
        return _refused(request, refusal) if refusal else None


def _refused(request: HttpRequest, refusal: errors.Refusal) -> HttpResponse:
    page = _page(request, refusal.status, words.of(refusal))
    if refusal.retry_after is not None:
        page["Retry-After"] = str(refusal.retry_after)
    return page


def _page(request: HttpRequest, status: int, text: words.Words = "") -> HttpResponse:
    title, usual_text = words.page_for(status)
    context = {
        "status": status,
        "title": title,
        "text": text or usual_text,
        "request_id": request.META.get("HTTP_X_REQUEST_ID", "") if status >= 500 else "",
        "here": request.get_full_path() if request.method in ("GET", "HEAD") else "",
    }
    # Our own failures are told without the request: who is signed in is a question to what has just failed.
    return HttpResponse(render_to_string("web/error.html", context, request if status < 500 else None), status=status)
