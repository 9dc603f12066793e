"""Projects and repositories, as every request of a client asks for them: by prepared statements."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from core.oci import RepositoryName
from core.postgres.prepared import Columns, Finder, Statement
from projects.models import Project, Quota, Repository
from projects.models.project import MEMBERSHIPS
from rbac.access import Actor
from rbac.models import User
from rbac.roles import Role

locked_quota_of = Finder(Quota, "bigint", "project_id = $1 FOR UPDATE").one
_repository_of = Finder(Repository, "bigint, text", "project_id = $1 AND name = $2").one


def repository_of(project: Project, name: str) -> Repository | None:
    """A project's repository of this full name, live or not."""
    repository = _repository_of(project.pk, name)
    if repository is not None:
        repository.project = project
    return repository


@dataclass
class Standing:
    """A live project as one actor stands in it: a `rbac.access.Place` that has its answers at hand."""

    pk: int
    name: str
    public: bool
    roles: frozenset[Role]
    has_tags: bool

    def roles_of(self, user: User) -> frozenset[Role]:
        return self.roles

    def has_tags_for(self, user: User) -> bool:
        return self.has_tags


# Asked for every token.
_STANDINGS = Statement(
    "text[], bigint",
    f"""
    SELECT project.id, project.name, project.public, mine.roles, mine.has_tags FROM projects_project project,
    LATERAL (
        SELECT array_agg(role) FILTER (WHERE tag_scope IS NULL) AS roles,
               bool_or(tag_scope IS NOT NULL) AS has_tags
        FROM ({MEMBERSHIPS.replace("$1", "project.id")}) memberships
    ) mine
    WHERE project.name = ANY($1) AND project.deleted IS NULL
    """,  # noqa: S608 - a statement of our own
)


def standings(names: Collection[str], actor: Actor) -> dict[str, Standing]:
    """Name → the live project of this name, and what the actor is there."""
    if not names:
        return {}
    rows = _STANDINGS.rows(sorted(names), actor.pk if isinstance(actor, User) else None)
    return {
        name: Standing(pk, name, public, frozenset(map(Role, roles or ())), bool(has_tags))
        for pk, name, public, roles, has_tags in rows
    }


# Each request of a push asks for all three, and for no more of them.
_PROJECT = Columns(Project, "project", without=("metadata", "owner_id", "created", "updated"))
_QUOTA = Columns(Quota, "quota", without=("project_id", "updated"))
_REPOSITORY = Columns(Repository, "repository", without=("description", "pull_count", "created", "updated"))
_PROJECTS_QUOTA = Quota._meta.get_field("project").remote_field
_REPOSITORYS_PROJECT = Repository._meta.get_field("project")
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
        # As select_related does it: an assignment would look at both sides first.
        _PROJECTS_QUOTA.set_cached_value(project, _QUOTA.instance(quota))
    if repository[0] is None:
        return project, None
    found = _REPOSITORY.instance(repository)
    _REPOSITORYS_PROJECT.set_cached_value(found, project)
    return project, found
