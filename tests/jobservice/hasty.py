"""The platform's Celery in a hurry, for `celery -A`: leases of seconds, and clocks that ring each second."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import django

django.setup()

from core.celery import app as app  # noqa: E402
from jobservice import claims, context, periodic, sweep, workers  # noqa: E402
from tests.jobservice import jobs as jobs  # noqa: E402

SECOND = timedelta(seconds=1)
WANTED = ("look_after_tasks", "fire_schedules")

context.HEARTBEAT_SECONDS = 0.5
context.GRACE_SECONDS = 1.0
claims.LEASE = 3 * SECOND
workers.HEARTBEAT = SECOND
workers.END_WITHIN = 3 * SECOND
sweep.UNHEARD_AFTER = sweep.UNHEARD_IN_A_QUEUE_AFTER = 2 * SECOND
for name, upkeep in list(periodic.UPKEEP.items()):
    if name.rpartition(".")[2] in WANTED:
        periodic.UPKEEP[name] = replace(upkeep, interval=SECOND)
    else:
        del periodic.UPKEEP[name]
