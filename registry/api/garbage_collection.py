"""/system/gc, as in Harbor: garbage collection started, scheduled, looked at and stopped."""

from __future__ import annotations

from typing import Any

from core import errors
from jobservice.api.runs import JobRuns, JobSchedule
from registry.jobs import GarbageCollection

MOST_WORKERS = 10


class GarbageCollectionSchedule(JobSchedule):
    resource = "garbage-collection"
    job = GarbageCollection

    def parameters(self, given: dict[str, Any]) -> dict[str, Any]:
        """Harbor's `delete_untagged`, `dry_run` and `workers`, and ours: `audit` and `removals_per_second`."""
        params: dict[str, Any] = {name: _flag(given, name) for name in ("delete_untagged", "dry_run", "audit")}
        params["workers"] = _number(given, "workers", 1, 1, MOST_WORKERS)
        params["removals_per_second"] = _number(given, "removals_per_second", 0, 0, 1_000_000)
        return params


class GarbageCollectionRuns(JobRuns):
    resource = "garbage-collection"
    job = GarbageCollection


def _flag(given: dict[str, Any], name: str) -> bool:
    value = given.get(name) or False
    if not isinstance(value, bool):
        raise errors.BadRequest(f"parameters.{name} must be true or false")
    return value


def _number(given: dict[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = given.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise errors.BadRequest(f"parameters.{name} must be a whole number from {least} to {most}")
    return value
