"""Slashes that say nothing: Harbor's router cleans a path before it looks it up, and its clients count on it."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

_MANY = re.compile("/{2,}")


class MergedSlashes:
    """Middleware that takes `/api/v2.0//projects/` for `/api/v2.0/projects`; pages and /v2 mean what they say."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = cleaned(request.path_info)
        if path != request.path_info and path.startswith("/api/"):
            request.path = request.path_info = path
        return self.get_response(request)


def cleaned(path: str) -> str:
    """The path with single slashes between its parts and none at the end."""
    return _MANY.sub("/", path).rstrip("/") or "/"
