"""What an operation of the API says about itself: read by `core.api.openapi` for the document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

JSON = "application/json"
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Operation:
    """What nobody could find out by looking at the view; the rest of the document is derived."""

    summary: str
    body: Any = None
    """The form of the request's body, or its schema."""
    gives: Any = None
    """The type of what a success answers; None for an empty body."""
    lists: Any = None
    """The type of the rows, for a list in pages."""
    status: int = 200
    media_types: tuple[str, ...] = (JSON,)
    query: Mapping[str, Any] = field(default_factory=dict)
    """Parameter → type, `Required[...]` when it must be there."""
    headers: Mapping[str, Any] = field(default_factory=dict)
    """The same for headers, but for those that follow from the path or are read everywhere."""
    refuses: tuple[int, ...] = ()
    """Statuses that do not follow from what every operation of its kind may answer."""


def operation(
    summary: str,
    *,
    body: Any = None,
    gives: Any = None,
    lists: Any = None,
    status: int = 200,
    media_types: tuple[str, ...] = (JSON,),
    query: Mapping[str, Any] | None = None,
    headers: Mapping[str, Any] | None = None,
    refuses: tuple[int, ...] = (),
) -> Callable[[F], F]:
    """Put it on a view's method: `@operation("List the labels", lists=answers.Label, query={"name": str})`."""
    said = Operation(summary, body, gives, lists, status, media_types, query or {}, headers or {}, refuses)

    def remember(method: F) -> F:
        vars(method)["operation"] = said
        return method

    return remember


def operation_of(view: Any, method: str) -> Operation:
    """What the view's handler of a method says; LookupError, with the place in words, when it says nothing."""
    name = getattr(view, "action", None) or method.lower()
    said = vars(getattr(type(view), name)).get("operation")
    if not isinstance(said, Operation):
        raise LookupError(f"{type(view).__module__}.{type(view).__name__}.{name} needs an @operation(...)")
    return said
