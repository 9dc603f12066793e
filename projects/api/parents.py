"""Where a view stands: the project, repository and artifact of its path, each looked up under its parent."""

from __future__ import annotations

import re
from functools import cached_property

from core import errors, oci
from core.api import json
from core.api.resource import Resource
from projects import reach
from projects.models import Artifact, Project, Repository
from projects.reach import Reach
from rbac.access import Actor
from rbac.authentication import actor_of

NUMBER = re.compile(r"[0-9]{1,18}")


class InProject(Resource):
    """A view below `/projects/{project_name_or_id}` or `/projects/{project_name}`."""

    _project: Project | None = None
    _repository: Repository | None = None

    @property
    def actor(self) -> Actor:
        return actor_of(self.request)

    def get_project(self) -> Project:
        """The project of the path. Only system admins hear that there is none; others may not go there."""
        if self._project is None:
            self._project = self._find_project()
        return self._project

    @cached_property
    def reach(self) -> Reach:
        """What of the project the caller may see; only views that `honours_tag_scope` let limited guests in."""
        return reach.of(self.actor, self.get_project())

    def get_repository(self) -> Repository:
        """The repository of the path, within the caller's reach."""
        if self._repository is None:
            self._repository = self._find_repository()
        return self._repository

    def get_artifact(self) -> Artifact:
        """The artifact that the path's reference (tag or digest) means."""
        repository, text = self.get_repository(), self.kwargs["reference"]
        artifact = find_artifact(repository, text)
        within = self.reach.has_manifest if oci.is_digest(text) else self.reach.has_tag
        if artifact is None or not within(repository, text):
            raise errors.NotFound(f"artifact {repository.name}:{text} not found")
        return artifact

    def _find_repository(self) -> Repository:
        name = f"{self.get_project().name}/{self.kwargs['repository_name']}"
        rows = Repository.objects.live().filter(project=self.get_project(), name=name)
        repository: Repository | None = rows.first()
        if repository is None or not self.reach.has_repository(repository):
            raise errors.NotFound(f"repository {name} not found")
        repository.project = self.get_project()
        return repository

    def _find_project(self) -> Project:
        text = str(self.kwargs.get("project_name_or_id") or self.kwargs.get("project_name"))
        by_name = "project_name" in self.kwargs or json.is_true(self.request.headers.get("X-Is-Resource-Name"))
        by_id = NUMBER.fullmatch(text) is not None and not by_name
        project: Project | None = (
            Project.objects.live().filter(**({"pk": int(text)} if by_id else {"name": text})).first()
        )
        if project is None:
            raise unknown_project(text, self.actor)
        return project


def find_artifact(repository: Repository, text: str) -> Artifact | None:
    """A repository's live artifact that a tag or digest means."""
    named = {"manifest": text} if oci.is_digest(text) else {"tags__name": text, "tags__deleted__isnull": True}
    artifact: Artifact | None = Artifact.objects.live().filter(repository=repository, **named).first()
    if artifact is not None:
        artifact.repository = repository
    return artifact


def unknown_project(name: object, actor: Actor) -> errors.Refusal:
    """What is said about a project that does not exist: strangers must not learn which ones do."""
    if actor.is_sysadmin:
        return errors.NotFound(f"project {name} not found")
    return errors.Forbidden() if actor.is_authenticated else errors.Unauthenticated()
