"""What happens to projects and what is stored in them; topics are Harbor's."""

from __future__ import annotations

from dataclasses import dataclass

from core.events import Event


@dataclass(frozen=True, kw_only=True)
class ProjectEvent(Event):
    """Something that happened in a project."""

    project: str

    @property
    def resource(self) -> str:
        return self.project


@dataclass(frozen=True, kw_only=True)
class ProjectCreated(ProjectEvent):
    topic = "CREATE_PROJECT"
    operation = "create"
    resource_type = "project"


@dataclass(frozen=True, kw_only=True)
class ProjectUpdated(ProjectEvent):
    topic = "UPDATE_PROJECT"
    operation = "update"
    resource_type = "project"


@dataclass(frozen=True, kw_only=True)
class ProjectDeleted(ProjectEvent):
    topic = "DELETE_PROJECT"
    operation = "delete"
    resource_type = "project"


@dataclass(frozen=True, kw_only=True)
class QuotaUpdated(ProjectEvent):
    """A project's storage limit is another one; in bytes, -1 for none."""

    topic = "UPDATE_QUOTA"
    operation = "update"
    resource_type = "quota"

    hard: int


@dataclass(frozen=True, kw_only=True)
class MemberEvent(ProjectEvent):
    resource_type = "member"

    member: str
    role: str
    tag_scope: str = ""
    """The tags that a guest is limited to, in words."""

    @property
    def resource(self) -> str:
        return f"{self.project}/{self.member}"

    @property
    def details(self) -> str:
        return f"{self.role}, limited to {self.tag_scope}" if self.tag_scope else self.role


@dataclass(frozen=True, kw_only=True)
class MemberCreated(MemberEvent):
    topic = "CREATE_MEMBER"
    operation = "create"


@dataclass(frozen=True, kw_only=True)
class MemberUpdated(MemberEvent):
    topic = "UPDATE_MEMBER"
    operation = "update"


@dataclass(frozen=True, kw_only=True)
class MemberDeleted(MemberEvent):
    topic = "DELETE_MEMBER"
    operation = "delete"


@dataclass(frozen=True, kw_only=True)
class RepositoryEvent(ProjectEvent):
    resource_type = "repository"

    repository: str

    @property
    def resource(self) -> str:
        return self.repository


@dataclass(frozen=True, kw_only=True)
class RepositoryUpdated(RepositoryEvent):
    topic = "UPDATE_REPOSITORY"
    operation = "update"


@dataclass(frozen=True, kw_only=True)
class RepositoryDeleted(RepositoryEvent):
    topic = "DELETE_REPOSITORY"
    operation = "delete"


@dataclass(frozen=True, kw_only=True)
class RepositoryAdopted(RepositoryEvent):
    """Manifests that the store had already became artifacts: so many, with so many tags."""

    topic = "ADOPT_REPOSITORY"
    operation = "adopt"

    artifacts: int
    tags: int

    @property
    def details(self) -> str:
        return f"artifacts: {self.artifacts}, tags: {self.tags}"


@dataclass(frozen=True, kw_only=True)
class ArtifactEvent(ProjectEvent):
    resource_type = "artifact"

    repository: str
    digest: str
    tag: str = ""

    @property
    def resource(self) -> str:
        return f"{self.repository}:{self.tag}" if self.tag else f"{self.repository}@{self.digest}"

    @property
    def details(self) -> str:
        return self.digest if self.tag else ""


@dataclass(frozen=True, kw_only=True)
class ArtifactPushed(ArtifactEvent):
    topic = "PUSH_ARTIFACT"
    operation = "create"


@dataclass(frozen=True, kw_only=True)
class ArtifactDeleted(ArtifactEvent):
    topic = "DELETE_ARTIFACT"
    operation = "delete"


@dataclass(frozen=True, kw_only=True)
class TagCreated(ArtifactEvent):
    topic = "CREATE_TAG"
    operation = "create"
    resource_type = "tag"


@dataclass(frozen=True, kw_only=True)
class TagDeleted(ArtifactEvent):
    topic = "DELETE_TAG"
    operation = "delete"
    resource_type = "tag"


@dataclass(frozen=True, kw_only=True)
class ImmutableRuleEvent(ProjectEvent):
    resource_type = "immutable-tag"

    rule_id: int
    rule: str
    """The rule in words."""

    @property
    def resource(self) -> str:
        return f"{self.project}/{self.rule_id}"

    @property
    def details(self) -> str:
        return self.rule


@dataclass(frozen=True, kw_only=True)
class ImmutableRuleCreated(ImmutableRuleEvent):
    topic = "CREATE_IMMUTABLE_RULE"
    operation = "create"


@dataclass(frozen=True, kw_only=True)
class ImmutableRuleUpdated(ImmutableRuleEvent):
    topic = "UPDATE_IMMUTABLE_RULE"
    operation = "update"


@dataclass(frozen=True, kw_only=True)
class ImmutableRuleDeleted(ImmutableRuleEvent):
    topic = "DELETE_IMMUTABLE_RULE"
    operation = "delete"


@dataclass(frozen=True, kw_only=True)
class LabelEvent(Event):
    resource_type = "label"

    project: str
    """Empty for a global label."""
    label: str

    @property
    def resource(self) -> str:
        return f"{self.project}/{self.label}" if self.project else self.label


@dataclass(frozen=True, kw_only=True)
class LabelCreated(LabelEvent):
    topic = "CREATE_LABEL"
    operation = "create"


@dataclass(frozen=True, kw_only=True)
class LabelUpdated(LabelEvent):
    topic = "UPDATE_LABEL"
    operation = "update"


@dataclass(frozen=True, kw_only=True)
class LabelDeleted(LabelEvent):
    topic = "DELETE_LABEL"
    operation = "delete"


@dataclass(frozen=True, kw_only=True)
class ArtifactLabelEvent(ArtifactEvent):
    resource_type = "artifact-label"

    label: str

    @property
    def resource(self) -> str:
        return f"{super().resource} {self.label}"


@dataclass(frozen=True, kw_only=True)
class ArtifactLabeled(ArtifactLabelEvent):
    topic = "ARTIFACT_LABELED"
    operation = "create"


@dataclass(frozen=True, kw_only=True)
class ArtifactUnlabeled(ArtifactLabelEvent):
    topic = "ARTIFACT_UNLABELED"
    operation = "delete"
