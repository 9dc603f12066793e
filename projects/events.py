"""What happens to projects and what is stored in them; topics are Harbor's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from core.events import Event


class Resource(NamedTuple):
    """An artifact that an event is about, by a tag or, with an empty one, by itself."""

    digest: str
    tag: str


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
class ArtifactEvent(RepositoryEvent):
    resource_type = "artifact"

    digest: str
    tag: str = ""

    @property
    def resource(self) -> str:
        return f"{self.repository}:{self.tag}" if self.tag else f"{self.repository}@{self.digest}"

    @property
    def details(self) -> str:
        return self.digest if self.tag else ""


@dataclass(frozen=True, kw_only=True)
class NewsOfRepository(RepositoryEvent):
    """What webhooks tell of, if somebody wants to hear of its topic. Higher rooms have some as well."""

    @property
    def resources(self) -> list[Resource]:
        """The artifacts that it is about."""
        return []

    @property
    def attributes(self) -> dict[str, str]:
        """What else there is to say: Harbor's `custom_attributes`."""
        return {}

    def parts(self, most: int) -> Sequence[NewsOfRepository]:
        """The same told in parts of so many resources."""
        return [self]


@dataclass(frozen=True, kw_only=True)
class ArtifactPushed(ArtifactEvent, NewsOfRepository):
    topic = "PUSH_ARTIFACT"
    operation = "create"

    @property
    def resources(self) -> list[Resource]:
        return [Resource(self.digest, self.tag)]


@dataclass(frozen=True, kw_only=True)
class NewsOfTags(ArtifactEvent, NewsOfRepository):
    """News of an artifact by several of its tags, or, without any, of itself."""

    tags: tuple[str, ...] = ()

    @property
    def resources(self) -> list[Resource]:
        return [Resource(self.digest, tag) for tag in self.tags or ("",)]

    def parts(self, most: int) -> Sequence[Self]:
        starts = range(0, max(1, len(self.tags)), most)
        return [replace(self, tags=tuple(self.tags[start : start + most])) for start in starts]


@dataclass(frozen=True, kw_only=True)
class ArtifactDeleted(NewsOfTags):
    """An artifact is gone, with all the tags that it had."""

    topic = "DELETE_ARTIFACT"
    operation = "delete"

    gone_with: str = ""
    """What was deleted, if not this alone: the name of its repository, or the digest of what it hung on."""

    @property
    def went_along(self) -> bool:
        return bool(self.gone_with)


@dataclass(frozen=True, kw_only=True)
class ArtifactPulled(NewsOfTags):
    """Somebody pulled an artifact, some times since pulls were last counted. Nobody knows who (invariant I4)."""

    topic = "PULL_ARTIFACT"
    operation = "pull"
    is_audited = False

    pulls: int

    @property
    def attributes(self) -> dict[str, str]:
        return {"pull_count": str(self.pulls)}

    def parts(self, most: int) -> Sequence[Self]:
        """The first says how often: who adds up what he hears counts no pull twice."""
        first, *others = super().parts(most)
        return [first, *(replace(other, pulls=0) for other in others)]


@dataclass(frozen=True, kw_only=True)
class QuotaNews(NewsOfRepository):
    """The project's storage limit is near, or was in the way."""

    resource_type = "quota"
    is_audited = False

    message: str

    @property
    def attributes(self) -> dict[str, str]:
        return {"Details": self.message}


@dataclass(frozen=True, kw_only=True)
class QuotaExceeded(QuotaNews):
    topic = "QUOTA_EXCEED"
    operation = "exceed"


@dataclass(frozen=True, kw_only=True)
class QuotaWarned(QuotaNews):
    topic = "QUOTA_WARNING"
    operation = "warn"


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


@dataclass(frozen=True, kw_only=True)
class WebhookPolicyEvent(ProjectEvent):
    resource_type = "notification-policy"

    policy_id: int
    policy: str

    @property
    def resource(self) -> str:
        return f"{self.project}/{self.policy}"


@dataclass(frozen=True, kw_only=True)
class WebhookPolicyCreated(WebhookPolicyEvent):
    topic = "CREATE_WEBHOOK_POLICY"
    operation = "create"


@dataclass(frozen=True, kw_only=True)
class WebhookPolicyUpdated(WebhookPolicyEvent):
    topic = "UPDATE_WEBHOOK_POLICY"
    operation = "update"


@dataclass(frozen=True, kw_only=True)
class WebhookPolicyDeleted(WebhookPolicyEvent):
    topic = "DELETE_WEBHOOK_POLICY"
    operation = "delete"


@dataclass(frozen=True, kw_only=True)
class WebhookSecretChanged(WebhookPolicyEvent):
    topic = "CHANGE_WEBHOOK_SECRET"
    operation = "update"

    @property
    def details(self) -> str:
        return "another secret for signatures"


@dataclass(frozen=True, kw_only=True)
class WebhookEndpointDisabled(WebhookPolicyEvent):
    """Nothing arrived at an endpoint for so long that nothing is sent there any more."""

    topic = "DISABLE_WEBHOOK_ENDPOINT"
    operation = "disable"

    address: str
    since: str

    @property
    def details(self) -> str:
        return f"nothing has arrived at {self.address} since {self.since}"


@dataclass(frozen=True, kw_only=True)
class WebhookRedelivered(WebhookPolicyEvent):
    topic = "REDELIVER_WEBHOOK"
    operation = "redeliver"

    execution: int

    @property
    def details(self) -> str:
        return f"as execution {self.execution}"
