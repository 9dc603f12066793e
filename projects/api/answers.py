"""What this room's operations answer, for the document; as in `core.api.answers`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Required, TypedDict

from core.api.answers import CveAllowlist


class ProjectCveAllowlist(CveAllowlist, total=False):
    project_id: Required[int]


class Project(TypedDict, total=False):
    project_id: Required[int]
    name: Required[str]
    owner_id: Required[int]
    owner_name: str
    creation_time: Required[datetime]
    update_time: Required[datetime]
    repo_count: Required[int]
    current_user_role_id: int
    current_user_role_ids: list[int]
    metadata: Required[dict[str, str]]
    cve_allowlist: ProjectCveAllowlist


class Deletable(TypedDict, total=False):
    deletable: Required[bool]
    message: str


class ProjectQuota(TypedDict, total=False):
    hard: Required[dict[str, int]]
    used: Required[dict[str, int]]


class StorageOfDay(TypedDict):
    """Bytes."""

    date: date
    logical: int
    stored: int


class StorageFigures(TypedDict):
    """Bytes: of all artifacts as if none shared anything, what they share counted once, and the difference."""

    logical: int
    stored: int
    saved: int
    history: list[StorageOfDay]


class ProjectSummary(TypedDict, total=False):
    """What the caller may not list is not counted for him."""

    repo_count: Required[int]
    project_admin_count: int
    maintainer_count: int
    developer_count: int
    guest_count: int
    limited_guest_count: int
    quota: ProjectQuota


class Explanation(TypedDict, total=False):
    subject: Required[str]
    action: Required[str]
    reference: Required[str]
    allowed: Required[bool]
    rule: Required[str]
    explanation: Required[str]


class TagScope(TypedDict, total=False):
    repository: Required[str]
    tags: Required[list[str]]


class Member(TypedDict, total=False):
    id: Required[int]
    project_id: Required[int]
    entity_name: Required[str]
    role_name: Required[str]
    role_id: Required[int]
    entity_id: Required[int]
    entity_type: Required[str]
    tag_scope: list[TagScope]


class Repository(TypedDict, total=False):
    id: Required[int]
    project_id: Required[int]
    name: Required[str]
    description: str
    artifact_count: Required[int]
    pull_count: Required[int]
    creation_time: Required[datetime]
    update_time: Required[datetime]


class Label(TypedDict, total=False):
    id: Required[int]
    name: Required[str]
    description: str
    color: str
    scope: Required[str]
    project_id: int
    creation_time: Required[datetime]
    update_time: Required[datetime]


class Tag(TypedDict, total=False):
    id: Required[int]
    repository_id: Required[int]
    artifact_id: Required[int]
    name: Required[str]
    push_time: Required[datetime]
    pull_time: Required[datetime]
    immutable: Required[bool]


class Accessory(TypedDict, total=False):
    id: Required[int]
    artifact_id: Required[int]
    subject_artifact_id: Required[int]
    subject_artifact_digest: Required[str]
    subject_artifact_repo: Required[str]
    size: Required[int]
    digest: Required[str]
    type: Required[str]
    icon: Required[str]
    creation_time: Required[datetime]


# Not a class: two of these names hold a dot.
Platform = TypedDict(
    "Platform",
    {"architecture": str, "os": str, "os.version": str, "os.features": list[str], "variant": str},
    total=False,
)


class Part(TypedDict, total=False):
    """Of an index."""

    parent_id: Required[int]
    child_id: int
    child_digest: Required[str]
    platform: Platform
    annotations: dict[str, str]
    urls: list[str]


class AdditionLink(TypedDict, total=False):
    href: Required[str]
    absolute: Required[bool]


class Artifact(TypedDict, total=False):
    id: Required[int]
    type: Required[str]
    media_type: Required[str]
    manifest_media_type: Required[str]
    artifact_type: str
    project_id: Required[int]
    repository_id: Required[int]
    repository_name: Required[str]
    digest: Required[str]
    size: int
    push_time: Required[datetime]
    pull_time: Required[datetime]
    extra_attrs: object
    annotations: dict[str, str]
    references: list[Part]
    addition_links: dict[str, AdditionLink]
    icon: str
    tags: Required[list[Tag] | None]
    accessories: Required[list[Accessory] | None]
    labels: Required[list[Label] | None]


class AuditLog(TypedDict, total=False):
    id: Required[int]
    username: str
    resource: str
    resource_type: Required[str]
    operation: Required[str]
    op_time: Required[datetime]


class AuditLogExt(AuditLog, total=False):
    operation_description: str
    operation_result: Required[bool]


class EventType(TypedDict, total=False):
    event_type: Required[str]


EventTypes = list[EventType]


class QuotaOf(TypedDict, total=False):
    id: Required[int]
    name: Required[str]
    owner_name: Required[str]


class Quota(ProjectQuota, total=False):
    id: Required[int]
    ref: Required[QuotaOf]
    creation_time: Required[datetime]
    update_time: Required[datetime]


class Statistics(TypedDict, total=False):
    private_project_count: Required[int]
    private_repo_count: Required[int]
    public_project_count: Required[int]
    public_repo_count: Required[int]
    total_project_count: Required[int]
    total_repo_count: Required[int]
    total_storage_consumption: Required[int]


class Permission(TypedDict, total=False):
    resource: Required[str]
    action: Required[str]


CurrentPermissions = list[Permission]


class Permissions(TypedDict, total=False):
    system: Required[list[Permission]]
    project: Required[list[Permission]]


class Access(TypedDict, total=False):
    resource: Required[str]
    action: Required[str]
    effect: str


class RobotPermission(TypedDict, total=False):
    kind: Required[str]
    namespace: Required[str]
    access: Required[list[Access]]


class Robot(TypedDict, total=False):
    id: Required[int]
    name: Required[str]
    description: str
    level: Required[str]
    duration: int
    editable: Required[bool]
    disable: Required[bool]
    expires_at: Required[int]
    permissions: list[RobotPermission]
    creator_type: Required[str]
    creator_ref: int
    creation_time: Required[datetime]
    update_time: Required[datetime]


class NewRobot(TypedDict, total=False):
    """The secret is shown once."""

    id: Required[int]
    name: Required[str]
    secret: Required[str]
    creation_time: Required[datetime]
    expires_at: Required[int]


class RobotSecret(TypedDict, total=False):
    """Nothing, for who chose it himself."""

    secret: str


class LiveSecret(TypedDict, total=False):
    id: Required[int]
    prefix: str
    creation_time: Required[datetime]
    expires_at: Required[int]


LiveSecrets = list[LiveSecret]


class Selector(TypedDict, total=False):
    kind: Required[str]
    decoration: Required[str]
    pattern: Required[str]


class ImmutableRule(TypedDict, total=False):
    id: Required[int]
    priority: int
    disabled: bool
    action: Required[str]
    template: Required[str]
    tag_selectors: Required[list[Selector]]
    scope_selectors: Required[dict[str, list[Selector]]]


class WebhookTarget(TypedDict, total=False):
    type: Required[str]
    address: Required[str]
    auth_header: str
    skip_cert_verify: bool
    payload_format: str


class WebhookPolicy(TypedDict, total=False):
    id: Required[int]
    name: Required[str]
    description: str
    project_id: Required[int]
    targets: Required[list[WebhookTarget]]
    event_types: Required[list[str]]
    creator: Required[str]
    creation_time: Required[datetime]
    update_time: Required[datetime]
    enabled: Required[bool]


class WebhookSecret(TypedDict):
    secret: str


class WebhookLastTrigger(TypedDict, total=False):
    policy_name: Required[str]
    event_type: Required[str]
    enabled: bool
    creation_time: Required[datetime]
    last_trigger_time: datetime


class PayloadFormat(TypedDict):
    notify_type: str
    formats: list[str]


class WebhookEvents(TypedDict):
    event_type: list[str]
    notify_type: list[str]
    payload_formats: list[PayloadFormat]


class WebhookJob(TypedDict, total=False):
    id: Required[int]
    policy_id: Required[int]
    event_type: str
    notify_type: Required[str]
    status: Required[str]
    job_detail: str
    creation_time: Required[datetime]
    update_time: Required[datetime]


class FoundRepository(TypedDict, total=False):
    project_id: Required[int]
    project_name: Required[str]
    project_public: bool
    repository_name: Required[str]
    pull_count: int
    artifact_count: int


class Found(TypedDict, total=False):
    project: Required[list[Project]]
    repository: Required[list[FoundRepository]]


# Not a class: a dash is in no name of Python's.
Icon = TypedDict("Icon", {"content-type": Required[str], "content": Required[str]}, total=False)
