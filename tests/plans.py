"""What PostgreSQL really did for a statement: robust where a time is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection


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
