"""How values are written on pages."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Any

from django import template
from django.utils import formats
from django.utils.dateparse import parse_datetime
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from core import clock
from projects.models import WebhookTarget
from projects.webhooks import KINDS
from web.webhook_words import EVENTS, FORMATS, TYPES
from web.words import Words

register = template.Library()
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@register.filter
def size(number: int | None) -> str:
    """Bytes as people write them: 517 B, 1.2 MiB."""
    amount = number or 0
    # What would be rounded up to 1024 belongs to the next unit.
    power = next((power for power in range(len(_UNITS)) if amount < 1023.95 * 1024**power), len(_UNITS) - 1)
    return f"{formats.number_format(round(amount / 1024**power, 1), 1 if power else 0)} {_UNITS[power]}"


@register.filter
def address(target: WebhookTarget) -> str:
    """An endpoint's address without what is a secret."""
    return KINDS[target.type].shown(target.address)


@register.filter
def short(digest: str) -> str:
    """The first twelve digits of a digest, as docker shows them."""
    return digest.partition(":")[2][:12]


@register.filter
def ago(moment: datetime) -> str:
    """How long ago: 3 days ago."""
    now = clock.now()
    if (now - moment).total_seconds() < 60:
        return _("just now")
    return _("%(ago)s ago") % {"ago": timesince(moment, now, depth=1)}


@register.filter
def when(text: Any) -> datetime | None:
    """A moment that a client wrote; None for what is no moment."""
    try:
        return parse_datetime(text) if isinstance(text, str) else None
    except ValueError:
        return None


@register.filter
def command_line(words: Any) -> str:
    """The words of a command as a shell would take them; empty for what is no list of words."""
    is_command = isinstance(words, list) and all(isinstance(word, str) for word in words)
    return shlex.join(words) if is_command else ""


@register.filter
def platform_of(descriptor: dict[str, Any]) -> str:
    """linux/arm64/v8"""
    if descriptor.get("annotations", {}).get("vnd.docker.reference.type") == "attestation-manifest":
        # docker buildx hides its attestations behind the platform unknown/unknown.
        return _("attestation")
    said = descriptor.get("platform", {})
    name = "/".join(str(said[key]) for key in ("os", "architecture", "variant") if said.get(key))
    return f"{name} {said['os.version']}" if said.get("os.version") else name


@register.filter
def job_word(word: str) -> str:
    """What a job is, how it stands, and what began it, in the reader's language; other words as they are."""
    words = {
        "Pending": _("waiting"),
        "Running": _("running"),
        "Success": _("done"),
        "Error": _("failed"),
        "Stopped": _("stopped"),
        "MANUAL": _("somebody"),
        "SCHEDULE": _("the clock"),
        "EVENT": _("an event"),
        "GARBAGE_COLLECTION": _("Garbage collection"),
        "PURGE_AUDIT_LOG": _("Purge of the audit log"),
        "SCHEDULER": _("Schedules"),
        "WEBHOOK": _("Webhook"),
        "SLACK": _("Webhook to Slack"),
    }
    return words.get(word, word)


@register.filter
def event_word(topic: str) -> Words:
    """What webhooks tell of, in the reader's language; other topics as they are."""
    return EVENTS.get(topic, topic)


@register.filter
def receiver_word(kind: str) -> Words:
    """Whom a webhook's endpoint belongs to."""
    return TYPES.get(kind, kind)


@register.filter
def format_word(name: str) -> Words:
    """The form in which a webhook's endpoint is told."""
    return FORMATS.get(name, name)


@register.filter
def accessory_name(kind: str) -> str:
    """Harbor's accessory type as people call it."""
    if kind.startswith("signature."):
        return _("signature")
    return "SBOM" if kind.startswith("sbom.") else _("accessory")
