"""What this room needs done by the clock."""

from __future__ import annotations

import time
from datetime import timedelta

import structlog

from core import clock, errors
from jobservice.periodic import every
from projects import links, pulls, storage_figures
from projects.models import Project, Reference, RepositoryBlob

log = structlog.get_logger(__name__)
# A minute, for all that deletions left of large projects: somebody who looks at a screen may wait for this process.
_REMOVAL_SECONDS = 20.0


@every(pulls.FOLD_EVERY)
def fold_pulls() -> None:
    pulls.fold()


@every(timedelta(minutes=10))
def drop_expired_attempts() -> None:
    """Pushes that died: what they announced is no longer kept for them."""
    dropped, _ = Reference.objects.pending().filter(expires__lt=clock.now()).delete()
    if dropped:
        log.info("expired_attempts_dropped", rows=dropped)


@every(timedelta(hours=6))
def record_storage_figures() -> None:
    """Several times a day, so that a platform that was off at night has its day all the same."""
    storage_figures.record()


@every(timedelta(minutes=1))
def remove_links_of_deleted_projects() -> None:
    """Finish what deletions began and could not end, or as much of it as there is time for; the next minute goes on."""
    until = time.monotonic() + _REMOVAL_SECONDS
    left = RepositoryBlob.objects.filter(repository__project__deleted__isnull=False)
    for project in Project.objects.filter(pk__in=left.values("repository__project_id")).order_by("deleted"):
        try:
            links.remove_links_of(project=project, seconds=until - time.monotonic())
        except errors.Unavailable:
            log.warning("links_of_deleted_project_left", project=project.name)
            return
        if time.monotonic() > until:
            return
