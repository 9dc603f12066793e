"""Projects and repositories, as every request of a client asks for them: by prepared statements."""

from __future__ import annotations

from core.postgres.prepared import Finder
from projects.models import Project, Quota, Repository

project_named = Finder(Project, "text", "name = $1 AND deleted IS NULL").one
projects_named = Finder(Project, "text[]", "name = ANY($1) AND deleted IS NULL").all
quota_of = Finder(Quota, "bigint", "project_id = $1").one
locked_quota_of = Finder(Quota, "bigint", "project_id = $1 FOR UPDATE").one
_repository_of = Finder(Repository, "bigint, text", "project_id = $1 AND name = $2").one


def repository_of(project: Project, name: str) -> Repository | None:
    """A project's repository of this full name, live or not."""
    repository = _repository_of(project.pk, name)
    if repository is not None:
        repository.project = project
    return repository
