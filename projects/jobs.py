"""The jobs of this room."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from jobservice.context import Context
from jobservice.job import Job, Queue, register
from projects import audit_purge, webhook_deliveries


@register
class PurgeAuditLog(Job):
    vendor_type = "PURGE_AUDIT_LOG"
    queue = Queue.SCHEDULED
    most_at_once = 1

    def run(self, ctx: Context, params: dict[str, Any]) -> None:
        audit_purge.purge(
            ctx,
            older_than=timedelta(hours=params["audit_retention_hour"]),
            # As Harbor's clients write it, and read it again in `job_parameters`.
            event_types=[part for part in params["include_event_types"].split(",") if part],
            dry_run=params["dry_run"],
        )


class Delivery(Job):
    """One message to one endpoint of a webhook policy."""

    queue = Queue.EVENT
    # How long to go on is a question of time: webhook_deliveries.PATIENCE.
    attempts = 10_000
    longest = timedelta(minutes=5)

    def run(self, ctx: Context, params: dict[str, Any]) -> None:
        webhook_deliveries.deliver(
            ctx,
            target_id=params["target"],
            message_id=params["message"],
            content_type=params["content_type"],
            body=params["body"],
        )


@register
class Webhook(Delivery):
    vendor_type = "WEBHOOK"


@register
class Slack(Delivery):
    vendor_type = "SLACK"
