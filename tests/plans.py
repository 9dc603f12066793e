"""What PostgreSQL was asked, and what it really did for a statement: robust where a time is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

Asked = tuple[str, tuple[Any, ...]]


@contextmanager
def statements() -> Iterator[list[Asked]]:
    """All that this thread has the database execute in the block, with arguments; those that are prepared as well,
    which Django's log of queries does not have."""
    asked: list[Asked] = []

    def hear(execute: Callable[..., Any], sql: str, arguments: Any, *more: Any) -> Any:
        if not sql.startswith("PREPARE"):
            asked.append((sql, tuple(arguments or ())))
        return execute(sql, arguments, *more)

    with connection.execute_wrapper(hear):
        yield asked


def nodes(sql: str, *arguments: Any) -> Iterator[dict[str, Any]]:
    """Every node of the plan by which a statement runs: one with arguments, or one that was captured."""
    # What was captured is written out already, percent signs and all.
    text = sql if arguments else sql.replace("%", "%%")
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", list(arguments))
        open_ones = [cursor.fetchone()[0][0]["Plan"]]
    while open_ones:
        node = open_ones.pop()
        open_ones += node.get("Plans", ())
        yield node


def rows_of(node: dict[str, Any]) -> int:
    """How many rows it looked at, again and again counted."""
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Join Filter", 0)
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])
