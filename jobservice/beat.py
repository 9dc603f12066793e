"""The clock's scheduler for `celery beat`: schedules from the database, upkeep from the code."""

from __future__ import annotations

from typing import Any

from celery.beat import ScheduleEntry
from django_celery_beat.schedulers import DatabaseScheduler


class Scheduler(DatabaseScheduler):  # type: ignore[misc]
    """django-celery-beat's, but what the code declares stays in memory.

    It is measured by a clock that never jumps (see tasks.py), and the wall-clock time of the last bell in the database
    would silence every beat for as long as one machine's clock was ahead.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._upkeep: dict[str, ScheduleEntry] = {}
        super().__init__(*args, **kwargs)

    def install_default_entries(self, data: Any) -> None:
        """None: Celery's clean-up of results is for a result store, and there is none."""

    def update_from_dict(self, mapping: dict[str, Any]) -> None:
        self._upkeep = {name: self._in_memory(name, entry) for name, entry in mapping.items()}
        self.schedule.update(self._upkeep)

    def all_as_schedule(self) -> dict[str, Any]:
        return {**super().all_as_schedule(), **self._upkeep}

    def reserve(self, entry: Any) -> Any:
        if entry.name not in self._upkeep:
            return super().reserve(entry)
        self._upkeep[entry.name] = self.schedule[entry.name] = next(entry)
        return self._upkeep[entry.name]

    def _in_memory(self, name: str, entry: dict[str, Any]) -> ScheduleEntry:
        return ScheduleEntry(**{**entry, "name": name, "app": self.app})
