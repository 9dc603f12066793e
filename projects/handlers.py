"""Who listens in this room: the audit log, in the change's own transaction, and webhooks, once it is true."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction

from core import clock, configuration
from core.events import Event, afterwards, on
from core.postgres.prepared import Statement
from projects import audit_forwarding, webhook_messages
from projects.events import NewsOfRepository

_AUDIT = Statement(
    "text, text, text, text, bigint, boolean, text, text, text",
    """
    INSERT INTO audit_log
        (username, operation, resource_type, resource, project_id, succeeded, description, address, request_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    """,
)


@on(Event)
def keep_in_the_audit_log(event: Event) -> None:
    """Write the row, and send it on when the change is true, as far as the configuration wants that."""
    if not event.is_audited or event.went_along:
        return
    unwanted = configuration.get("disabled_audit_log_event_types")
    if unwanted and event.audit_type() in map(str.strip, unwanted.split(",")):
        return
    context = structlog.contextvars.get_contextvars()
    record = {
        "username": event.actor,
        "operation": event.operation,
        "resource_type": event.resource_type,
        "resource": event.resource[:1024],
        "project_id": event.project_id,
        "operation_result": event.succeeded,
        "operation_description": event.description,
        "address": context.get("ip") or "",
        "request_id": event.request_id,
    }
    if not configuration.get("skip_audit_log_database"):
        _AUDIT.rows(*record.values())
    # Robust: what is acknowledged by then must not be answered with an error.
    transaction.on_commit(functools.partial(_send_on, record, clock.now()), robust=True)


@afterwards(NewsOfRepository)
def tell_webhooks(happened: Sequence[tuple[NewsOfRepository, datetime]]) -> None:
    webhook_messages.announce(happened)


def _send_on(record: dict[str, Any], at: datetime) -> None:
    endpoint = configuration.get("audit_log_forward_endpoint")
    if endpoint:
        audit_forwarding.send(endpoint, record, at)
