"""/users, as in Harbor."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from core import configuration, errors
from core.api import json
from core.api.text import Text
from rbac import roles, users
from rbac.access import allowed
from rbac.authentication import actor_of
from rbac.models import Robot, User
from rbac.permissions import SIGNED_IN


class UserCreation(serializers.Serializer[Any]):
    username = Text(max_length=255)
    password = Text(max_length=1024)
    email = serializers.EmailField(max_length=255, required=False, allow_blank=True, default="")
    realname = Text(max_length=255, required=False, allow_blank=True, default="")
    comment = Text(max_length=255, required=False, allow_blank=True, default="")


class UserProfile(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=255, required=False, allow_blank=True)
    realname = Text(max_length=255, required=False, allow_blank=True)
    comment = Text(max_length=255, required=False, allow_blank=True)


class PasswordChange(serializers.Serializer[Any]):
    old_password = Text(max_length=1024, required=False, allow_blank=True)
    new_password = Text(max_length=1024)


class SysadminFlag(serializers.Serializer[Any]):
    sysadmin_flag = serializers.BooleanField()


def as_json(user: User) -> dict[str, Any]:
    """Harbor's UserResp."""
    return json.without_empty(
        {
            "user_id": user.pk,
            "username": user.username,
            "email": user.email,
            "realname": user.realname,
            "comment": user.comment,
            "sysadmin_flag": user.is_sysadmin,
            "admin_role_in_auth": False,
            "creation_time": json.time(user.created),
            "update_time": json.time(user.updated),
        },
        keep=("sysadmin_flag", "admin_role_in_auth"),
    )


class Users(GenericViewSet[User]):
    """Lists and creation are the system admin's."""

    resource = "user"
    filter_fields = {"username": "username", "email": "email", "user_id": "pk"}
    default_sort = ("username",)
    queryset = User.objects.none()

    def get_queryset(self) -> QuerySet[User]:
        rows: QuerySet[User] = User.objects.live()
        return rows

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response([as_json(user) for user in page])

    def create(self, request: Request) -> Response:
        form = UserCreation(data=request.data)
        form.is_valid(raise_exception=True)
        user = users.create(actor=actor_of(request), **form.validated_data)
        return Response(status=201, headers={"Location": f"/api/v2.0/users/{user.pk}"})

    def get_permissions(self) -> Any:
        # Anybody may sign himself up where that is switched on; the pages ask for it with a session.
        if self.action == "create" and configuration.get("self_registration"):
            return []
        return super().get_permissions()


class OneUser(GenericViewSet[User]):
    """A user's own account, or any for who may manage users."""

    resource = SIGNED_IN
    queryset = User.objects.none()

    def _user(self, action: str) -> User:
        """The account in the path, for itself or for who may do this to all."""
        number = self.kwargs["user_id"]
        actor = actor_of(self.request)
        is_self = isinstance(actor, User) and actor.pk == number
        if not is_self and not allowed(actor, "user", action):
            raise errors.Forbidden
        user: User | None = User.objects.live().filter(pk=number).first()
        if user is None:
            raise errors.NotFound(f"user {number} not found")
        return user

    def retrieve(self, request: Request, user_id: int) -> Response:
        return Response(as_json(self._user("read")))

    def update(self, request: Request, user_id: int) -> Response:
        user = self._user("update")
        form = UserProfile(data=request.data)
        form.is_valid(raise_exception=True)
        users.update(user=user, actor=actor_of(request), **form.validated_data)
        return Response(status=200)

    def destroy(self, request: Request, user_id: int) -> Response:
        if not allowed(actor_of(request), "user", "delete"):
            raise errors.Forbidden
        users.delete(user=self._user("delete"), actor=actor_of(request))
        return Response(status=200)

    def password(self, request: Request, user_id: int) -> Response:
        user = self._user("update")
        form = PasswordChange(data=request.data)
        form.is_valid(raise_exception=True)
        # Who manages users need not know the old one; everybody else must, also for himself.
        knows = not (allowed(actor_of(request), "user", "update") and request.user.pk != user.pk)
        users.change_password(
            user=user,
            new=form.validated_data["new_password"],
            old=form.validated_data.get("old_password", "") if knows else None,
            actor=actor_of(request),
        )
        return Response(status=200)

    def sysadmin(self, request: Request, user_id: int) -> Response:
        if not allowed(actor_of(request), "user", "update"):
            raise errors.Forbidden
        form = SysadminFlag(data=request.data)
        form.is_valid(raise_exception=True)
        users.set_sysadmin(
            user=self._user("update"),
            is_sysadmin=form.validated_data["sysadmin_flag"],
            actor=actor_of(request),
        )
        return Response(status=200)


class CurrentUser(GenericViewSet[User]):
    """Who am I."""

    resource = SIGNED_IN
    queryset = User.objects.none()

    def retrieve(self, request: Request) -> Response:
        if isinstance(request.user, Robot):
            raise errors.Precondition("robots have no user account")
        return Response(as_json(cast(User, request.user)))

    def permissions(self, request: Request) -> Response:
        """What the caller may do in the system, in Harbor's form."""
        granted = [
            {"resource": resource, "action": action}
            for resource, actions in roles.SYSTEM.items()
            for action in actions.split()
            if allowed(actor_of(request), resource, action)
        ]
        return Response(granted)


class UserSearch(GenericViewSet[User]):
    """Find people by a part of their name, to make them members."""

    resource = SIGNED_IN
    queryset = User.objects.none()

    def list(self, request: Request) -> Response:
        wanted = request.query_params.get("username", "")
        if not wanted:
            raise errors.Unprocessable("username in query is required")
        found = User.objects.live().filter(username__icontains=wanted).order_by("username")
        page = self.paginate_queryset(found) or []
        return self.get_paginated_response([{"user_id": user.pk, "username": user.username} for user in page])
