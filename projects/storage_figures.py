"""What is stored, and what sharing saves: the artifacts' bytes as people see them against what lies in the store.

Layers that several images have are there once. A project's stored bytes are its quota's use; the platform's are those
of the store, in which projects share as well, and what garbage collection has not yet taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from django.db import connection, transaction
from django.db.models import QuerySet, Sum

from core import clock
from projects import statistics
from projects.models import Artifact, Project, Quota, StorageFigure

# Projects without a single artifact have no figure, and need none.
_FORGET = "DELETE FROM projects_storagefigure WHERE day = %(day)s AND project_id IS NOT NULL"
_RECORD = """
INSERT INTO projects_storagefigure (day, project_id, logical, stored)
SELECT %(day)s, project.id, sum(artifact.size), max(quota.used)
FROM projects_artifact artifact
JOIN projects_repository repository ON repository.id = artifact.repository_id AND repository.deleted IS NULL
JOIN projects_project project ON project.id = repository.project_id AND project.deleted IS NULL
JOIN projects_quota quota ON quota.project_id = project.id
WHERE artifact.deleted IS NULL GROUP BY project.id
"""


@dataclass(frozen=True)
class Figures:
    """Bytes."""

    logical: int
    stored: int

    @property
    def saved(self) -> int:
        """What sharing saves."""
        return max(0, self.logical - self.stored)


def of_platform() -> Figures:
    """Now, of all projects together."""
    return Figures(_logical(Artifact.objects.live()), statistics.stored_bytes())


def of_project(project: Project) -> Figures:
    """Now, of one project."""
    used = Quota.objects.filter(project=project).values_list("used", flat=True).first() or 0
    return Figures(_logical(Artifact.objects.live().filter(repository__project=project)), used)


def record(day: date | None = None) -> None:
    """Write today's figures down, in place of those that were written earlier today."""
    day = day or clock.now().date()
    now = of_platform()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_FORGET, {"day": day})
        cursor.execute(_RECORD, {"day": day})
        StorageFigure.objects.update_or_create(
            day=day, project=None, defaults={"logical": now.logical, "stored": now.stored}
        )


def _logical(artifacts: QuerySet[Artifact]) -> int:
    live = artifacts.filter(repository__deleted__isnull=True, repository__project__deleted__isnull=True)
    return int(live.aggregate(total=Sum("size"))["total"] or 0)
