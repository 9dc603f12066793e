"""How deep JSON of others may be nested: whoever handles it later, wherever, must not run out of his stack.

A parser that fails is no measure. It fails at a thousand levels less those of its caller, and what it has let pass
there fails later, where it is written or shown.
"""

from __future__ import annotations

from typing import Any

MOST_LEVELS = 100


def is_too_deep(document: Any) -> bool:
    """Whether lists and objects are in one another more than MOST_LEVELS deep."""
    level = _containers([document])
    for _ in range(MOST_LEVELS):
        if not level:
            return False
        level = _containers([child for each in level for child in (each.values() if isinstance(each, dict) else each)])
    return bool(level)


def _containers(values: list[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, dict | list)]
