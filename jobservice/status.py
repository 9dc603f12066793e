"""How a piece of work stands: Harbor's words, and what follows for a whole execution."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import TextChoices


class Status(TextChoices):
    """Of a task, and of an execution, which is Running from its first moment on (but see `with_standing`)."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESS = "Success"
    ERROR = "Error"
    STOPPED = "Stopped"


UNFINISHED = (Status.PENDING, Status.RUNNING)


class Trigger(TextChoices):
    """What began an execution."""

    MANUAL = "MANUAL"
    SCHEDULE = "SCHEDULE"
    EVENT = "EVENT"


def of_execution(tasks: Collection[str]) -> Status:
    """The status of an execution whose tasks stand like this; one without tasks has nothing left to do."""
    if any(status in UNFINISHED for status in tasks):
        return Status.RUNNING
    for worst in (Status.ERROR, Status.STOPPED):
        if worst in tasks:
            return worst
    return Status.SUCCESS
