"""/c: what a browser does before it uses the API."""

from __future__ import annotations

from django.urls import path

from rbac.api.sessions import Sessions, UserExists

urlpatterns = [
    path("login", Sessions.as_view({"post": "create"})),
    path("log_out", Sessions.as_view({"get": "destroy"})),
    path("userExists", UserExists.as_view({"post": "ask"})),
]
