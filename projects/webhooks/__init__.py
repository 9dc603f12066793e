"""Whom webhooks can be sent to: one kind of endpoint per file, by Harbor's name for it."""

from __future__ import annotations

from projects.webhooks.base import Endpoint
from projects.webhooks.http import Http
from projects.webhooks.slack import Slack

KINDS: dict[str, Endpoint] = {"http": Http(), "slack": Slack()}
