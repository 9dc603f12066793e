"""A task: what one worker does at a time. The row is the truth about it; Celery is only the bell."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models import Exists, Min, OuterRef, Q, Subquery
from django.db.models.functions import Now

from core.partitions import monthly
from jobservice.models.paused_queue import PausedQueue
from jobservice.status import UNFINISHED, Status

MONTHS = monthly("job_task", column="creation_time")


class TaskQuerySet(models.QuerySet["Task"]):
    def unfinished(self) -> TaskQuerySet:
        return self.filter(status__in=UNFINISHED)

    def pending(self) -> TaskQuerySet:
        return self.filter(status=Status.PENDING)

    def running(self) -> TaskQuerySet:
        return self.filter(status=Status.RUNNING)

    def ready(self) -> TaskQuerySet:
        """Those that may begin, as far as they know: due, of no paused queue, and the first of their series."""
        paused = PausedQueue.objects.filter(job_type=OuterRef("vendor_type"))
        # One look at the index for each; as NOT EXISTS it would be a join of each with all others of a long series.
        head = Subquery(Task.objects.first_of(OuterRef("series")).values("id"))
        return self.pending().filter(~Exists(paused), Q(series="") | Q(id=head), due__lte=Now())

    def first_of(self, series: str | OuterRef) -> TaskQuerySet:
        """The unfinished task of a series that is or will be the next."""
        return self.unfinished().filter(series=series).exclude(series="").order_by("id")[:1]

    def firsts(self) -> models.QuerySet[Task, Any]:
        """The ids of those of every series, at the cost of one look at all that is unfinished."""
        return self.unfinished().exclude(series="").values("series").annotate(first=Min("id")).values("first")

    def held(self, task: Task) -> TaskQuerySet:
        """The task, as long as this attempt is the one that runs it."""
        return self.filter(pk=task.pk, status=Status.RUNNING, run_count=task.run_count)


class Task(models.Model):
    """Partitioned by month like the execution it belongs to."""

    pk = models.CompositePrimaryKey("id", "creation_time")
    id = models.BigIntegerField(db_default=models.expressions.RawSQL("nextval('job_task_id_seq')", []))
    creation_time = models.DateTimeField(db_default=Now())
    execution_id = models.BigIntegerField()
    vendor_type = models.CharField(max_length=64)
    job_id = models.UUIDField(default=uuid.uuid4)
    """What the job service's own API calls it."""
    queue = models.CharField(max_length=16)
    series = models.CharField(max_length=128, blank=True)
    """Tasks of one series run one at a time, in order; '' belongs to none."""
    params = models.JSONField(default=dict)
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    status_message = models.TextField(blank=True)
    run_count = models.IntegerField(default=0)
    """How often it was begun; the attempt that runs it knows itself by this number."""
    failures = models.IntegerField(db_default=0)
    """How many tries failed by themselves."""
    deaths = models.IntegerField(db_default=0)
    """How many tries in a row ended with their worker, and no state was saved that the one before had not."""
    due = models.DateTimeField(db_default=Now())
    """Not to be run before."""
    rung = models.DateTimeField(db_default=Now())
    """When the workers were last told of it."""
    lease = models.DateTimeField(null=True)
    """Until when its worker counts as alive."""
    worker = models.CharField(max_length=255, blank=True)
    """`pool/pid` of the process that runs it."""
    is_stop_asked = models.BooleanField(default=False)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    state = models.JSONField(default=dict)
    """What an attempt left for the next one."""
    extra_attrs = models.JSONField(default=dict)
    update_time = models.DateTimeField(db_default=Now())
    start_time = models.DateTimeField(null=True)
    end_time = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Task]] = TaskQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "job_task"

    def __str__(self) -> str:
        return f"{self.vendor_type} task #{self.id}: {self.status}"

    @property
    def is_final(self) -> bool:
        return self.status not in UNFINISHED
