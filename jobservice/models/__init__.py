"""What the job service remembers: executions, their tasks and logs, schedules, workers, and queues that are paused."""

from jobservice.models.execution import Execution
from jobservice.models.paused_queue import PausedQueue
from jobservice.models.schedule import Schedule
from jobservice.models.task import Task
from jobservice.models.task_log import TaskLog
from jobservice.models.upkeep_run import UpkeepRun
from jobservice.models.worker_pool import WorkerPool

__all__ = ["Execution", "PausedQueue", "Schedule", "Task", "TaskLog", "UpkeepRun", "WorkerPool"]
