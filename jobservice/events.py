"""What people order of the job service. What it does by itself is in the executions, not in the audit log."""

from __future__ import annotations

from dataclasses import dataclass

from core.events import Event


@dataclass(frozen=True, kw_only=True)
class JobEvent(Event):
    resource_type = "job"

    job: str
    """Its vendor type, such as GARBAGE_COLLECTION."""

    @property
    def resource(self) -> str:
        return self.job


@dataclass(frozen=True, kw_only=True)
class JobStarted(JobEvent):
    topic = "CREATE_JOB"
    operation = "create"

    execution: int

    @property
    def details(self) -> str:
        return f"execution {self.execution}"


@dataclass(frozen=True, kw_only=True)
class JobStopped(JobEvent):
    topic = "STOP_JOB"
    operation = "stop"

    execution: int

    @property
    def details(self) -> str:
        return f"execution {self.execution}"


@dataclass(frozen=True, kw_only=True)
class RunningJobsStopped(JobEvent):
    """Everything that ran; `job` is `all`."""

    topic = "STOP_RUNNING_JOBS"
    operation = "stop"


@dataclass(frozen=True, kw_only=True)
class ScheduleSet(JobEvent):
    topic = "UPDATE_SCHEDULE"
    operation = "update"
    resource_type = "schedule"

    cron: str

    @property
    def details(self) -> str:
        return self.cron


@dataclass(frozen=True, kw_only=True)
class ScheduleRemoved(JobEvent):
    topic = "DELETE_SCHEDULE"
    operation = "delete"
    resource_type = "schedule"


@dataclass(frozen=True, kw_only=True)
class QueueEvent(JobEvent):
    """`job` is SCHEDULER for all schedules."""

    resource_type = "queue"


@dataclass(frozen=True, kw_only=True)
class QueuePaused(QueueEvent):
    topic = "PAUSE_QUEUE"
    operation = "pause"


@dataclass(frozen=True, kw_only=True)
class QueueResumed(QueueEvent):
    topic = "RESUME_QUEUE"
    operation = "resume"


@dataclass(frozen=True, kw_only=True)
class QueueEmptied(QueueEvent):
    """What waited in it never ran."""

    topic = "STOP_QUEUE"
    operation = "stop"
