"""Projects: what people share, own and are members of."""

from __future__ import annotations

from typing import Any, ClassVar

from django.apps import apps
from django.conf import settings
from django.db import models
from django.utils import timezone

from core.postgres.prepared import Statement
from rbac import roles
from rbac.access import Actor, allowed
from rbac.models import Robot, User
from rbac.roles import Role

TagScope = list[dict[str, Any]]
"""`[{"repository": glob, "tags": [glob, …]}, …]`, repositories named without their project."""

# A user's ($2) memberships of a project ($1), own and through groups.
MEMBERSHIPS = """
    SELECT role, tag_scope FROM projects_member WHERE project_id = $1 AND user_id = $2
    UNION ALL
    SELECT member.role, member.tag_scope FROM rbac_user_groups belongs
    JOIN projects_member member ON member.group_id = belongs.group_id AND member.project_id = $1
    WHERE belongs.user_id = $2
"""
_ROLES = Statement("bigint, bigint", f"SELECT role FROM ({MEMBERSHIPS}) mine WHERE tag_scope IS NULL")  # noqa: S608
_HAS_TAGS = Statement(
    "bigint, bigint",
    f"SELECT EXISTS (SELECT 1 FROM ({MEMBERSHIPS}) mine WHERE tag_scope IS NOT NULL)",  # noqa: S608
)


class ProjectQuerySet(models.QuerySet["Project"]):
    def live(self) -> ProjectQuerySet:
        """Projects that are not deleted."""
        return self.filter(deleted__isnull=True)

    def of_member(self, user: User) -> ProjectQuerySet:
        """Projects in which a user has a role, own or through a group."""
        return self.filter(_has_member(user))

    def allowing(self, actor: Actor, resource: str, action: str) -> ProjectQuerySet:
        """Live projects where `rbac.access.allowed` says that an actor may do this, in one question for all."""
        live = self.live()
        if actor.is_sysadmin:
            return live
        granted = models.Q(public=True) if roles.public_grants(resource, action) else models.Q(pk__in=[])
        if isinstance(actor, User):
            granting = [role for role in Role if roles.role_grants(role, resource, action)]
            mine = apps.get_model("projects", "Member").objects.of(actor)
            granted |= models.Q(pk__in=mine.filter(role__in=granting, tag_scope__isnull=True).values("project_id"))
        elif isinstance(actor, Robot):
            if actor.may(resource, action, "*"):
                return live
            spaces = {entry["namespace"] for entry in actor.permissions if entry["kind"] == "project"}
            granted |= models.Q(name__in=[name for name in spaces if actor.may(resource, action, name)])
        return live.filter(granted)

    def with_repository_count(self) -> ProjectQuerySet:
        """Each with `repo_count`: how many live repositories it has (None for none)."""
        repositories = apps.get_model("projects", "Repository").objects
        own = repositories.filter(project=models.OuterRef("pk"), deleted__isnull=True)
        numbers = own.order_by().values("project").annotate(number=models.Count("pk")).values("number")
        return self.annotate(repo_count=models.Subquery(numbers))

    def with_details(self) -> ProjectQuerySet:
        """Each with its `repo_count`, its `owner_name`, and its allowlist of CVEs at hand."""
        return (
            self.with_repository_count()
            .annotate(owner_name=models.F("owner__username"))
            .select_related("cve_allowlist")
        )

    def listable_by(self, actor: Actor) -> ProjectQuerySet:
        """What an actor may know of; for who was given the list of all projects, all that live."""
        return self.live() if allowed(actor, "project", "list") else self.visible_to(actor)

    def visible_to(self, actor: Actor) -> ProjectQuerySet:
        """Live projects that an actor may know of."""
        live = self.live()
        if actor.is_sysadmin:
            return live
        visible = models.Q(public=True)
        if isinstance(actor, User):
            visible |= _has_member(actor)
        elif isinstance(actor, Robot):
            spaces = {entry["namespace"] for entry in actor.permissions if entry["kind"] == "project"}
            if "*" in spaces:
                return live
            visible |= models.Q(name__in=spaces)
        return live.filter(visible)


class Project(models.Model):
    """A project. Its name is unique among the live ones and never changes: it is part of every path."""

    name = models.CharField(max_length=255)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="owned_projects")
    public = models.BooleanField(default=False)
    metadata = models.JSONField(default=dict, blank=True)
    """Harbor's project metadata besides `public`: strings to strings."""
    created = models.DateTimeField(default=timezone.now, db_index=True)
    updated = models.DateTimeField(auto_now=True)
    deleted = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Project]] = ProjectQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=models.Q(deleted__isnull=True), name="project_name_live")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def all_metadata(self) -> dict[str, str]:
        """Harbor's project metadata, `public` among them."""
        return {"public": str(self.public).lower(), **self.metadata}

    def roles_of(self, user: User) -> set[Role]:
        """The roles a user has here, own and through groups; without those that are limited to some tags."""
        return {Role(role) for (role,) in _ROLES.rows(self.pk, user.pk)}

    def has_tags_for(self, user: User) -> bool:
        """Whether a user is a guest here who is limited to some tags."""
        return _HAS_TAGS.row(self.pk, user.pk) == (True,)


def _has_member(user: User) -> models.Q:
    """Own memberships and those of groups each by an index; joined, those of everybody were read."""
    # Members point here, so they cannot be imported here.
    members = apps.get_model("projects", "Member").objects
    own, through_groups = members.filter(user=user), members.filter(group__users=user)
    return models.Q(pk__in=own.values("project_id")) | models.Q(pk__in=through_groups.values("project_id"))
