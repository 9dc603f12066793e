"""Robot accounts: programs that sign in with a secret and a list of permissions of their own."""

from __future__ import annotations

from collections.abc import Set
from typing import Any, ClassVar

from django.db import models
from django.utils import timezone

from core import clock, configuration

KEPT_PREFIX = "robot$"


def kept_name(name: str) -> str | None:
    """How the robot is kept that signs in with this name; None for a name that no robot has."""
    prefix = configuration.get("robot_name_prefix")
    return KEPT_PREFIX + name.removeprefix(prefix) if name.startswith(prefix) else None


class Robot(models.Model):
    """A program's account.

    `permissions` is Harbor's list: `[{"kind": "project"|"system", "namespace": "<project>"|"*"|"/",
    "access": [{"resource", "action"}]}]`.
    """

    class Level(models.TextChoices):
        SYSTEM = "system"
        PROJECT = "project"

    kept_name = models.CharField(max_length=600, unique=True, db_column="name")
    """`robot$<name>` or `robot$<project>+<name>`, whatever prefix is configured."""
    short_name = models.CharField(max_length=255)
    level = models.CharField(max_length=16, choices=Level)
    # Projects live in a higher room, so the row cannot point to one; deleting a project deletes its robots.
    project_id = models.BigIntegerField(null=True, db_index=True)
    description = models.CharField(max_length=1024, blank=True)
    permissions = models.JSONField(default=list)
    disabled = models.BooleanField(default=False)
    duration_days = models.IntegerField(default=-1)
    expires = models.DateTimeField(null=True)
    """None: never."""
    created_by = models.CharField(max_length=600, blank=True)
    creator_ref = models.BigIntegerField(null=True)
    """The id of the user or robot that made it; None of one that was made before this was kept."""
    created = models.DateTimeField(default=timezone.now, db_index=True)
    updated = models.DateTimeField(auto_now=True)

    is_sysadmin = False
    is_authenticated = True
    is_anonymous = False

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="robot_project_fits_level",
                condition=models.Q(level="system", project_id__isnull=True)
                | models.Q(level="project", project_id__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """What it is called and signs in with: as it is kept, with the prefix that is configured now."""
        return f"{configuration.get('robot_name_prefix')}{self.kept_name.removeprefix(KEPT_PREFIX)}"

    @property
    def is_expired(self) -> bool:
        return self.expires is not None and self.expires <= clock.now()

    @property
    def is_active(self) -> bool:
        return not self.disabled and not self.is_expired

    def may(self, resource: str, action: str, project_name: str | None) -> bool:
        """Whether its own list has this, in a project or (without one) in the system."""
        if project_name is None:
            lists = [entry for entry in self.permissions if entry["kind"] == "system"]
        else:
            lists = self._lists_for(project_name)
        wanted = {action}
        if (resource, action) == ("repository", "pull") and self.level == self.Level.PROJECT:
            # The registry's upload requests need pull as well. Robots of the system must be given it, as in Harbor.
            wanted.add("push")
        return any(_grants(access, resource, wanted) for entry in lists for access in entry["access"])

    def is_for(self, project_name: str) -> bool:
        """Whether its own list names a project (or all of them)."""
        return bool(self._lists_for(project_name))

    def _lists_for(self, project_name: str) -> list[dict[str, Any]]:
        return [
            entry
            for entry in self.permissions
            if entry["kind"] == "project" and entry["namespace"] in (project_name, "*")
        ]


def _grants(access: dict[str, Any], resource: str, actions: Set[str]) -> bool:
    return access["resource"] == resource and access["action"] in actions and access.get("effect", "allow") == "allow"


class RobotSecretQuerySet(models.QuerySet["RobotSecret"]):
    def live(self) -> RobotSecretQuerySet:
        """Those that open something now."""
        return self.filter(models.Q(expires__isnull=True) | models.Q(expires__gt=clock.now()))


class RobotSecret(models.Model):
    """One secret of a robot; while secrets are rotated it has several."""

    class Kind(models.TextChoices):
        GENERATED = "generated"
        CHOSEN = "chosen"

    robot = models.ForeignKey(Robot, on_delete=models.CASCADE, related_name="secrets")
    kind = models.CharField(max_length=16, choices=Kind)
    digest = models.CharField(max_length=255)
    """Generated: hexadecimal SHA-256 (the secret is random); chosen by people: Argon2."""
    # A default of the database's, too: a core of yesterday's writes rows without it.
    prefix = models.CharField(max_length=8, blank=True, default="", db_default="")
    """How a generated secret begins, to be told from others; of a chosen one nothing may be given away."""
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[RobotSecret]] = RobotSecretQuerySet.as_manager()

    def __str__(self) -> str:
        return f"secret of {self.robot_id}"
