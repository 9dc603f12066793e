"""What an operator may change while the platform runs (Harbor's /configurations), with defaults.

Values are kept in Postgres and remembered by each process for a second, so that a change takes effect
everywhere without a restart and a push does not cost another query.
"""

from __future__ import annotations

import time
from typing import Any

from core.models import Setting

DEFAULTS: dict[str, Any] = {
    "project_creation_restriction": "everyone",
    "read_only": False,
    "self_registration": False,
    "storage_per_project": -1,
}
REMEMBERED_SECONDS = 1.0
_remembered: tuple[float, dict[str, Any]] = (0.0, {})


def get(key: str) -> Any:
    """The value in force; KeyError for a setting that does not exist."""
    global _remembered
    at, values = _remembered
    if time.monotonic() - at > REMEMBERED_SECONDS:
        values = dict(Setting.objects.values_list("key", "value"))
        _remembered = (time.monotonic(), values)
    return values.get(key, DEFAULTS[key])


def change(**values: Any) -> None:
    """Set values; in force here at once, in other processes within a second."""
    for key, value in values.items():
        Setting.objects.update_or_create(key=key, defaults={"value": _checked(key, value)})
    forget()


def forget() -> None:
    """Read afresh at the next question."""
    global _remembered
    _remembered = (0.0, {})


def _checked(key: str, value: Any) -> Any:
    if type(value) is not type(DEFAULTS[key]):
        raise ValueError(f"{key} must be a {type(DEFAULTS[key]).__name__}")
    return value
