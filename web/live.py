"""Pages of which a part lives: htmx asks for it again and again, at the page's own address."""

from __future__ import annotations

from typing import Any

from django import shortcuts
from django.http import HttpRequest, HttpResponse

# htmx stops asking when it is answered so.
STOP_ASKING = 286


def render(
    request: HttpRequest,
    page: str,
    part: str,
    context: dict[str, Any],
    *,
    is_final: bool = False,
    status: int = 200,
) -> HttpResponse:
    """The page or, when htmx asks, the part of it that lives; once it is final, htmx asks no more."""
    if request.headers.get("HX-Request") == "true":
        return shortcuts.render(request, part, context, status=STOP_ASKING if is_final else 200)
    return shortcuts.render(request, page, context, status=status)
