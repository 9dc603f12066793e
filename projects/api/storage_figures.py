"""/statistics/storage, for the platform and for a project: what is stored, what sharing saves, and how that grew."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from core import clock, errors
from core.api.operations import operation
from core.api.resource import Resource
from projects import storage_figures
from projects.api import answers
from projects.api.parents import NUMBER, InProject
from projects.models import StorageFigure
from projects.storage_figures import Figures

DEFAULT_DAYS, MOST_DAYS = 30, 366


class PlatformStorage(Resource):
    """Of all projects together."""

    resource = "quota"

    @operation("Read what is stored and what sharing saves", gives=answers.StorageFigures, query={"days": int})
    def retrieve(self, request: Request) -> Response:
        return Response(as_json(storage_figures.of_platform(), StorageFigure.objects.filter(project=None), request))


class ProjectStorage(InProject):
    """Of one project."""

    resource = "quota"

    @operation("Read what a project stores and what sharing saves", gives=answers.StorageFigures, query={"days": int})
    def retrieve(self, request: Request, project_name_or_id: str) -> Response:
        project = self.get_project()
        recorded = StorageFigure.objects.filter(project=project)
        return Response(as_json(storage_figures.of_project(project), recorded, request))


def as_json(now: Figures, recorded: QuerySet[StorageFigure], request: Request) -> dict[str, Any]:
    """Bytes now, and by the day as far back as `days` says."""
    since = clock.now().date() - timedelta(days=_days(request))
    return {
        "logical": now.logical,
        "stored": now.stored,
        "saved": now.saved,
        "history": [
            {"date": figure.day.isoformat(), "logical": figure.logical, "stored": figure.stored}
            for figure in recorded.filter(day__gt=since).order_by("day")
        ],
    }


def _days(request: Request) -> int:
    text = request.query_params.get("days", str(DEFAULT_DAYS))
    if not NUMBER.fullmatch(text) or not 1 <= int(text) <= MOST_DAYS:
        raise errors.BadRequest(f"days must be a whole number from 1 to {MOST_DAYS}")
    return int(text)
