"""Doing something alone, of all processes on all machines: PostgreSQL's advisory locks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import Error, connection, connections


@contextmanager
def sole(name: str) -> Iterator[bool]:
    """Whether nobody else is inside under this name; who hears False does not wait, and should go home.

    The lock lives on a connection of its own and ends with it, so a killed process leaves none behind, and the
    work inside may commit as it likes.
    """
    own = connections["default"].copy()
    try:
        with own.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [name])
            is_mine = bool(cursor.fetchone()[0])
            try:
                yield is_mine
            finally:
                # Now, not when the server gets round to it that the connection is gone.
                with suppress(Error):
                    cursor.execute("SELECT pg_advisory_unlock_all()")
    finally:
        own.close()


def wait_in_transaction(name: str) -> None:
    """Wait until no other transaction holds this name; it is ours until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [name])
