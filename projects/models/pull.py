"""Pull accounting: when counts were last folded in, and when nobody could count (invariant I4)."""

from __future__ import annotations

from django.db import models


class PullFold(models.Model):
    """The one row that says when pulls were last folded from Redis into Postgres."""

    folded = models.DateTimeField()
    marker = models.CharField(max_length=32, default="", db_default="")
    """What was put into Redis then: as long as it is there, Redis has forgotten nothing since."""
    share = models.CharField(max_length=32, default="", db_default="")
    """What was folded then, by the name that it was set aside under."""

    def __str__(self) -> str:
        return str(self.folded)


class PullGap(models.Model):
    """A time in which pulls may have gone uncounted; what lies in it counts as pulled at its end."""

    started = models.DateTimeField()
    ended = models.DateTimeField()
    reason = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"{self.started} to {self.ended}: {self.reason}"
