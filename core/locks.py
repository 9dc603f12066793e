"""Doing something alone, of all processes on all machines: PostgreSQL's advisory locks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections


@contextmanager
def sole(name: str) -> Iterator[bool]:
    """Whether nobody else is inside under this name; who hears False does not wait, and should go home.

    The lock lives on a connection of its own and ends with it, so a killed process leaves none behind, and the
    work inside may commit as it likes.
    """
    connection = connections["default"].copy()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [name])
            yield bool(cursor.fetchone()[0])
    finally:
        connection.close()
