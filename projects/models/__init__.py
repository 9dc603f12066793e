"""What is stored: projects, their members, repositories, and everything inside them."""

from projects.models.artifact import Accessory, Artifact
from projects.models.audit_log import AuditLog
from projects.models.blob import Blob, RepositoryBlob
from projects.models.cve_allowlist import ProjectCveAllowlist
from projects.models.immutable_rule import ImmutableRule
from projects.models.label import ArtifactLabel, Label
from projects.models.manifest import Manifest
from projects.models.member import Member
from projects.models.project import Project
from projects.models.pull import PullFold, PullGap
from projects.models.quota import Quota
from projects.models.reference import Reference
from projects.models.repository import Repository
from projects.models.storage_figure import StorageFigure
from projects.models.tag import Tag
from projects.models.webhook_policy import WebhookPolicy, WebhookTarget

__all__ = [
    "Accessory",
    "Artifact",
    "ArtifactLabel",
    "AuditLog",
    "Blob",
    "ImmutableRule",
    "Label",
    "Manifest",
    "Member",
    "Project",
    "ProjectCveAllowlist",
    "PullFold",
    "PullGap",
    "Quota",
    "Reference",
    "Repository",
    "RepositoryBlob",
    "StorageFigure",
    "Tag",
    "WebhookPolicy",
    "WebhookTarget",
]
