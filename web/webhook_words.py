"""What webhooks tell of, and why one is silent, in words for people."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from projects.webhook_deliveries import Silence
from projects.webhooks.http import CLOUD_EVENTS, DEFAULT
from web.words import Words

EVENTS: dict[str, Words] = {
    "PUSH_ARTIFACT": _("Artifact pushed"),
    "PULL_ARTIFACT": _("Artifact pulled"),
    "DELETE_ARTIFACT": _("Artifact deleted"),
    "QUOTA_EXCEED": _("Push refused: storage limit reached"),
    "QUOTA_WARNING": _("Storage limit nearly reached"),
    "SCANNING_FAILED": _("Scan failed"),
    "SCANNING_STOPPED": _("Scan stopped"),
    "SCANNING_COMPLETED": _("Scan completed"),
    "REPLICATION": _("Replication ended"),
    "TAG_RETENTION": _("Tag retention ended"),
}
TYPES: dict[str, Words] = {"http": "HTTP", "slack": _("Slack, or what reads its messages")}
FORMATS: dict[str, Words] = {DEFAULT: _("Harbor's own format"), CLOUD_EVENTS: "CloudEvents 1.0"}
SILENCES: dict[Silence, Words] = {
    Silence.GONE: _("The endpoint it went to is no longer part of this webhook."),
    Silence.PLATFORM: _("Webhooks are switched off for the whole platform: nothing is sent."),
    Silence.PROJECT: _("The project is deleted."),
    Silence.ENDPOINT: _("The endpoint is switched off, because nothing had arrived there for a day."),
    Silence.POLICY: _("This webhook is switched off: nothing is sent."),
}
