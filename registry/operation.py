"""One call at the /v2 door: who, what, where."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from django.http import HttpRequest

from core import errors
from core.oci import Reference, RepositoryName, parse_digest
from core.store.signing import Token
from projects import finders, reach, repositories
from projects.models import Project, Repository
from projects.reach import Reach
from rbac import finders as accounts
from rbac.access import Actor
from rbac.models import Anonymous


@dataclass(frozen=True)
class Operation:
    """A call with its token verified and its path parsed."""

    request: HttpRequest
    action: str
    token: Token
    is_by_token: bool
    """Whether the request brought the token, so that the registry can read it as well; else it brought a password."""
    name: RepositoryName | None = None
    rest: dict[str, str] = field(default_factory=dict)
    """The path's other parts: reference, digest, upload."""

    @property
    def repository_name(self) -> str:
        return str(self.name)

    @property
    def reference(self) -> Reference:
        """The tag or digest of the path."""
        try:
            return Reference.parse(self.rest["reference"])
        except errors.DigestUnsupported as unsupported:
            raise self._absent(errors.ManifestUnknown, unsupported) from unsupported

    @property
    def digest(self) -> str:
        """The blob's digest in the path."""
        try:
            return parse_digest(self.rest["digest"])
        except errors.DigestUnsupported as unsupported:
            raise self._absent(errors.BlobUnknown, unsupported) from unsupported

    @cached_property
    def project(self) -> Project:
        """The project the token was made for; ProjectUnknown when it is gone (or another one has its name)."""
        if self.name is None:
            raise errors.ProjectUnknown
        if self._place is None or not self.is_for(self._place[0].pk):
            raise errors.ProjectUnknown(f"project {self.name.project} not found")
        return self._place[0]

    @cached_property
    def repository(self) -> Repository:
        """The repository, live or with its first push under way; NameUnknown when there is none."""
        row = self._row
        if row is None or not self.reach.has_repository(row):
            raise errors.NameUnknown(f"repository {self.repository_name} not found")
        return row

    @cached_property
    def _row(self) -> Repository | None:
        row = self._place[1] if self._place else None
        return row if row is not None and self.is_for(row.project_id) else None

    def ensured_repository(self) -> Repository:
        """The repository for a push, made when missing; ProjectUnknown as above."""
        project = self.project
        known = self._place[1] if self._place else None
        if known is not None:
            return known
        if self.name is None:
            raise errors.NameInvalid
        return repositories.ensure(project=project, name=self.name)

    @cached_property
    def _place(self) -> tuple[Project, Repository | None] | None:
        return finders.place(self.name) if self.name else None

    @property
    def is_limited(self) -> bool:
        """Whether the token only lets the door show some tags of the repository (a tag-scoped guest's)."""
        return self.repository_name in self.token.claims.get("limited", ())

    @cached_property
    def reach(self) -> Reach:
        """What of the project the call may show, by the caller's memberships as they are now."""
        if not self.is_limited:
            return Reach((), None)
        return reach.of(self.actor(), self.project)

    def reaches(self, reference: Reference) -> bool:
        """Whether a live manifest of the repository may be shown."""
        if not self.is_limited:
            return True
        if self._row is None:
            return False
        if reference.digest is not None:
            return self.reach.has_manifest(self._row, reference.digest)
        return self.reach.has_tag(self._row, reference.tag or "")

    def reaches_blob(self, digest: str) -> bool:
        """Whether a blob of the repository may be shown."""
        return not self.is_limited or (self._row is not None and self.reach.has_blob(self._row, digest))

    def is_for(self, project_id: int) -> bool:
        """Whether the token was given for this very project; a later one of the same name is a stranger."""
        return bool(self.token.claims.get("projects", {}).get(self.name.project if self.name else "") == project_id)

    def _absent(self, absent: type[errors.Refusal], unsupported: errors.DigestUnsupported) -> errors.Refusal:
        """What cannot be stored here cannot be here: asked for, it is unknown; sent, it is refused."""
        is_question = self.request.method in ("GET", "HEAD", "DELETE")
        return absent(detail=unsupported.message) if is_question else unsupported

    def may(self, action: str) -> bool:
        return self.token.allows(self.repository_name, action)

    def actor(self) -> Actor:
        """Who the token was given to; Unauthenticated when the account is gone since."""
        kind, number = self.token.claims.get("kind"), self.token.claims.get("id") or 0
        if kind == "anonymous":
            return Anonymous()
        actor = accounts.robot_numbered(number) if kind == "robot" else accounts.user_numbered(number)
        if actor is None or not actor.is_active:
            raise errors.Unauthenticated("The account was disabled or deleted.")
        return actor
