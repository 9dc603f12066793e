"""The permission class of every API view: a view that names no resource and action answers nobody."""

from __future__ import annotations

from typing import Any, cast

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from core import errors
from rbac.access import Actor, allowed, allowed_for_tags

VERBS = {
    "list": "list",
    "retrieve": "read",
    "create": "create",
    "update": "update",
    "partial_update": "update",
    "destroy": "delete",
}
EVERYBODY = "everybody"
SIGNED_IN = "signed-in"


class HasPermission(BasePermission):
    """Asks `rbac.access.allowed` for what the view declares.

    A view says `resource = "artifact"` and, for actions of its own, `verbs = {"copy": "create"}`. Views
    that guard nothing say so: `resource = EVERYBODY` or `SIGNED_IN`, and so may single verbs. A view with
    `get_project()` is asked for its project; one without is about the system. A view that shows guests who
    are limited to some tags no more than those reach says `honours_tag_scope = True`; others refuse them.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        resource = getattr(view, "resource", None)
        verb = {**VERBS, **getattr(view, "verbs", {})}.get(getattr(view, "action", None) or "")
        if EVERYBODY in (resource, verb):
            return True
        if SIGNED_IN in (resource, verb):
            return or_refuse(request, bool(request.user.is_authenticated))
        if resource is None or verb is None:
            return or_refuse(request, False)
        project = view.get_project() if hasattr(view, "get_project") else None
        question = allowed_for_tags if getattr(view, "honours_tag_scope", False) else allowed
        return or_refuse(request, question(cast(Actor, request.user), resource, verb, project))


def or_refuse(request: Request, answer: bool) -> bool:
    """401 for the anonymous, 403 for the signed in, as Harbor."""
    if not answer and not request.user.is_authenticated:
        raise errors.Unauthenticated
    if not answer:
        raise errors.Forbidden
    return True
