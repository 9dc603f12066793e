"""Doing something alone, of all processes on all machines: PostgreSQL's advisory locks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from django.db import Error, connection, connections
from django.db.backends.utils import CursorWrapper


class Hold:
    """What one holds, or not: true when nobody else is inside."""

    def __init__(self, cursor: CursorWrapper, *, is_mine: bool) -> None:
        self._cursor, self._is_mine = cursor, is_mine

    def __bool__(self) -> bool:
        return self._is_mine

    def is_kept(self) -> bool:
        """Whether it is still ours: the lock went with its connection, if that broke."""
        try:
            self._cursor.execute("SELECT 1")
        except Error:
            return False
        return self._is_mine


def sole(name: str) -> AbstractContextManager[Hold]:
    """Whether nobody else is inside under this name; who hears no does not wait, and should go home.

    The lock lives on a connection of its own and ends with it, so a killed process leaves none behind, and the
    work inside may commit as it likes.
    """
    return _held("pg_try_advisory_lock", name)


def shared(name: str) -> AbstractContextManager[Hold]:
    """The same for those who may be inside together, while nobody is there alone."""
    return _held("pg_try_advisory_lock_shared", name)


@contextmanager
def _held(function: str, name: str) -> Iterator[Hold]:
    own = connections["default"].copy()
    try:
        with own.cursor() as cursor:
            cursor.execute(f"SELECT {function}(hashtext(%s))", [name])
            hold = Hold(cursor, is_mine=bool(cursor.fetchone()[0]))
            try:
                yield hold
            finally:
                # Now, not when the server gets round to it that the connection is gone.
                with suppress(Error):
                    cursor.execute("SELECT pg_advisory_unlock_all()")
    finally:
        own.close()


@contextmanager
def sole_here(name: str) -> Iterator[bool]:
    """The same as `sole` on this thread's own connection, which must not be inside a transaction: for who comes often,
    since a connection costs more than a short turn of work. When it breaks, what is under way breaks too."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [name])
        is_mine = bool(cursor.fetchone()[0])
    try:
        yield is_mine
    finally:
        if is_mine:
            _give_back(name)


def _give_back(name: str) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [name])
    except Error:
        # What cannot be given back goes with the connection.
        connection.close()


def wait_in_transaction(name: str) -> None:
    """Wait until no other transaction holds this name; it is ours until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [name])
