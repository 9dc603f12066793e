"""`n`, `last` and `Link`, as the OCI distribution spec pages lists."""

from __future__ import annotations

from urllib.parse import quote

from django.http import HttpRequest, HttpResponse

from core import errors

MOST = 10_000


def page_size(request: HttpRequest, default: int = MOST) -> int:
    """How many entries are asked for, at most 10,000; PaginationInvalid for anything but a number ≥ 0."""
    text = request.GET.get("n")
    if text is None:
        return default
    # Long digit strings are refused by int() itself, and mean "all" anyway.
    if not text.isascii() or not text.isdigit():
        raise errors.PaginationInvalid(detail=text[:40])
    return min(MOST, int(text) if len(text) < 9 else MOST)


def add_link(response: HttpResponse, request: HttpRequest, *, size: int, last: str) -> None:
    """Say where the next page is."""
    kept = f"&artifactType={quote(request.GET['artifactType'], safe='')}" if "artifactType" in request.GET else ""
    response["Link"] = f'<{quote(request.path)}?n={size}&last={quote(last, safe="")}{kept}>; rel="next"'
