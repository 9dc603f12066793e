"""Whatever is not routed under /api: JSON, not a page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from core import errors
from core.api.exceptions import render


def not_found(request: HttpRequest, path: str = "") -> HttpResponse:
    return render(request, errors.NotFound(f"There is no operation at {request.path[:200]}"))


not_found.csrf_exempt = True  # type: ignore[attr-defined]
