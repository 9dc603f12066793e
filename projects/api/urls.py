"""/projects and below, and what spans projects; the longest paths first, for repository names hold slashes."""

from __future__ import annotations

from django.urls import path

from projects.api.access import Access
from projects.api.additions import Additions
from projects.api.artifacts import Accessories, Artifacts, ProjectArtifacts
from projects.api.audit_logs import AuditLogs, ProjectLogs
from projects.api.audit_purge import AuditPurgeRuns, AuditPurgeSchedule
from projects.api.icons import Icons
from projects.api.immutable_rules import ImmutableRules
from projects.api.labels import ArtifactLabels, Labels
from projects.api.members import Members
from projects.api.metadata import Metadata
from projects.api.permissions import CurrentPermissions, Permissions
from projects.api.projects import OneProject, Projects
from projects.api.quotas import Quotas
from projects.api.repositories import AllRepositories, Repositories
from projects.api.robots import Robots
from projects.api.scanner import Scanner
from projects.api.search import Search
from projects.api.statistics import Statistics
from projects.api.storage_figures import PlatformStorage, ProjectStorage
from projects.api.tags import Tags
from projects.api.webhooks import WebhookExecutions, WebhookJobs, WebhookPolicies, Webhooks, WebhookTasks

_PROJECT = "projects/<str:project_name_or_id>"
_WEBHOOK = f"{_PROJECT}/webhook"
_WEBHOOK_POLICY = f"{_WEBHOOK}/policies/<number:policy_id>"
_REPOSITORIES = "projects/<str:project_name>/repositories"
_ARTIFACTS = f"{_REPOSITORIES}/<repository:repository_name>/artifacts"
_ARTIFACT = f"{_ARTIFACTS}/<str:reference>"

urlpatterns = [
    path("projects", Projects.as_view({"get": "list", "post": "create", "head": "exists"})),
    path(_PROJECT, OneProject.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})),
    path(f"{_PROJECT}/_deletable", OneProject.as_view({"get": "deletable"})),
    path(f"{_PROJECT}/summary", OneProject.as_view({"get": "summary"})),
    path(f"{_PROJECT}/artifacts", ProjectArtifacts.as_view({"get": "list"})),
    path(f"{_PROJECT}/access/explain", Access.as_view({"get": "explain"})),
    path(f"{_PROJECT}/statistics/storage", ProjectStorage.as_view({"get": "retrieve"})),
    path(f"{_PROJECT}/members", Members.as_view({"get": "list", "post": "create"})),
    path(
        f"{_PROJECT}/members/<number:member_id>",
        Members.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
    ),
    # The slash at the end is Harbor's.
    path(f"{_PROJECT}/metadatas", Metadata.as_view({"get": "list", "post": "create"})),
    path(
        f"{_PROJECT}/metadatas/<str:meta_name>",
        Metadata.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
    ),
    path(f"{_PROJECT}/scanner", Scanner.as_view({"get": "retrieve", "put": "update"})),
    path(f"{_PROJECT}/scanner/candidates", Scanner.as_view({"get": "candidates"})),
    path(f"{_PROJECT}/immutabletagrules", ImmutableRules.as_view({"get": "list", "post": "create"})),
    path(
        f"{_PROJECT}/immutabletagrules/<number:rule_id>",
        ImmutableRules.as_view({"put": "update", "delete": "destroy"}),
    ),
    path(f"{_WEBHOOK}/policies", WebhookPolicies.as_view({"get": "list", "post": "create"})),
    path(f"{_WEBHOOK}/lasttrigger", Webhooks.as_view({"get": "last_trigger"})),
    path(f"{_WEBHOOK}/events", Webhooks.as_view({"get": "event_types"})),
    path(f"{_WEBHOOK}/jobs", WebhookJobs.as_view({"get": "list"})),
    path(_WEBHOOK_POLICY, WebhookPolicies.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})),
    path(f"{_WEBHOOK_POLICY}/secret", WebhookPolicies.as_view({"post": "secret"})),
    path(f"{_WEBHOOK_POLICY}/executions", WebhookExecutions.as_view({"get": "list"})),
    path(
        f"{_WEBHOOK_POLICY}/executions/<number:execution_id>/redeliver",
        WebhookExecutions.as_view({"post": "redeliver"}),
    ),
    path(f"{_WEBHOOK_POLICY}/executions/<number:execution_id>/tasks", WebhookTasks.as_view({"get": "list"})),
    path(
        f"{_WEBHOOK_POLICY}/executions/<number:execution_id>/tasks/<number:task_id>/log",
        WebhookTasks.as_view({"get": "log"}),
    ),
    path("projects/<str:project_name>/logs", ProjectLogs.as_view({"get": "older"})),
    path("projects/<str:project_name>/auditlog-exts", ProjectLogs.as_view({"get": "list"})),
    path("audit-logs", AuditLogs.as_view({"get": "older"})),
    path("auditlog-exts", AuditLogs.as_view({"get": "list"})),
    path("auditlog-exts/events", AuditLogs.as_view({"get": "event_types"})),
    path("system/purgeaudit", AuditPurgeRuns.as_view({"get": "list"})),
    path(
        "system/purgeaudit/schedule",
        AuditPurgeSchedule.as_view({"get": "retrieve", "post": "create", "put": "update"}),
    ),
    path("system/purgeaudit/<number:run_id>", AuditPurgeRuns.as_view({"get": "retrieve", "put": "stop"})),
    path("system/purgeaudit/<number:run_id>/log", AuditPurgeRuns.as_view({"get": "log"})),
    path("quotas", Quotas.as_view({"get": "list"})),
    path("quotas/<number:quota_id>", Quotas.as_view({"get": "retrieve", "put": "update"})),
    path("search", Search.as_view({"get": "list"})),
    path("statistics/storage", PlatformStorage.as_view({"get": "retrieve"})),
    path("statistics", Statistics.as_view({"get": "retrieve"})),
    path("labels", Labels.as_view({"get": "list", "post": "create"})),
    path("labels/<number:label_id>", Labels.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})),
    path("permissions", Permissions.as_view({"get": "list"})),
    path("users/current/permissions", CurrentPermissions.as_view({"get": "list"})),
    path("robots", Robots.as_view({"get": "list", "post": "create"})),
    path(
        "robots/<number:robot_id>",
        Robots.as_view({"get": "retrieve", "put": "update", "patch": "refresh", "delete": "destroy"}),
    ),
    path("robots/<number:robot_id>/secrets", Robots.as_view({"get": "secrets"})),
    path("robots/<number:robot_id>/secrets/<number:secret_id>", Robots.as_view({"delete": "revoke"})),
    path("icons/<str:digest>", Icons.as_view({"get": "retrieve"})),
    path("repositories", AllRepositories.as_view({"get": "list"})),
    path(_REPOSITORIES, Repositories.as_view({"get": "list"})),
    path(f"{_ARTIFACT}/tags/<str:tag_name>", Tags.as_view({"delete": "destroy"})),
    path(f"{_ARTIFACT}/tags", Tags.as_view({"get": "list", "post": "create"})),
    path(f"{_ARTIFACT}/labels/<number:label_id>", ArtifactLabels.as_view({"delete": "destroy"})),
    path(f"{_ARTIFACT}/labels", ArtifactLabels.as_view({"post": "create"})),
    path(f"{_ARTIFACT}/additions/vulnerabilities", Additions.as_view({"get": "vulnerabilities"})),
    path(f"{_ARTIFACT}/additions/<str:addition>", Additions.as_view({"get": "retrieve"})),
    path(f"{_ARTIFACT}/accessories", Accessories.as_view({"get": "list"})),
    path(_ARTIFACT, Artifacts.as_view({"get": "retrieve", "delete": "destroy"})),
    path(_ARTIFACTS, Artifacts.as_view({"get": "list", "post": "copy"})),
    path(
        f"{_REPOSITORIES}/<repository:repository_name>",
        Repositories.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
    ),
]
