"""Pages for what went wrong."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from core.api.exceptions import MACHINE_PATHS, as_refusal


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "web/error.html", {"status": 404}, status=404)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "web/error.html", {"status": 403}, status=403)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "web/error.html", {"status": 400}, status=400)


def failed(request: HttpRequest) -> HttpResponse:
    # Without the request: whatever failed may be what the ordinary page asks for.
    return HttpResponse(render_to_string("web/error_plain.html", {"status": 500}), status=500)


class RefusalPages:
    """Middleware: a refusal under a page, or a database that is away, becomes a page in words."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        refusal = None if request.path.startswith(MACHINE_PATHS) else as_refusal(error)
        if refusal is None or refusal.status == 404:
            return None
        page = render_to_string("web/error_plain.html", {"status": refusal.status, "message": refusal.message})
        return HttpResponse(page, status=refusal.status)
