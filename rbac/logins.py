"""Signing in and out of the pages: a session begins or ends, and the audit log says so."""

from __future__ import annotations

from django.contrib.auth import authenticate, login, logout
from django.db import transaction
from django.http import HttpRequest

from core.events import emit
from rbac import finders
from rbac.events import UserNotSignedIn, UserSignedIn, UserSignedOut
from rbac.models import Anonymous, User


def sign_in(request: HttpRequest, *, username: str, password: str) -> User | None:
    """Begin the user's session; None when the name or password is wrong. TooManyFailures, which is no row."""
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        _record_failure(username)
        return None
    with transaction.atomic():
        login(request, user)
        emit(UserSignedIn(actor=user.name, account=user.name))
    return user


def sign_out(request: HttpRequest) -> None:
    """End the session, if there is one."""
    user = request.user
    with transaction.atomic():
        logout(request)
        if isinstance(user, User):
            emit(UserSignedOut(actor=user.name, account=user.name))


def _record_failure(username: str) -> None:
    # People type their password into the field of the name: only names that exist are written down.
    user = finders.user_named(username) if "\0" not in username else None
    with transaction.atomic():
        emit(UserNotSignedIn(actor=Anonymous.name, account=user.name if user else ""))
