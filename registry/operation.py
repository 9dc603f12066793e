"""One call at the /v2 door: who, what, where."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from django.http import HttpRequest

from core import errors
from core.oci import Reference, RepositoryName
from core.store.signing import Token
from projects.models import Project, Repository
from rbac.access import Actor
from rbac.models import Anonymous, Robot, User


@dataclass(frozen=True)
class Operation:
    """A call with its token verified and its path parsed."""

    request: HttpRequest
    action: str
    token: Token
    name: RepositoryName | None = None
    rest: dict[str, str] = field(default_factory=dict)
    """The path's other parts: reference, digest, upload."""

    @property
    def repository_name(self) -> str:
        return str(self.name)

    @property
    def reference(self) -> Reference:
        return Reference.parse(self.rest["reference"])

    @cached_property
    def project(self) -> Project:
        """The project the token was made for; ProjectUnknown when it is gone (or another one has its name)."""
        if self.name is None:
            raise errors.ProjectUnknown
        project = Project.objects.live().filter(name=self.name.project).first()
        if project is None or not self.is_for(project.pk):
            raise errors.ProjectUnknown(f"project {self.name.project} not found")
        return project

    @cached_property
    def repository(self) -> Repository:
        """The repository, live or with its first push under way; NameUnknown when there is none."""
        row = (
            Repository.objects.select_related("project")
            .filter(name=self.repository_name, project__deleted__isnull=True)
            .first()
        )
        if row is None or not self.is_for(row.project_id):
            raise errors.NameUnknown(f"repository {self.repository_name} not found")
        return row

    def is_for(self, project_id: int) -> bool:
        """Whether the token was given for this very project; a later one of the same name is a stranger."""
        return bool(self.token.claims.get("projects", {}).get(self.name.project if self.name else "") == project_id)

    def may(self, action: str) -> bool:
        return self.token.allows(self.repository_name, action)

    def actor(self) -> Actor:
        """Who the token was given to; Unauthenticated when the account is gone since."""
        kind, number = self.token.claims.get("kind"), self.token.claims.get("id") or 0
        if kind == "anonymous":
            return Anonymous()
        actor: User | Robot | None
        if kind == "robot":
            actor = Robot.objects.filter(pk=number).first()
        else:
            actor = User.objects.live().filter(pk=number).first()
        if actor is None or not actor.is_active:
            raise errors.Unauthenticated("The account was disabled or deleted.")
        return actor
