"""Handing a judged request over to nginx, which fetches the answer from the registry (deploy/nginx/locations.conf)."""

from __future__ import annotations

from django.http import HttpResponse

from core.store import signing


def to(location: str) -> HttpResponse:
    """Send the request itself to one of nginx's named locations: method, query and headers stay."""
    response = HttpResponse()
    response["X-Accel-Redirect"] = location
    # Else Django's own content type would stand where the registry sends none.
    del response["Content-Type"]
    return response


def as_core(repository: str, *actions: str) -> HttpResponse:
    """Send it to the registry with a token of core's own, for what the client's token cannot say there."""
    response = to("@as_core")
    response["X-Registry-Token"] = f"Bearer {signing.sign_for_store(repository, *actions)}"
    return response
