"""/users and /usergroups, in the order of Harbor's documentation."""

from __future__ import annotations

from django.urls import path

from rbac.api.groups import Groups, GroupSearch, OneGroup
from rbac.api.users import CurrentUser, OneUser, Users, UserSearch

urlpatterns = [
    path("usergroups", Groups.as_view({"get": "list", "post": "create"})),
    path("usergroups/search", GroupSearch.as_view({"get": "list"})),
    path("usergroups/<number:group_id>", OneGroup.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})),
    path("users", Users.as_view({"get": "list", "post": "create"})),
    path("users/current", CurrentUser.as_view({"get": "retrieve"})),
    path("users/search", UserSearch.as_view({"get": "list"})),
    path("users/<number:user_id>", OneUser.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})),
    path("users/<number:user_id>/password", OneUser.as_view({"put": "password"})),
    path("users/<number:user_id>/cli_secret", OneUser.as_view({"put": "cli_secret"})),
    path("users/<number:user_id>/sysadmin", OneUser.as_view({"put": "sysadmin"})),
]
