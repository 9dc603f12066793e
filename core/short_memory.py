"""What this process may forget: values for some seconds, never more than so many."""

from __future__ import annotations

import threading
import time
from typing import Generic, TypeVar

V = TypeVar("V")


class ShortMemory(Generic[V]):
    """Values by key for all threads; when there are too many, the oldest go first."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._kept: dict[str, tuple[float, V]] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> V | None:
        """The value, or None when there is none any more."""
        ends, value = self._kept.get(key, (0.0, None))
        return value if ends > time.monotonic() else None

    def seconds_left(self, key: str) -> float:
        """How long a value will be kept; 0 when there is none."""
        return max(0.0, self._kept.get(key, (0.0, None))[0] - time.monotonic())

    def put(self, key: str, value: V, *, seconds: float) -> None:
        """Keep a value from now on for so long."""
        with self._lock:
            self._kept.pop(key, None)
            while len(self._kept) >= self._most:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = (time.monotonic() + seconds, value)
