"""/c, as in Harbor: a session begins and ends, and whether a name or an address is taken."""

from __future__ import annotations

from typing import Any

from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api.resource import Resource
from rbac import logins, users
from rbac.authentication import actor_of
from rbac.permissions import EVERYBODY


@method_decorator(never_cache, name="dispatch")
class Sessions(Resource):
    """For people; robots say with every request who they are. The CSRF token is asked for before there is a session."""

    resource = EVERYBODY
    parser_classes = (FormParser,)
    # A session, or nobody could end it.
    changes_in_read_only_mode = True

    def create(self, request: Request) -> Response:
        said: Any = request.data
        name, password = said.get("principal", ""), said.get("password", "")
        if logins.sign_in(request._request, username=name, password=password) is None:
            raise errors.WrongCredentials
        return self.done()

    def destroy(self, request: Request) -> Response:
        logins.sign_out(request._request)
        return self.done()


class UserExists(Resource):
    """What a form for signing up asks while it is filled in."""

    resource = EVERYBODY
    parser_classes = (FormParser,)
    changes_in_read_only_mode = True

    def ask(self, request: Request) -> Response:
        said: Any = request.data
        target, value = said.get("target", ""), said.get("value", "")
        return Response(users.exists(target=target, value=value, actor=actor_of(request)))
