"""What of a project somebody reaches: everything, or what the tags of his membership lead to.

A tag leads to its artifact, an index to its parts, an artifact to whatever hangs on it (signatures, SBOMs,
anything with a `subject`), and all of them to their blobs; never the other way round. Accessory tags are
judged by their subject, not by their own name, so that patterns do not break cosign.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Count, Q, QuerySet
from django.db.models.expressions import RawSQL

from core import globs, oci
from projects.models import Artifact, Member, Project, Reference, Repository, Tag
from projects.models.project import TagScope
from projects.models.repository import RepositoryQuerySet
from rbac.access import Actor
from rbac.models import Robot, User

R = TypeVar("R", bound=QuerySet[Any])

# Whether a tag (joined to its repository) is one that a pattern names. Two arrays, entry by entry.
_NAMED = """
tag.deleted IS NULL AND tag.name !~ '^sha256-[0-9a-f]{64}(\\.(sig|att|sbom))?$' AND EXISTS (
    SELECT 1 FROM unnest(%s::text[], %s::text[]) AS pattern(repository, tag)
    WHERE repository.name ~ pattern.repository AND tag.name ~ pattern.tag
)
"""
# From the named tags down. Parameters: the arrays, the projects, and twice a repository or null for all of them.
_DOWN = f"""
WITH RECURSIVE named AS (
    SELECT tag.id, tag.artifact_id, tag.repository_id FROM projects_tag tag
    JOIN projects_repository repository ON repository.id = tag.repository_id AND repository.deleted IS NULL
    WHERE {_NAMED} AND repository.project_id = ANY(%s) AND (%s::bigint IS NULL OR repository.id = %s)
), reached(id, repository_id, digest) AS (
    SELECT artifact.id, artifact.repository_id, artifact.digest
    FROM named JOIN projects_artifact artifact ON artifact.id = named.artifact_id AND artifact.deleted IS NULL
    UNION
    SELECT artifact.id, artifact.repository_id, artifact.digest
    FROM reached CROSS JOIN LATERAL (
        SELECT part.id FROM projects_reference reference
        JOIN projects_artifact part
            ON part.repository_id = reached.repository_id AND part.digest = reference.digest
        WHERE reference.artifact_id = reached.id AND reference.kind = 'child'
        UNION ALL
        SELECT accessory.artifact_id FROM projects_accessory accessory
        WHERE accessory.repository_id = reached.repository_id AND accessory.subject_digest = reached.digest
    ) next
    JOIN projects_artifact artifact ON artifact.id = next.id AND artifact.deleted IS NULL
)
"""  # noqa: S608 - pieces of this file, and values are passed apart
_ARTIFACTS = f"{_DOWN} SELECT id FROM reached"  # noqa: S608
_REPOSITORIES = f"{_DOWN} SELECT repository_id FROM named"  # noqa: S608
_TAGS = f"""
{_DOWN}
SELECT id FROM named UNION ALL
SELECT tag.id FROM projects_tag tag
JOIN reached ON reached.repository_id = tag.repository_id AND reached.digest = 'sha256:' || substr(tag.name, 8, 64)
WHERE tag.deleted IS NULL AND tag.name ~ '^sha256-[0-9a-f]{{64}}(\\.(sig|att|sbom))?$'
"""  # noqa: S608
_IS_NAMED = """
SELECT EXISTS (
    SELECT 1 FROM unnest(%s::text[], %s::text[]) AS pattern(repository, tag)
    WHERE %s ~ pattern.repository AND %s ~ pattern.tag
)
"""
# From some manifests of one repository up to the first named tag; the same edges the other way round, so that
# judging one digest does not cost a walk over all of them. Parameters: repository, digests, repository three
# times, the arrays.
_UP = f"""
WITH RECURSIVE above(id, digest) AS (
    SELECT id, digest FROM projects_artifact WHERE repository_id = %s AND digest = ANY(%s) AND deleted IS NULL
    UNION
    SELECT artifact.id, artifact.digest
    FROM above CROSS JOIN LATERAL (
        SELECT reference.artifact_id AS id FROM projects_reference reference
        WHERE reference.repository_id = %s AND reference.digest = above.digest AND reference.kind = 'child'
        UNION ALL
        SELECT subject.id FROM projects_accessory accessory
        JOIN projects_artifact subject
            ON subject.repository_id = %s AND subject.digest = accessory.subject_digest
        WHERE accessory.artifact_id = above.id
    ) next
    JOIN projects_artifact artifact ON artifact.id = next.id AND artifact.deleted IS NULL
)
SELECT tag.name FROM above
JOIN projects_tag tag ON tag.artifact_id = above.id
JOIN projects_repository repository ON repository.id = %s AND repository.deleted IS NULL
WHERE {_NAMED} ORDER BY tag.name LIMIT 1
"""  # noqa: S608


@dataclass(frozen=True)
class Reach:
    """What one actor reaches of these projects. The methods leave everything as it is when nothing is limited."""

    project_ids: tuple[int, ...]
    patterns: tuple[tuple[str, str], ...] | None
    """Regular expressions for a repository's full name and a tag's; None: everything, empty: nothing."""

    @property
    def is_limited(self) -> bool:
        return self.patterns is not None

    def repositories(self, rows: R) -> R:
        """Those in which something is within reach."""
        return rows if self.patterns is None else rows.filter(pk__in=self._raw(_REPOSITORIES))

    def artifacts(self, rows: R, repository: Repository | None = None) -> R:
        """Those within reach; naming the repository that they are all of makes it quick."""
        return rows if self.patterns is None else rows.filter(pk__in=self._raw(_ARTIFACTS, repository))

    def tags(self, rows: R, repository: Repository | None = None) -> R:
        """Those that a pattern names, and accessory tags of what they lead to."""
        return rows if self.patterns is None else rows.filter(pk__in=self._raw(_TAGS, repository))

    def has_repository(self, repository: Repository) -> bool:
        """Whether anything in the repository is within reach."""
        if self.patterns is None:
            return True
        itself = Repository.objects.filter(pk=repository.pk)
        return itself.filter(pk__in=self._raw(_REPOSITORIES, repository)).exists()

    def has_tag(self, repository: Repository, name: str) -> bool:
        """Whether a live tag of this name would be within reach."""
        if self.patterns is None:
            return True
        if subject := oci.accessory_subject(name):
            return self.has_manifest(repository, subject)
        with connection.cursor() as cursor:
            cursor.execute(_IS_NAMED, [*self._arrays(), repository.name, name])
            return bool(cursor.fetchone()[0])

    def has_manifest(self, repository: Repository, digest: str) -> bool:
        """Whether a live artifact of the repository is within reach by its digest."""
        return self.patterns is None or self.named_tag_above(repository, [digest]) is not None

    def has_blob(self, repository: Repository, digest: str) -> bool:
        """Whether a manifest within reach refers to the blob."""
        if self.patterns is None:
            return True
        kinds = (Reference.Kind.CONFIG, Reference.Kind.LAYER)
        users = Reference.objects.live().filter(repository=repository, digest=digest, kind__in=kinds)
        manifests = users.values_list("artifact__manifest_id", flat=True).distinct()
        return self.named_tag_above(repository, manifests) is not None

    def named_tag_above(self, repository: Repository, digests: Iterable[str]) -> str | None:
        """A tag named by a pattern that leads to one of these manifests; None when there is none."""
        wanted = list(digests)
        if not wanted or repository.project_id not in self.project_ids:
            return None
        place = repository.pk
        with connection.cursor() as cursor:
            cursor.execute(_UP, [place, wanted, place, place, place, *self._arrays()])
            row = cursor.fetchone()
        return str(row[0]) if row else None

    def _raw(self, sql: str, repository: Repository | None = None) -> RawSQL:
        place = repository.pk if repository else None
        return RawSQL(sql, [*self._arrays(), list(self.project_ids), place, place])  # noqa: S611 - values are passed apart

    def _arrays(self) -> list[list[str]]:
        pairs = self.patterns or ()
        return [[repository for repository, _ in pairs], [tag for _, tag in pairs]]


def of(actor: Actor, project: Project) -> Reach:
    """What an actor reaches of a project that he may read at all."""
    if actor.is_sysadmin or project.public or isinstance(actor, Robot):
        return Reach((project.pk,), None)
    if not isinstance(actor, User):
        return Reach((project.pk,), ())
    return _limited({project.pk: project.name}, actor) or Reach((project.pk,), None)


def limited(actor: Actor, projects: Iterable[Project] | None = None) -> Reach:
    """What an actor reaches of those (or of these) projects where some tags are all that he has."""
    if actor.is_sysadmin or not isinstance(actor, User):
        return Reach((), ())
    mine = Project.objects.live().of_member(actor) if projects is None else projects
    return _limited({project.pk: project.name for project in mine if not project.public}, actor) or Reach((), ())


def visible_repositories(actor: Actor) -> RepositoryQuerySet:
    """Live repositories that an actor may know of, in all projects that he may know of."""
    rows: RepositoryQuerySet = Repository.objects.live().filter(project__in=Project.objects.visible_to(actor))
    some = limited(actor)
    if not some.project_ids:
        return rows
    return rows.filter(~Q(project__in=some.project_ids) | Q(pk__in=some.repositories(Repository.objects.all())))


def recount_repositories(projects: Sequence[Project], actor: Actor) -> None:
    """Correct `repo_count` of each project where the actor is limited."""
    some = limited(actor, projects)
    if some.project_ids:
        rows = some.repositories(Repository.objects.live()).order_by().values("project_id")
        counts = dict(rows.annotate(number=Count("pk")).values_list("project_id", "number"))
        for project in projects:
            if project.pk in some.project_ids:
                vars(project)["repo_count"] = counts.get(project.pk, 0)


def recount_artifacts(repositories: Sequence[Repository], actor: Actor) -> None:
    """Correct `artifact_count` of each repository whose project limits the actor; they come with their project."""
    some = limited(actor, {repository.project for repository in repositories})
    if some.project_ids:
        listed = Artifact.objects.listed(some.tags(Tag.objects.live()))
        listed = listed.filter(repository__in=[row.pk for row in repositories])
        rows = some.artifacts(listed).order_by().values("repository_id")
        counts = dict(rows.annotate(number=Count("pk")).values_list("repository_id", "number"))
        for repository in repositories:
            if repository.project_id in some.project_ids:
                vars(repository)["artifact_count"] = counts.get(repository.pk, 0)


def patterns_of(project_name: str, scope: TagScope) -> Iterator[tuple[str, str]]:
    """A scope's tag patterns one by one, each with its repository's."""
    for entry in scope:
        name = f"^{re.escape(project_name)}/{globs.regex(entry['repository']).removeprefix('^')}"
        yield from ((name, globs.regex(tag)) for tag in entry["tags"])


def _limited(names: Mapping[int, str], user: User) -> Reach | None:
    """What a user reaches of the projects among these (id → name) that limit him; None when none does.

    One membership without a scope opens everything; no membership at all opens nothing.
    """
    scopes: dict[int, list[TagScope | None]] = {project_id: [] for project_id in names}
    rows = Member.objects.of(user).filter(project__in=names)
    for project_id, scope in rows.order_by("pk").values_list("project_id", "tag_scope"):
        scopes[project_id].append(scope)
    some = {project_id: mine for project_id, mine in scopes.items() if None not in mine}
    if not some:
        return None
    pairs = (patterns_of(names[key], scope) for key, mine in some.items() for scope in mine if scope is not None)
    return Reach(tuple(some), tuple(chain.from_iterable(pairs)))
