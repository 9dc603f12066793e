"""Who listens in this room: the audit log writes a row for every change, in the change's own transaction."""

from __future__ import annotations

import structlog

from core.events import Event, on
from projects.models import AuditLog


@on(Event)
def write_audit_row(event: Event) -> None:
    context = structlog.contextvars.get_contextvars()
    AuditLog.objects.create(
        username=event.actor,
        operation=event.operation,
        resource_type=event.resource_type,
        resource=event.resource[:1024],
        project_id=event.project_id,
        address=context.get("ip") or "",
        request_id=context.get("request_id") or "",
    )
