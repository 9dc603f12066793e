"""What operations on jobs answer, for the document; as in `core.api.answers`."""

from __future__ import annotations

from datetime import datetime
from typing import Required, TypedDict


class ScheduleObject(TypedDict, total=False):
    type: Required[str]
    cron: str
    next_scheduled_time: datetime


class Schedule(TypedDict, total=False):
    """Empty when nothing is set."""

    id: int
    job_name: str
    job_kind: str
    job_parameters: str
    """A JSON document, as text."""
    schedule: ScheduleObject
    creation_time: datetime
    update_time: datetime


class History(TypedDict, total=False):
    id: Required[int]
    job_name: Required[str]
    job_kind: Required[str]
    job_parameters: Required[str]
    """A JSON document, as text."""
    schedule: Required[ScheduleObject]
    job_status: Required[str]
    creation_time: Required[datetime]
    update_time: Required[datetime]


class ScheduleTask(TypedDict, total=False):
    id: Required[int]
    vendor_type: Required[str]
    vendor_id: int
    cron: Required[str]
    update_time: Required[datetime]


class SchedulerStatus(TypedDict):
    paused: bool


class WorkerPool(TypedDict):
    worker_pool_id: str
    pid: int
    host: str
    concurrency: int
    start_at: datetime
    heartbeat_at: datetime


class Worker(TypedDict, total=False):
    """One that is idle has no job."""

    id: Required[str]
    pool_id: Required[str]
    job_name: str
    job_id: str
    start_at: datetime
    check_in: str
    checkin_at: datetime


class JobQueue(TypedDict, total=False):
    job_type: Required[str]
    count: int
    latency: int
    paused: Required[bool]


class Metrics(TypedDict, total=False):
    """How many tasks stand how; Harbor's words."""

    task_count: int
    success_task_count: int
    error_task_count: int
    pending_task_count: int
    running_task_count: int
    stopped_task_count: int


class Execution(TypedDict, total=False):
    """One run of a policy."""

    id: Required[int]
    vendor_type: Required[str]
    vendor_id: int
    status: Required[str]
    status_message: str
    metrics: Metrics
    trigger: Required[str]
    extra_attrs: object
    start_time: Required[datetime]
    end_time: datetime


class Task(TypedDict, total=False):
    """What one worker does of an execution."""

    id: Required[int]
    execution_id: Required[int]
    status: Required[str]
    status_message: str
    run_count: int
    extra_attrs: object
    creation_time: Required[datetime]
    update_time: Required[datetime]
    start_time: Required[datetime]
    end_time: datetime
