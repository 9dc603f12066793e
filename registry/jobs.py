"""The jobs of this room."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from jobservice.context import Context
from jobservice.job import Job, Queue, register
from registry.garbage import collection
from registry.garbage.collection import Wishes


@register
class GarbageCollection(Job):
    """A second one waits for the first: what two remove side by side would be counted by neither."""

    vendor_type = "GARBAGE_COLLECTION"
    queue = Queue.BULK
    # While an adoption is at work, it waits longer and longer.
    attempts = 10
    most_at_once = 1
    longest = timedelta(days=7)

    def run(self, ctx: Context, params: dict[str, Any]) -> None:
        collection.collect(ctx, Wishes(**params))
