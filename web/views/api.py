"""The API's document to read and to try."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.http import require_safe


@require_safe
def explorer(request: HttpRequest) -> HttpResponse:
    """Swagger UI; what one tries there is done as whoever is signed in."""
    description = gettext(settings.API_DESCRIPTION)
    return render(request, "web/api.html", {"description": description})
