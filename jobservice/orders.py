"""What people order: start a job now, stop it, let it run by the clock. Each is in the audit log."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from core.events import emit
from jobservice import schedules, service
from jobservice.events import JobStarted, JobStopped, RunningJobsStopped, ScheduleRemoved, ScheduleSet
from jobservice.job import Job
from jobservice.models import Execution, Schedule, Task
from jobservice.status import UNFINISHED, Trigger


def start(job: type[Job], *, params: dict[str, Any], actor: str) -> Execution:
    """Have a job of the system's done now."""
    with transaction.atomic():
        execution = service.submit(job, trigger=Trigger.MANUAL, params=params, extra_attrs=params)
        emit(JobStarted(actor=actor, job=job.vendor_type, execution=execution.id))
    return execution


def stop(execution: Execution, *, actor: str) -> None:
    """End an execution; nothing to do when it has ended."""
    if execution.status not in UNFINISHED:
        return
    with transaction.atomic():
        service.stop(execution)
        emit(JobStopped(actor=actor, job=execution.vendor_type, execution=execution.id))


def stop_task(task: Task, *, actor: str) -> None:
    """The same for one task of it."""
    if task.is_final:
        return
    with transaction.atomic():
        service.stop_task(task)
        emit(JobStopped(actor=actor, job=task.vendor_type, execution=task.execution_id))


def stop_running(*, actor: str) -> None:
    """End everything that runs, of whatever kind."""
    with transaction.atomic():
        service.stop_running()
        emit(RunningJobsStopped(actor=actor, job="all"))


def schedule(job: type[Job], *, kind: Schedule.Kind, cron: str, params: dict[str, Any], actor: str) -> Schedule:
    """Let a job of the system's run by the clock. BadRequest when `cron` is none."""
    with transaction.atomic():
        made = schedules.put(vendor_type=job.vendor_type, kind=kind, at=cron, params=params)
        emit(ScheduleSet(actor=actor, job=job.vendor_type, cron=cron))
    return made


def unschedule(job: type[Job], *, actor: str) -> None:
    """Let it not run by the clock any more."""
    with transaction.atomic():
        if schedules.find(vendor_type=job.vendor_type):
            schedules.remove(vendor_type=job.vendor_type)
            emit(ScheduleRemoved(actor=actor, job=job.vendor_type))
