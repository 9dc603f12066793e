"""The backend that the setting ENGINE names (Django looks for it under this file's name)."""

from __future__ import annotations

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with a cheaper health check."""

    def is_usable(self) -> bool:
        """Whether the server still holds the connection.

        An idle connection has nothing to read; one that the server closed has its end. Only when there is
        something, the server is asked: Django would ask it at every request, and a pull has but one statement.
        """
        if self.connection is None:
            return False
        poll = select.poll()
        try:
            poll.register(self.connection.fileno(), select.POLLIN)
            return not poll.poll(0) or bool(super().is_usable())
        except (self.Database.Error, OSError, ValueError):
            # It was lost in the middle of a query: then it has no number any more.
            return False
