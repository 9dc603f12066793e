"""/system/purgeaudit, as in Harbor: old rows of the audit log dropped, now or by the clock."""

from __future__ import annotations

from typing import Any

from core import errors, events
from jobservice.api.parameters import flag, number, refuse_others
from jobservice.api.runs import JobRuns, JobSchedule
from projects.jobs import PurgeAuditLog

MOST_HOURS = 240_000
# Harbor has a row for each pull, and its clients name them with the others; here no pull has one.
NEVER_WRITTEN = {"pull_artifact"}


class AuditPurgeSchedule(JobSchedule):
    resource = "purge-audit"
    job = PurgeAuditLog

    def parameters(self, given: dict[str, Any]) -> dict[str, Any]:
        refuse_others(given, ("audit_retention_hour", "include_event_types", "dry_run"))
        return {
            "audit_retention_hour": number(given, "audit_retention_hour", 0, 0, MOST_HOURS),
            "include_event_types": _event_types(given),
            "dry_run": flag(given, "dry_run"),
        }


class AuditPurgeRuns(JobRuns):
    resource = "purge-audit"
    job = PurgeAuditLog


def _event_types(given: dict[str, Any]) -> str:
    """As Harbor writes them, with commas; BadRequest for a type that there is not."""
    value = given.get("include_event_types")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise errors.BadRequest("parameters.include_event_types must be a text: event types, joined by commas")
    wanted = [part.strip() for part in value.split(",") if part.strip()]
    known = {kind.audit_type() for kind in events.kinds() if kind.is_audited} | NEVER_WRITTEN
    if unknown := [part for part in wanted if part not in known]:
        raise errors.BadRequest(f"unknown event type {unknown[0][:100]}; /auditlog-exts/events lists them")
    return ",".join(dict.fromkeys(wanted))
