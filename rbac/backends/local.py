"""Signing in with a name and password kept here."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from core import errors
from core.api.client_address import client_address
from rbac import credentials
from rbac.models import User


class LocalBackend:
    """Django's authentication backend over `rbac.credentials`."""

    def authenticate(
        self, request: HttpRequest | None, username: str = "", password: str = "", **_: Any
    ) -> User | None:
        """The user, or None; TooManyFailures passes through to the page."""
        address = client_address(request) if request is not None else ""
        try:
            actor = credentials.authenticate(name=username, secret=password, address=address)
        except errors.WrongCredentials:
            return None
        return actor if isinstance(actor, User) else None

    def get_user(self, user_id: int) -> User | None:
        """The session's user while the account is alive."""
        user: User | None = User.objects.live().filter(pk=user_id, is_active=True).first()
        return user
