"""The short way for container clients: /v2 and /service need nothing of what pages and the API need.

Sessions, languages, forms' tokens and a page's headers cost more than the pull of a manifest itself. What such a
request does need of the middlewares is composed here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
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


class Handler(WSGIHandler):
    """Django's, but for the short way it does less around a request: the middlewares are the same.

    Django would tell everybody who wants to hear it that a request begins and ends. Of those who do, one matters here:
    whoever closes connections to the database that do not live any more.
    """

    _middleware_chain: Callable[[HttpRequest], HttpResponse]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """What WSGI wants: the parts of the body."""
        parts = self._parts(environ, start_response)
        if environ["REQUEST_METHOD"] != "HEAD":
            return parts
        # The headers tell of it (RFC 9110, 9.3.2), and the server would warn of it and throw it away.
        if close := getattr(parts, "close", None):
            close()
        return []

    def _parts(self, environ: dict[str, Any], start_response: Any) -> Any:
        if not environ["PATH_INFO"].startswith(SHORT_PATHS):
            return super().__call__(environ, start_response)
        response = self._middleware_chain(self.request_class(environ))
        connection.close_if_unusable_or_obsolete()
        start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
        return [response.content]


def _answer(request: HttpRequest) -> HttpResponse:
    try:
        view, arguments, named = resolve(request.path_info)
        response: HttpResponse = view(request, *arguments, **named)
    except Exception as error:
        return answer_failure(request, error)
    return response
