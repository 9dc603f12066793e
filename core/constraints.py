"""What Postgres refuses, in our words: a duplicate is found by its constraint, never by looking first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import IntegrityError, transaction

from core import errors


@contextmanager
def refuse_duplicates(**messages: str) -> Iterator[None]:
    """Run a block in a savepoint; Conflict with a constraint's message when that constraint is broken."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        message = messages.get(_constraint(error))
        if message is None:
            raise
        raise errors.Conflict(message) from error


def _constraint(error: IntegrityError) -> str:
    diagnosis = getattr(error.__cause__, "diag", None)
    return getattr(diagnosis, "constraint_name", None) or ""
