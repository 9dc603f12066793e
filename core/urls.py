"""Every URL prefix of the platform, included by dotted string."""

from __future__ import annotations

from django.urls import include, path, re_path, register_converter

from core.api import fallback
from core.api.converters import NumberConverter, RepositoryConverter
from core.api.health import api_version

register_converter(NumberConverter, "number")
register_converter(RepositoryConverter, "repository")

handler400 = "web.views.errors.bad_request"
handler403 = "web.views.errors.forbidden"
handler404 = "web.views.errors.not_found"
handler500 = "web.views.errors.failed"

urlpatterns = [
    path("v2/", include("registry.urls")),
    path("service/", include("registry.token.urls")),
    path("c/", include("rbac.api.session_urls")),
    path("api/version", api_version),
    path("api/v2.0/", include("core.api.urls")),
    path("api/v2.0/", include("jobservice.api.urls")),
    path("api/v2.0/", include("rbac.api.urls")),
    # Before those of repositories, whose names may hold slashes.
    path("api/v2.0/", include("registry.api.urls")),
    path("api/v2.0/", include("projects.api.urls")),
    re_path(r"^(api|service|v2|c)/.*$", fallback.not_found),
    path("", include("web.urls")),
]
