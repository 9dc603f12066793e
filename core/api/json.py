"""How values look in Harbor's JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

NEVER = "0001-01-01T00:00:00.000Z"
_TRUE = {"true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"}


def time(moment: datetime | None) -> str:
    """RFC 3339 with milliseconds; Go's zero time for "never"."""
    if moment is None:
        return NEVER
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def without_empty(document: dict[str, Any], keep: Iterable[str] = ()) -> dict[str, Any]:
    """Go's `omitempty`: empty values are left out, but for those named in `keep`."""
    return {
        key: value for key, value in document.items() if key in set(keep) or value not in (None, "", 0, False, [], {})
    }


def is_true(text: str | None) -> bool:
    """A boolean of the query string, as generously as Harbor reads it."""
    return text is not None and text.lower() in _TRUE
