"""/users, as in Harbor."""

from __future__ import annotations

from typing import Any, Required, cast

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.forms import Flag, Form, Text
from core.api.operations import operation
from core.api.resource import Resource
from rbac import users
from rbac.api import answers
from rbac.authentication import actor_of
from rbac.models import Robot, User
from rbac.permissions import EVERYBODY, SIGNED_IN


class UserCreation(Form):
    username = Text(max_length=255)
    password = Text()
    email = Text(max_length=255, default="")
    realname = Text(max_length=255, default="")
    comment = Text(max_length=255, default="")


class UserProfile(Form):
    email = Text(max_length=255, required=False)
    realname = Text(max_length=255, required=False)
    comment = Text(max_length=255, required=False)


class PasswordChange(Form):
    old_password = Text(default="")
    new_password = Text()


class CliSecret(Form):
    secret = Text(default="")


class SysadminFlag(Form):
    sysadmin_flag = Flag()


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


class Users(Resource):
    """All users, for who manages them. Who may create one is asked in `users.create`: people may sign up."""

    resource = "user"
    verbs = {"create": EVERYBODY}
    filter_fields = {
        "username": "username",
        "email": "email",
        "realname": "realname",
        "user_id": "id",
        "sysadmin_flag": "is_sysadmin",
        "creation_time": "created",
        "update_time": "updated",
    }
    default_sort = ("username",)

    @operation("List the users", lists=answers.User, query={"username": str, "email": str})
    def list(self, request: Request) -> Response:
        query = request.query_params
        found = {f"{key}__icontains": query[key] for key in ("username", "email") if query.get(key)}
        return self.listing(User.objects.live().filter(**found), as_json)

    @operation("Create a user, or sign up where that is switched on", body=UserCreation, status=201, refuses=(401, 409))
    def create(self, request: Request) -> Response:
        from_browser = settings.SESSION_COOKIE_NAME in request.COOKIES
        user = users.create(actor=actor_of(request), from_browser=from_browser, **self.body(UserCreation))
        return self.created(user.pk)


class OneUser(Resource):
    """One account. For reading and changing it `users.find` asks whether it is the caller's own."""

    resource = "user"
    verbs = {
        "retrieve": SIGNED_IN,
        "update": SIGNED_IN,
        "password": SIGNED_IN,
        # No robot can be given that.
        "sysadmin": "appoint",
        "cli_secret": SIGNED_IN,
    }

    @operation("Read an account", gives=answers.User, refuses=(403,))
    def retrieve(self, request: Request, user_id: int) -> Response:
        return Response(as_json(users.find(user_id=user_id, actor=actor_of(request), action="read")))

    @operation("Change an account", body=UserProfile, refuses=(409,))
    def update(self, request: Request, user_id: int) -> Response:
        actor = actor_of(request)
        user = users.find(user_id=user_id, actor=actor, action="update")
        users.update(user=user, actor=actor, **self.body(UserProfile))
        return self.done()

    @operation("Delete a user")
    def destroy(self, request: Request, user_id: int) -> Response:
        actor = actor_of(request)
        users.delete(user=users.find(user_id=user_id, actor=actor, action="delete"), actor=actor)
        return self.done()

    @operation("Change a password", body=PasswordChange)
    def password(self, request: Request, user_id: int) -> Response:
        actor = actor_of(request)
        user = users.find(user_id=user_id, actor=actor, action="update")
        given = self.body(PasswordChange)
        users.change_password(user=user, new=given["new_password"], old=given["old_password"], actor=actor)
        return self.done()

    @operation("Make a user a system admin, or no longer one", body=SysadminFlag)
    def sysadmin(self, request: Request, user_id: int) -> Response:
        actor = actor_of(request)
        user = users.find(user_id=user_id, actor=actor, action="appoint")
        users.set_sysadmin(user=user, is_sysadmin=self.body(SysadminFlag)["sysadmin_flag"], actor=actor)
        return self.done()

    @operation("Set the secret for clients of somebody who signs in by OIDC", body=CliSecret, refuses=(412,))
    def cli_secret(self, request: Request, user_id: int) -> Response:
        user = users.find(user_id=user_id, actor=actor_of(request), action="update")
        users.set_cli_secret(user=user, secret=self.body(CliSecret)["secret"])


class CurrentUser(Resource):
    """Who am I."""

    resource = SIGNED_IN

    @operation("Who is calling", gives=answers.User, refuses=(412,))
    def retrieve(self, request: Request) -> Response:
        if isinstance(request.user, Robot):
            raise errors.Precondition("get current user not available for robots")
        return Response(as_json(cast(User, request.user)))


class UserSearch(Resource):
    """Find people by a part of their name, to make them members."""

    resource = SIGNED_IN
    default_sort = ("username",)

    @operation("Find people by a part of their name", lists=answers.FoundUser, query={"username": Required[str]})
    def list(self, request: Request) -> Response:
        found = User.objects.live().filter(username__icontains=self.required("username"))
        return self.listing(found, lambda user: {"user_id": user.pk, "username": user.username})
