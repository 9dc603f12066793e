"""What PostgreSQL really did for a statement: robust where a time is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection


def nodes(sql: str) -> Iterator[dict[str, Any]]:
    """Every node of the plan by which a captured statement runs."""
    with connection.cursor() as cursor:
        # What was captured is written out already, percent signs and all.
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql.replace("%", "%%"), [])
        open_ones = [cursor.fetchone()[0][0]["Plan"]]
    while open_ones:
        node = open_ones.pop()
        open_ones += node.get("Plans", ())
        yield node


def rows_of(node: dict[str, Any]) -> int:
    """How many rows it looked at, again and again counted."""
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Join Filter", 0)
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])
