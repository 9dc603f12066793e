"""Nothing is written while the system is read-only."""

from __future__ import annotations

from core import configuration, errors
from registry.operation import Operation


def system_is_writable(operation: Operation) -> None:
    if configuration.get("read_only"):
        raise errors.ReadOnly
