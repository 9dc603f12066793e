"""The token must grant the action."""

from __future__ import annotations

from core import errors
from registry.operation import Operation


def token_grants_action(operation: Operation) -> None:
    """Unauthenticated (ask for a token with this scope) or, when that was tried already, Denied."""
    if operation.name is None or operation.may(operation.action):
        return
    message = f"unauthorized to access repository: {operation.repository_name}, action: {operation.action}"
    asked = operation.token.claims.get("refused", {}).get(operation.repository_name, [])
    if operation.action in asked and operation.token.claims.get("kind") != "anonymous":
        # The client did ask for it: a challenge would only make it ask again, for every layer.
        raise errors.Denied(
            f"{message}: the project {operation.name.project} does not exist, or {operation.token.subject} "
            f"has no permission to {operation.action} there"
        )
    raise errors.Unauthenticated(message)


def token_grants_some(operation: Operation) -> None:
    """As above, or the token is a tag-scoped guest's: for views that show no more than `operation.reach`."""
    if not operation.is_limited:
        token_grants_action(operation)
