"""A process's short memory: for so many seconds, and never more than so many values."""

from __future__ import annotations

import time

from core.short_memory import ShortMemory


def test_a_value_is_kept_for_its_time() -> None:
    memory: ShortMemory[int] = ShortMemory()
    memory.put("long", 1, seconds=60)
    memory.put("short", 2, seconds=0.01)
    time.sleep(0.02)
    assert (memory.get("long"), memory.get("short"), memory.get("never")) == (1, None, None)
    assert 59 < memory.seconds_left("long") <= 60
    assert memory.seconds_left("short") == memory.seconds_left("never") == 0


def test_the_oldest_go_when_there_are_too_many() -> None:
    memory: ShortMemory[int] = ShortMemory(most=2)
    memory.put("a", 1, seconds=60)
    memory.put("b", 2, seconds=60)
    memory.put("a", 3, seconds=60)
    memory.put("c", 4, seconds=60)
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == (3, None, 4)
