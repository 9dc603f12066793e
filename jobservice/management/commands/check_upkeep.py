"""`manage.py check_upkeep`: does the clock still ring, and is it heard?"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Max

from core import clock
from jobservice.models import UpkeepRun

# The most frequent upkeep runs every minute.
MOST_SILENCE = timedelta(minutes=10)


class Command(BaseCommand):
    help = "Exit code 1 when no upkeep has run for ten minutes: then beat does not ring, or no worker hears it."

    def handle(self, *args: Any, **options: Any) -> None:
        last = UpkeepRun.objects.aggregate(last=Max("began"))["last"]
        if last is None or clock.now() - last > MOST_SILENCE:
            raise CommandError(f"no upkeep has run since {last or 'the start'}: is beat there, and a worker?")
