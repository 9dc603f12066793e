"""Events: facts that business functions state, and who listens.

`emit` writes the outbox row in the caller's transaction (invariant I8) and calls the handlers that
belong into the same transaction (audit). Everybody else hears of it from the outbox, once it is true: `afterwards`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, ClassVar, TypeVar

import structlog
from django.db import connection, transaction

from core.postgres.prepared import Statement

_OUTBOX = Statement(
    "text, jsonb",
    "INSERT INTO core_outbox (topic, payload, occurred, attempts) VALUES ($1, $2, clock_timestamp(), 0)",
)

SYSTEM = "system"
"""The actor of what the platform does by itself."""


def _request_under_way() -> str:
    return str(structlog.contextvars.get_contextvars().get("request_id") or "")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened. Carries names and ids, never secrets.

    `topic` is Harbor's name for it; `operation` and `resource_type` are the audit log's words.
    """

    topic: ClassVar[str]
    operation: ClassVar[str]
    resource_type: ClassVar[str]
    succeeded: ClassVar[bool] = True
    """False for what somebody tried in vain."""
    is_audited: ClassVar[bool] = True
    """Whether the audit log has a row of it: False for news that are nobody's deed, or that others count."""

    actor: str
    """Who caused it: a user's or robot's name, `anonymous`, or SYSTEM."""

    project_id: int | None = None
    """The project it happened in, if it was one."""

    request_id: str = field(default_factory=_request_under_way)
    """Of the request that caused it; empty where none did."""

    @classmethod
    def audit_type(cls) -> str:
        """Its kind as the audit log names it, such as `create_artifact`."""
        return f"{cls.operation}_{cls.resource_type}"

    @property
    def went_along(self) -> bool:
        """Whether it is a part of another change, which the audit log has a row of."""
        return False

    @property
    def resource(self) -> str:
        """What it happened to, as people write it."""
        return ""

    @property
    def details(self) -> str:
        """What people want to know besides, in a few words."""
        return ""

    @property
    def description(self) -> str:
        """The whole in a line."""
        line = f"{self.operation} {self.resource_type}: {self.resource}"
        return f"{line} ({self.details})" if self.details else line

    def payload(self) -> dict[str, Any]:
        return asdict(self)


E = TypeVar("E", bound=Event)
Handler = Callable[[Any], None]
Listener = Callable[[Sequence[tuple[Any, datetime]]], None]
_handlers: dict[type[Event], list[Handler]] = defaultdict(list)
_listeners: dict[type[Event], list[Listener]] = defaultdict(list)
_bells: list[Callable[[], None]] = []


def on(kind: type[E]) -> Callable[[Callable[[E], None]], Callable[[E], None]]:
    """Call the decorated function for each event of this kind (or a subclass), in the same transaction."""

    def register(handler: Callable[[E], None]) -> Callable[[E], None]:
        _handlers[kind].append(handler)
        return handler

    return register


def afterwards(
    kind: type[E],
) -> Callable[[Callable[[Sequence[tuple[E, datetime]]], None]], Callable[[Sequence[tuple[E, datetime]]], None]]:
    """Call the decorated function with events of this kind once they are true, each with the time when it happened.

    It is called by the relay with as many as have come together, in their order, in a transaction of its own: what it
    writes there is written once. What else it does may be done twice.
    """

    def register(
        listener: Callable[[Sequence[tuple[E, datetime]]], None],
    ) -> Callable[[Sequence[tuple[E, datetime]]], None]:
        _listeners[kind].append(listener)
        return listener

    return register


def listeners_of(kind: type[Event]) -> list[Listener]:
    """Who wants to hear of a kind of events afterwards."""
    return [listener for each in kind.__mro__ for listener in _listeners.get(each, ())]


def ring_with(bell: Callable[[], None]) -> None:
    """Have this called after the commit of an event that somebody wants to hear of. It must be quick and not raise."""
    _bells.append(bell)


def by_topic() -> dict[str, type[Event]]:
    """Every kind of event by its topic."""
    return {kind.topic: kind for kind in kinds()}


def kinds() -> Iterator[type[Event]]:
    """Every kind of event that rooms have declared; bases that say no topic are none."""
    return (kind for kind in _below(Event) if hasattr(kind, "topic"))


def _below(base: type[Event]) -> dict[type[Event], None]:
    """Every class below, once, however many ways lead to it."""
    found: dict[type[Event], None] = {}
    for kind in base.__subclasses__():
        found |= {kind: None, **_below(kind)}
    return found


def emit(event: Event) -> None:
    """State that something happened; to be called inside the transaction that makes it true."""
    if not connection.in_atomic_block:
        raise RuntimeError(f"{event.topic} must be emitted inside the transaction that makes it true")
    _OUTBOX.rows(event.topic, json.dumps(event.payload()))
    for kind in type(event).__mro__:
        for handler in _handlers.get(kind, ()):
            handler(event)
    if listeners_of(type(event)):
        for bell in _bells:
            # Robust: what is acknowledged by then must not be answered with an error.
            transaction.on_commit(bell, robust=True)
