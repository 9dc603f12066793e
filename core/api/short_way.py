"""The short way for container clients: /v2 and /service need nothing of what pages and the API need.

Sessions, languages, forms' tokens and a page's headers cost more than the pull of a manifest itself. What such a
request does need of the middlewares is composed here.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse
from django.urls import resolve

from core.api.exceptions import JsonErrors, answer_failure
from core.api.request_id import RequestId

SHORT_PATHS = ("/v2/", "/service/")


class ShortWay:
    """Outermost middleware: answers requests of container clients itself and leaves all others to the next one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._long_way = get_response
        self._short_way = RequestId(JsonErrors(_answer))

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(SHORT_PATHS):
            return self._long_way(request)
        structlog.contextvars.clear_contextvars()
        response = self._short_way(request)
        response["X-Content-Type-Options"] = "nosniff"
        if "Content-Length" not in response and response.status_code not in (204, 304):
            response["Content-Length"] = str(len(response.content))
        return response


def _answer(request: HttpRequest) -> HttpResponse:
    try:
        view, arguments, named = resolve(request.path_info)
        response: HttpResponse = view(request, *arguments, **named)
    except Exception as error:
        return answer_failure(request, error)
    return response
