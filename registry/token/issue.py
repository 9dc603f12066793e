"""What a token says of somebody: signed for those who carry it, or read at once for who sends his password instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest

from core import clock, errors
from core.api.client_address import client_address
from core.store import signing
from rbac import credentials
from rbac.access import Actor
from rbac.authentication import read_basic
from rbac.models import Anonymous, Robot
from registry.token.grants import Grants, grant
from registry.token.scopes import Scope


def who(request: HttpRequest) -> Actor:
    """Who asks, by his password or secret; WrongCredentials. Without any he is anonymous."""
    header = request.META.get("HTTP_AUTHORIZATION", "")
    if not header:
        return Anonymous()
    pair = read_basic(header)
    if pair is None:
        raise errors.WrongCredentials("The Authorization header must be Basic with a name and a password or secret.")
    return credentials.authenticate(name=pair[0], secret=pair[1], address=client_address(request))


def signed(actor: Actor, scopes: Sequence[Scope], lifetime: int) -> str:
    """A token for what was asked and is allowed, good for so many seconds."""
    grants = grant(actor, scopes)
    return signing.sign(subject=_subject(actor), access=grants.access, lifetime=lifetime, claims=_claims(actor, grants))


def at_once(request: HttpRequest, scopes: Sequence[Scope]) -> signing.Token:
    """What such a token says now, for a request that brings a password; WrongCredentials."""
    actor = who(request)
    grants = grant(actor, scopes)
    return signing.unsigned(
        subject=_subject(actor), expires=int(clock.time()), access=grants.access, claims=_claims(actor, grants)
    )


def _subject(actor: Actor) -> str:
    return "" if isinstance(actor, Anonymous) else actor.name


def _claims(actor: Actor, grants: Grants) -> dict[str, Any]:
    kind = "anonymous" if isinstance(actor, Anonymous) else "robot" if isinstance(actor, Robot) else "user"
    return {
        "kind": kind,
        "id": actor.pk,
        "projects": grants.projects,
        "limited": grants.limited,
        "refused": grants.refused,
    }
