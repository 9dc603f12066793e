"""Who listens in this room: the audit log writes a row for every change, in the change's own transaction."""

from __future__ import annotations

import structlog

from core.events import Event, on
from core.postgres.prepared import Statement

_AUDIT = Statement(
    "text, text, text, text, bigint, boolean, text, text, text",
    """
    INSERT INTO audit_log
        (username, operation, resource_type, resource, project_id, succeeded, description, address, request_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    """,
)


@on(Event)
def write_audit_row(event: Event) -> None:
    context = structlog.contextvars.get_contextvars()
    _AUDIT.rows(
        event.actor,
        event.operation,
        event.resource_type,
        event.resource[:1024],
        event.project_id,
        event.succeeded,
        event.description,
        context.get("ip") or "",
        context.get("request_id") or "",
    )
