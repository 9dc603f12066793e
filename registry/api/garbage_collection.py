"""/system/gc, as in Harbor: garbage collection started, scheduled, looked at and stopped."""

from __future__ import annotations

from typing import Any

from jobservice.api.parameters import flag, number, refuse_others
from jobservice.api.runs import JobRuns, JobSchedule
from registry.jobs import GarbageCollection

MOST_WORKERS = 10
_FLAGS = ("delete_untagged", "dry_run", "audit")


class GarbageCollectionSchedule(JobSchedule):
    resource = "garbage-collection"
    job = GarbageCollection

    def parameters(self, given: dict[str, Any]) -> dict[str, Any]:
        """Harbor's `delete_untagged`, `dry_run` and `workers`, and ours: `audit` and `removals_per_second`."""
        refuse_others(given, (*_FLAGS, "workers", "removals_per_second"))
        params: dict[str, Any] = {name: flag(given, name) for name in _FLAGS}
        params["workers"] = number(given, "workers", 1, 1, MOST_WORKERS)
        params["removals_per_second"] = number(given, "removals_per_second", 0, 0, 1_000_000)
        return params


class GarbageCollectionRuns(JobRuns):
    resource = "garbage-collection"
    job = GarbageCollection
