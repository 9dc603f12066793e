"""Search: the projects and repositories that somebody may list and whose name holds a word."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import QuerySet
from django.db.models.functions import Length

from projects import reach
from projects.models import Project, Repository
from rbac.access import Actor

R = TypeVar("R", bound=QuerySet[Any])
# Of each kind.
MOST = 100


def projects(*, word: str, actor: Actor) -> list[Project]:
    """At most MOST projects, each `with_details`; capitals do not matter."""
    rows = Project.objects.listable_by(actor).with_details()
    return list(_closest(rows, word))


def repositories(*, word: str, actor: Actor) -> list[Repository]:
    """At most MOST repositories, found by their name with the project's, each with its project and `artifact_count`."""
    rows = reach.listable_repositories(actor).select_related("project").with_artifact_count()
    return list(_closest(rows, word))


def _closest(rows: R, word: str) -> R:
    """The shortest first: a name that is the word itself is found, however many hold it."""
    return rows.filter(name__icontains=word).order_by(Length("name"), "name", "pk")[:MOST]
