"""The audit log, as in Harbor: `/auditlog-exts` and, for older clients, `/audit-logs`; whole and of one project."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from core import clock, events
from core.api import json, query
from core.api.operations import operation
from core.api.pagination import BoundedPagination
from core.api.resource import Resource
from projects.api import answers
from projects.api.parents import InProject
from projects.models import AuditLog
from projects.models.audit_log import AuditLogQuerySet
from rbac.authentication import actor_of
from rbac.permissions import SIGNED_IN

# Without a time asked for; else a list would cost more with every year that the platform runs.
SHOWN = timedelta(days=30)
# All that Harbor's older list ever held.
OLDER_TYPES = ("project", "repository", "artifact", "tag")


def as_json(row: AuditLog) -> dict[str, Any]:
    """Harbor's AuditLogExt. It has no field for the address, so that ends the description."""
    came_from = f"from {row.address}" if row.address else ""
    description = ", ".join(part for part in (row.description, came_from) if part)
    result = {"operation_description": description, "operation_result": row.succeeded}
    return json.without_empty({**as_older_json(row), **result}, keep=("operation_result",))


def as_older_json(row: AuditLog) -> dict[str, Any]:
    """Harbor's AuditLog."""
    return json.without_empty(
        {
            "id": row.id,
            "username": row.username,
            "resource": row.resource,
            "resource_type": row.resource_type,
            "operation": row.operation,
            "op_time": json.time(row.op_time),
        }
    )


class Log(Resource):
    """What the lists have in common."""

    pagination_class = BoundedPagination
    filter_fields = {
        "id": "id",
        "op_time": "op_time",
        "username": "username",
        "operation": "operation",
        "resource": "resource",
        "resource_type": "resource_type",
        "project_id": "project_id",
        "operation_result": "succeeded",
        "op_result": "succeeded",
        "is_successful": "succeeded",
        "operation_description": "description",
        "op_desc": "description",
        # Harbor has none.
        "address": "address",
    }
    default_sort = ("-op_time", "-id")

    def newer_listing(self, rows: AuditLogQuerySet) -> Response:
        return self.listing(self._in_time(rows), as_json)

    def older_listing(self, rows: AuditLogQuerySet) -> Response:
        return self.listing(self._in_time(rows.filter(resource_type__in=OLDER_TYPES)), as_older_json)

    def _in_time(self, rows: AuditLogQuerySet) -> AuditLogQuerySet:
        """The last 30 days, unless `q` names a time."""
        if query.normalised("op_time") in query.conditions(self.request):
            return rows
        return rows.filter(op_time__gte=clock.now() - SHOWN)


class AuditLogs(Log):
    """Everything for who may list the audit log; others see the projects whose log they may list."""

    resource = "audit-log"
    verbs = {"list": SIGNED_IN, "older": SIGNED_IN, "event_types": "list"}

    @operation("List the audit log", lists=answers.AuditLogExt)
    def list(self, request: Request) -> Response:
        return self.newer_listing(AuditLog.objects.visible_to(actor_of(request)))

    @operation("List the audit log, for older clients", lists=answers.AuditLog)
    def older(self, request: Request) -> Response:
        return self.older_listing(AuditLog.objects.visible_to(actor_of(request)))

    @operation("List the kinds of events", gives=answers.EventTypes, refuses=(403,))
    def event_types(self, request: Request) -> Response:
        types = {kind.audit_type() for kind in events.kinds() if kind.is_audited}
        return Response([{"event_type": name} for name in sorted(types)])


class ProjectLogs(Log, InProject):
    """A project's rows. Guests who are limited to some tags have no part in it: rows tell the names of all tags."""

    resource = "log"
    verbs = {"older": "list"}

    @operation("List a project's audit log", lists=answers.AuditLogExt)
    def list(self, request: Request, **_: Any) -> Response:
        return self.newer_listing(self._rows())

    @operation("List a project's audit log, for older clients", lists=answers.AuditLog)
    def older(self, request: Request, **_: Any) -> Response:
        return self.older_listing(self._rows())

    def _rows(self) -> AuditLogQuerySet:
        return AuditLog.objects.filter(project_id=self.get_project().pk)
