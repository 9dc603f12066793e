"""What the job service is at, for those who look after the system: queues, workers, executions and their logs."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from jobservice import finders, queues, relay, workers
from jobservice.job import JOBS
from jobservice.models import Execution, Task, WorkerPool
from rbac.access import allowed
from web import live, logs
from web.lists import page_of
from web.visible import actor_of

# A page that asks every two seconds must not count what months of webhooks have left behind.
SHOWN_EXECUTIONS = 1000


@dataclass(frozen=True)
class Program:
    """A worker program, and how many of its processes are busy."""

    pool: WorkerPool
    busy: int


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Queues, workers, executions, and events that nobody heard of; the part of it that lives, when htmx asks."""
    _or_404(request)
    running = list(Task.objects.running().order_by("id"))
    kind = request.GET.get("kind", "")
    page = page_of(request, _executions(kind).values_list("id", flat=True)[:SHOWN_EXECUTIONS])
    context = {
        "queues": [queue for queue in queues.all_of_them() if queue.count or queue.is_paused],
        "programs": [
            Program(pool, sum(task.worker.rpartition("/")[0] == pool.pool_id for task in running))
            for pool in workers.present()
        ],
        "running": running,
        "untold": relay.untold().count(),
        "kinds": sorted(JOBS),
        "kind": kind,
        "page": page,
        "executions": Execution.objects.with_standing().filter(id__in=list(page)).order_by("-id"),
        "is_whole": page.paginator.count < SHOWN_EXECUTIONS,
        "most": SHOWN_EXECUTIONS,
    }
    return live.render(request, "web/jobs.html", "web/_jobs.html", context)


@require_safe
def one(request: HttpRequest, number: int) -> HttpResponse:
    """An execution with its tasks and the end of their logs."""
    _or_404(request)
    execution = finders.find_execution(Execution.objects.with_standing(), number)
    tasks = page_of(request, Task.objects.filter(execution_id=number).order_by("id"))
    text, is_whole = logs.end_of([task.id for task in tasks])
    is_final = execution.end_time is not None
    context = {"execution": execution, "page": tasks, "log": text, "is_whole": is_whole, "is_final": is_final}
    return live.render(request, "web/job.html", "web/_job.html", context, is_final=is_final)


def _executions(kind: str) -> QuerySet[Execution]:
    """The latest first, by the number that has an index; of one kind, or of all."""
    found = Execution.objects.order_by("-id")
    return found.filter(vendor_type=kind) if kind in JOBS else found


def _or_404(request: HttpRequest) -> None:
    if not allowed(actor_of(request), "jobservice-monitor", "list"):
        raise Http404
