"""The logs of tasks, as pages show them."""

from __future__ import annotations

from collections.abc import Collection

from jobservice.models import TaskLog

# The end of a log is what one looks at while it grows.
SHOWN_CHARACTERS = 100_000


def end_of(tasks: Collection[int]) -> tuple[str, bool]:
    """The end of the logs of some tasks (their ids), and whether that is all of it."""
    text = ""
    lines = TaskLog.objects.filter(task_id__in=tasks).order_by("-id")
    for part in lines.values_list("text", flat=True).iterator(chunk_size=50):
        text = part + text
        if len(text) > SHOWN_CHARACTERS:
            return text[-SHOWN_CHARACTERS:].partition("\n")[2], False
    return text, True
