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

# The repositories that the patterns name, each with the tag patterns that count there. The laterals hold the planner
# to: each regular expression compiled once, each repository's tags read once. Parameters: the arrays, the projects,
# and twice a repository or null for all of them.
_PLACES = """
SELECT repository.id, string_to_array(string_agg(entry.tags, ' '), ' ') AS tags
FROM unnest(%s::text[], %s::text[]) AS entry(repository, tags) CROSS JOIN LATERAL (
    SELECT id FROM projects_repository
    WHERE project_id = ANY(%s) AND (%s::bigint IS NULL OR id = %s) AND deleted IS NULL AND name ~ entry.repository
    OFFSET 0
) repository
GROUP BY repository.id
"""
_IS_NAMED = "deleted IS NULL AND name LIKE ANY(place.tags) AND name !~ '^sha256-[0-9a-f]{64}(\\.(sig|att|sbom))?$'"
_NAMED = f"""
SELECT tag.id, tag.artifact_id, tag.repository_id, tag.name FROM place CROSS JOIN LATERAL (
    SELECT * FROM projects_tag WHERE repository_id = place.id AND {_IS_NAMED} OFFSET 0
) tag
"""  # noqa: S608 - pieces of this file, and values are passed apart
# From the named tags down. Parameters: those of the places.
_DOWN = f"""
WITH RECURSIVE place AS ({_PLACES}), named AS ({_NAMED}), reached(id, repository_id, digest) AS (
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
"""  # noqa: S608
_ARTIFACTS = f"{_DOWN} SELECT id FROM reached"  # noqa: S608
_TAGS = f"""
{_DOWN}
SELECT id FROM named UNION ALL
SELECT tag.id FROM projects_tag tag
JOIN reached ON reached.repository_id = tag.repository_id AND reached.digest = 'sha256:' || substr(tag.name, 8, 64)
WHERE tag.deleted IS NULL AND tag.name ~ '^sha256-[0-9a-f]{{64}}(\\.(sig|att|sbom))?$'
"""  # noqa: S608
# One tag is enough to show a repository.
_REPOSITORIES = f"""
WITH place AS ({_PLACES})
SELECT id FROM place WHERE EXISTS (SELECT 1 FROM projects_tag WHERE repository_id = place.id AND {_IS_NAMED} OFFSET 0)
"""  # noqa: S608
_A_TAG_NAME = f"WITH place AS ({_PLACES}), named AS ({_NAMED}) SELECT name FROM named LIMIT 1"  # noqa: S608
# The first pattern that names a tag. Parameters: the arrays, the repository's name and the tag's.
_NAMING = """
SELECT position FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS entry(repository, tags, position)
WHERE %s ~ entry.repository AND %s LIKE ANY(string_to_array(entry.tags, ' ')) ORDER BY position LIMIT 1
"""
# From some manifests of one repository up to the first named tag; the same edges the other way round, so that
# judging one digest does not cost a walk over all of them. Parameters: repository, digests, repository twice,
# and those of the places.
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
), place AS ({_PLACES})
SELECT tag.name FROM place CROSS JOIN above CROSS JOIN LATERAL (
    SELECT name FROM projects_tag WHERE artifact_id = above.id AND {_IS_NAMED} OFFSET 0
) tag
ORDER BY tag.name LIMIT 1
"""  # noqa: S608
# Of so many manifests that share a blob each is asked for its tags; of more, the tags are asked for their manifests.
_FEW = 100


@dataclass(frozen=True)
class Reach:
    """What one actor reaches of these projects. The methods leave everything as it is when nothing is limited."""

    project_ids: tuple[int, ...]
    patterns: tuple[tuple[str, str], ...] | None
    """A regular expression for a repository's full name, and LIKE patterns for a tag's with blanks between them.

    None: everything, empty: nothing.
    """

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
        return self.patterns is None or self.named_tag_in(repository) is not None

    def has_tag(self, repository: Repository, name: str) -> bool:
        """Whether a live tag of this name would be within reach."""
        if self.patterns is None:
            return True
        if subject := oci.accessory_subject(name):
            return self.has_manifest(repository, subject)
        return self.naming(repository, name) is not None

    def has_manifest(self, repository: Repository, digest: str) -> bool:
        """Whether a live artifact of the repository is within reach by its digest."""
        return self.patterns is None or self.named_tag_above(repository, [digest]) is not None

    def has_blob(self, repository: Repository, digest: str) -> bool:
        """Whether a manifest within reach refers to the blob."""
        return self.patterns is None or self.named_tag_above_blob(repository, digest) is not None

    def naming(self, repository: Repository, tag: str) -> int | None:
        """The place of the first pattern that names the tag, counted from 0; None when none does."""
        pairs = self.patterns or ()
        arrays = [[place for place, _ in pairs], [tags for _, tags in pairs]]
        found = _first(_NAMING, [*arrays, repository.name, tag])
        return None if found is None else int(found) - 1

    def named_tag_in(self, repository: Repository) -> str | None:
        """Some tag of the repository that a pattern names; None when there is none."""
        return _first_name(_A_TAG_NAME, self._places(repository))

    def named_tag_above(self, repository: Repository, digests: Iterable[str]) -> str | None:
        """A tag named by a pattern that leads to one of these manifests; None when there is none."""
        place = repository.pk
        return _first_name(_UP, [place, list(digests), place, place, *self._places(repository)])

    def named_tag_above_blob(self, repository: Repository, digest: str) -> str | None:
        """A tag named by a pattern that leads to a manifest that refers to the blob; None when there is none."""
        kinds = (Reference.Kind.CONFIG, Reference.Kind.LAYER)
        users = Reference.objects.live().filter(repository=repository, digest=digest, kind__in=kinds)
        some = list(users.values_list("artifact__manifest_id", flat=True)[:_FEW])
        found = self.named_tag_above(repository, some)
        if found or len(some) < _FEW:
            return found
        shown = self.artifacts(Artifact.objects.filter(pk__in=users.values("artifact")), repository).first()
        return self.named_tag_above(repository, [shown.digest]) if shown else None

    def _raw(self, sql: str, repository: Repository | None = None) -> RawSQL:
        return RawSQL(sql, self._places(repository))  # noqa: S611 - values are passed apart

    def _places(self, repository: Repository | None = None) -> list[Any]:
        """The parameters of `_PLACES`; the patterns of equal repositories together."""
        tags: dict[str, list[str]] = {}
        for place, patterns in self.patterns or ():
            tags.setdefault(place, []).append(patterns)
        number = repository.pk if repository else None
        return [list(tags), [" ".join(each) for each in tags.values()], list(self.project_ids), number, number]


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


def listable_repositories(actor: Actor) -> RepositoryQuerySet:
    """What an actor may list: every role may list all it reaches, a robot only where its list says so."""
    return _where_robots_may(visible_repositories(actor), actor, "repository", "list")


def readable_repositories(actor: Actor) -> RepositoryQuerySet:
    """Whose artifacts an actor may read: every role those that it reaches, a robot only where its list says so."""
    return _where_robots_may(visible_repositories(actor), actor, "artifact", "read")


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
        yield from ((name, " ".join(globs.likes(tag))) for tag in entry["tags"])


def _where_robots_may(rows: RepositoryQuerySet, actor: Actor, resource: str, action: str) -> RepositoryQuerySet:
    if not isinstance(actor, Robot):
        return rows
    return rows.filter(project__in=Project.objects.allowing(actor, resource, action))


def _first(sql: str, values: list[Any]) -> Any:
    """The one value that a statement finds, or None."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        row = cursor.fetchone()
    return row[0] if row else None


def _first_name(sql: str, values: list[Any]) -> str | None:
    found = _first(sql, values)
    return None if found is None else str(found)


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
