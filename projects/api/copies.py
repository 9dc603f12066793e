"""Where a copy comes from: `from=project/repository:tag` or `…@digest`, as in Harbor."""

from __future__ import annotations

from core import errors
from core.oci import Reference, RepositoryName
from projects.api.parents import find_artifact, unknown_project
from projects.models import Artifact, Project, Repository
from rbac.access import Actor, allowed, with_known_roles

# Of all of it: a guest of some tags has neither.
_RIGHTS = (("artifact", "read"), ("repository", "pull"))


def parse(text: str) -> tuple[RepositoryName, Reference]:
    """A repository and a tag or digest of it; BadRequest and its like say what is wrong."""
    name, _, digest = text.partition("@")
    name, _, tag = name.partition(":")
    if not digest and not tag:
        raise errors.BadRequest(
            f"invalid input: {text[:300]!r}; from looks like project/repository:tag or project/repository@sha256:…"
        )
    return RepositoryName.parse(name), Reference.parse(digest or tag)


def find_source(name: RepositoryName, reference: Reference, actor: Actor) -> Artifact:
    """The artifact, if the actor may pull anything of its project; who may not hears what he hears of none."""
    project: Project | None = Project.objects.live().filter(name=name.project).first()
    if project is None:
        raise unknown_project(name.project, actor)
    place = with_known_roles(project, actor)
    if not all(allowed(actor, resource, action, place) for resource, action in _RIGHTS):
        raise unknown_project(name.project, actor)
    rows = Repository.objects.live().filter(project=project, name=str(name))
    repository: Repository | None = rows.first()
    artifact = find_artifact(repository, str(reference)) if repository else None
    if artifact is None:
        raise errors.NotFound(f"artifact {name}{'@' if reference.digest else ':'}{reference} not found")
    return artifact
