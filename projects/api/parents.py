"""Where a view stands: the project, repository and artifact of its path, each looked up under its parent."""

from __future__ import annotations

from typing import Any

from rest_framework.viewsets import GenericViewSet

from core import errors, oci
from core.api import json
from projects.models import Artifact, Project, Repository
from rbac.access import Actor
from rbac.authentication import actor_of


class InProject(GenericViewSet[Any]):
    """A view below `/projects/{project_name_or_id}` or `/projects/{project_name}`."""

    _project: Project | None = None

    @property
    def actor(self) -> Actor:
        return actor_of(self.request)

    def get_project(self) -> Project:
        """The project of the path. Only system admins hear that there is none; others may not go there."""
        if self._project is None:
            self._project = self._find_project()
        return self._project

    def get_repository(self) -> Repository:
        name = f"{self.get_project().name}/{self.kwargs['repository_name']}"
        repository: Repository | None = (
            Repository.objects.live().filter(project=self.get_project(), name=name.replace("\0", "")).first()
        )
        if repository is None:
            raise errors.NotFound(f"repository {name} not found")
        repository.project = self.get_project()
        return repository

    def get_artifact(self) -> Artifact:
        """The artifact that the path's reference (tag or digest) means."""
        repository, text = self.get_repository(), self.kwargs["reference"]
        try:
            reference = oci.Reference.parse(text)
        except (errors.TagInvalid, errors.DigestInvalid, errors.DigestUnsupported) as error:
            raise errors.BadRequest(f"invalid reference {text[:100]!r}: neither a tag nor a sha256 digest") from error
        rows = Artifact.objects.live().filter(repository=repository).select_related("manifest", "accessory_of")
        rows = rows.defer("manifest__content")
        if reference.digest:
            rows = rows.filter(manifest=reference.digest)
        else:
            rows = rows.filter(tags__name=reference.tag, tags__deleted__isnull=True)
        artifact: Artifact | None = rows.first()
        if artifact is None:
            raise errors.NotFound(f"artifact {repository.name}:{text} not found")
        artifact.repository = repository
        return artifact

    def _find_project(self) -> Project:
        text = str(self.kwargs.get("project_name_or_id") or self.kwargs.get("project_name"))
        by_name = "project_name" in self.kwargs or json.is_true(self.request.headers.get("X-Is-Resource-Name"))
        projects = Project.objects.live()
        if text.isascii() and text.isdigit() and not by_name:
            project = projects.filter(pk=int(text[:18])).first()
        else:
            project = projects.filter(name=text).first()
        if project is not None:
            return project
        if self.actor.is_sysadmin:
            raise errors.NotFound(f"project {text} not found")
        if not self.actor.is_authenticated:
            raise errors.Unauthenticated
        raise errors.Forbidden
