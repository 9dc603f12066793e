"""What this room needs done by the clock."""

from __future__ import annotations

from datetime import timedelta

import structlog

from core import clock, errors
from jobservice.periodic import every
from projects import links, pulls, storage_figures
from projects.models import Project, Reference, RepositoryBlob

log = structlog.get_logger(__name__)
# For what a deletion left of a large project. Then others get a turn.
_REMOVAL_SECONDS = 300.0


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
    """Finish what a deletion began and could not end."""
    left = RepositoryBlob.objects.filter(repository__project__deleted__isnull=False)
    for project in Project.objects.filter(pk__in=left.values("repository__project_id").distinct()):
        try:
            links.remove_links_of(project=project, seconds=_REMOVAL_SECONDS)
        except errors.Unavailable:
            log.warning("links_of_deleted_project_left", project=project.name)
            return
