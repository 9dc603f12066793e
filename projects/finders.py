"""Projects and repositories, as every request of a client asks for them: by prepared statements."""

from __future__ import annotations

from core.oci import RepositoryName
from core.postgres.prepared import Columns, Finder, Statement
from projects.models import Project, Quota, Repository

projects_named = Finder(Project, "text[]", "name = ANY($1) AND deleted IS NULL").all
locked_quota_of = Finder(Quota, "bigint", "project_id = $1 FOR UPDATE").one
_repository_of = Finder(Repository, "bigint, text", "project_id = $1 AND name = $2").one


def repository_of(project: Project, name: str) -> Repository | None:
    """A project's repository of this full name, live or not."""
    repository = _repository_of(project.pk, name)
    if repository is not None:
        repository.project = project
    return repository


_PROJECT, _QUOTA, _REPOSITORY = (
    Columns(Project, "project"),
    Columns(Quota, "quota"),
    Columns(Repository, "repository"),
)
# Each request of a push asks for all three.
_PLACE = Statement(
    "text, text",
    f"""
    SELECT {_PROJECT.sql}, {_QUOTA.sql}, {_REPOSITORY.sql} FROM projects_project project
    LEFT JOIN projects_quota quota ON quota.project_id = project.id
    LEFT JOIN projects_repository repository ON repository.project_id = project.id AND repository.name = $2
    WHERE project.name = $1 AND project.deleted IS NULL
    """,  # noqa: S608 - columns of our own
)


def place(name: RepositoryName) -> tuple[Project, Repository | None] | None:
    """A live project, with its quota at hand, and its repository of this name, live or not."""
    row = _PLACE.row(name.project, str(name))
    if row is None:
        return None
    project = _PROJECT.instance(row[: _PROJECT.count])
    quota, repository = row[_PROJECT.count : -_REPOSITORY.count], row[-_REPOSITORY.count :]
    if quota[0] is not None:
        project.quota = _QUOTA.instance(quota)
    if repository[0] is None:
        return project, None
    found = _REPOSITORY.instance(repository)
    found.project = project
    return project, found
