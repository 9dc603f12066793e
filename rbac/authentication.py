"""How an API call says who it comes from: a session cookie, or name and password with every request."""

from __future__ import annotations

import base64
import binascii
from typing import cast

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from core import errors
from core.api.client_address import client_address
from rbac import credentials
from rbac.access import Actor
from rbac.models import User


def read_basic(header: str) -> tuple[str, str] | None:
    """Name and secret of an `Authorization: Basic` header; None when it is something else or garbled."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, secret) if colon else None


def actor_of(request: Request) -> Actor:
    """Who is calling; the classes below and the setting UNAUTHENTICATED_USER make nothing else."""
    return cast(Actor, request.user)


class Basic(BaseAuthentication):
    """HTTP Basic, for users and robots. As in Harbor, wrong credentials make the caller anonymous."""

    def authenticate(self, request: Request) -> tuple[Actor, None] | None:
        pair = read_basic(request.headers.get("Authorization", ""))
        if pair is None:
            return None
        try:
            return credentials.authenticate(name=pair[0], secret=pair[1], address=client_address(request)), None
        except errors.WrongCredentials:
            return None

    def authenticate_header(self, request: Request) -> str:
        return 'Basic realm="harbor"'


class Session(BaseAuthentication):
    """The browser's session (CSRF is checked by `core.api.csrf`)."""

    def authenticate(self, request: Request) -> tuple[Actor, None] | None:
        user = getattr(request._request, "user", None)
        return (user, None) if isinstance(user, User) and user.is_active else None
