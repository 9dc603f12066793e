"""Members: which user or group has which role in which project."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from projects.models.project import Project
from rbac.models import Group, User
from rbac.roles import NAMES, Role


class MemberQuerySet(models.QuerySet["Member"]):
    def of(self, user: User) -> MemberQuerySet:
        """A user's memberships, own and through groups."""
        return self.filter(models.Q(user=user) | models.Q(group__in=Group.objects.filter(users=user)))


GUESTS = (Role.GUEST, Role.LIMITED_GUEST)


class Member(models.Model):
    """One role of one user or group in one project, for everything there or, for guests, for some tags."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="members", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="memberships")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, null=True, related_name="memberships")
    role = models.SmallIntegerField(choices=[(int(role), name) for role, name in NAMES.items()])
    tag_scope = models.JSONField(null=True)
    """The tags that a guest is limited to (`projects/tag_scopes.py`); None: everything."""
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager[Member]] = MemberQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="member_user_once"),
            models.UniqueConstraint(fields=["project", "group"], name="member_group_once"),
            models.CheckConstraint(
                name="member_is_user_or_group",
                condition=models.Q(user__isnull=False, group__isnull=True)
                | models.Q(user__isnull=True, group__isnull=False),
            ),
            models.CheckConstraint(
                name="tag_scope_is_for_guests",
                condition=models.Q(tag_scope__isnull=True) | models.Q(role__in=[int(role) for role in GUESTS]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id or self.group_id} in {self.project_id}"
