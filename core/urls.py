"""Every URL prefix of the platform, included by dotted string."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("v2/", include("registry.urls")),
    path("service/", include("registry.token.urls")),
    path("api/v2.0/", include("core.api.urls")),
    path("api/v2.0/", include("rbac.api.urls")),
    path("api/v2.0/", include("projects.api.urls")),
    path("", include("web.urls")),
]
