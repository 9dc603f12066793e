"""Programs that take JSON, in Harbor's own form or as CloudEvents 1.0."""

from __future__ import annotations

from datetime import UTC, datetime

from projects.webhooks.base import Endpoint, Message, as_json

DEFAULT, CLOUD_EVENTS = "Default", "CloudEvents"
# Harbor's words for CloudEvents' `type`.
_TYPES = {
    "PUSH_ARTIFACT": "harbor.artifact.pushed",
    "PULL_ARTIFACT": "harbor.artifact.pulled",
    "DELETE_ARTIFACT": "harbor.artifact.deleted",
    "QUOTA_EXCEED": "harbor.quota.exceeded",
    "QUOTA_WARNING": "harbor.quota.warned",
    "SCANNING_FAILED": "harbor.scan.failed",
    "SCANNING_STOPPED": "harbor.scan.stopped",
    "SCANNING_COMPLETED": "harbor.scan.completed",
    "REPLICATION": "harbor.replication.status.changed",
    "TAG_RETENTION": "harbor.tag_retention.finished",
}


class Http(Endpoint):
    formats = (DEFAULT, CLOUD_EVENTS)
    is_signed = True

    def body(self, message: Message, payload_format: str) -> str:
        return _cloud_event(message) if payload_format == CLOUD_EVENTS else as_json(default(message))

    def content_type(self, payload_format: str) -> str:
        return "application/cloudevents+json" if payload_format == CLOUD_EVENTS else "application/json"


def default(message: Message) -> dict[str, object]:
    """Harbor's own form."""
    return {
        "type": message.event_type,
        "occur_at": message.occurred,
        "operator": message.operator,
        "event_data": message.data,
    }


def _cloud_event(message: Message) -> str:
    return as_json(
        {
            "specversion": "1.0",
            "id": message.id,
            # An extension attribute has a value or is not there.
            **({"requestid": message.request_id} if message.request_id else {}),
            "source": f"/projects/{message.project_id}/webhook/policies/{message.policy_id}",
            "type": _TYPES[message.event_type],
            "datacontenttype": "application/json",
            "time": datetime.fromtimestamp(message.occurred, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "data": message.data,
            **({"operator": message.operator} if message.operator else {}),
        }
    )
