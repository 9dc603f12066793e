"""Every URL prefix of the platform, included by dotted string."""

from __future__ import annotations

from django.urls import include, path, re_path

from core.api import fallback
from core.api.views import api_version

urlpatterns = [
    path("v2/", include("registry.urls")),
    path("service/", include("registry.token.urls")),
    path("api/version", api_version),
    path("api/v2.0/", include("core.api.urls")),
    path("api/v2.0/", include("rbac.api.urls")),
    path("api/v2.0/", include("projects.api.urls")),
    re_path(r"^(api|service|v2|c)/.*$", fallback.not_found),
    path("", include("web.urls")),
]
