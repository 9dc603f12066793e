"""People who sign in."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.utils import timezone

from core import configuration, errors

# Harbor refuses these too; `$` and `+` belong to robots' names.
_FORBIDDEN_IN_NAME = re.compile(r"[,\"~#%$+:\s\x00-\x1f/]")
_PASSWORD = (re.compile(r"[A-Z]"), re.compile(r"[a-z]"), re.compile(r"[0-9]"))


class UserQuerySet(models.QuerySet["User"]):
    def live(self) -> UserQuerySet:
        """Users that are not deleted."""
        return self.filter(deleted__isnull=True)


class UserManager(BaseUserManager.from_queryset(UserQuerySet)["User"]):  # type: ignore[misc]
    pass


class User(AbstractBaseUser):
    """A person. A deleted user keeps the row (audit) but gives the name free."""

    username = models.CharField(max_length=255, unique=True)
    email = models.CharField(max_length=255, null=True, unique=True)  # noqa: DJ001 - many users have none
    realname = models.CharField(max_length=255, blank=True)
    comment = models.CharField(max_length=255, blank=True)
    is_active = models.BooleanField(default=True)
    is_sysadmin = models.BooleanField(default=False)
    created = models.DateTimeField(default=timezone.now, db_index=True)
    updated = models.DateTimeField(auto_now=True)
    deleted = models.DateTimeField(null=True)
    groups = models.ManyToManyField("rbac.Group", related_name="users", blank=True)

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    objects: ClassVar[UserManager] = UserManager()

    def __str__(self) -> str:
        return self.username

    @property
    def name(self) -> str:
        return self.username


class Anonymous(AnonymousUser):
    """Somebody who did not sign in."""

    name = "anonymous"
    is_sysadmin = False


def is_username(name: str) -> bool:
    """Whether a user's name can look so."""
    return 0 < len(name) <= 255 and not _FORBIDDEN_IN_NAME.search(name)


def check_username(name: str) -> None:
    """BadRequest when a user may not be called so."""
    if not is_username(name):
        raise errors.BadRequest('A user name has 1 to 255 characters, without spaces and without , " ~ # % $ + : /')
    if name.lower() in ("anonymous", "system"):
        raise errors.BadRequest(f"{name!r} is reserved")
    prefix = configuration.get("robot_name_prefix")
    if name.startswith(prefix):
        raise errors.BadRequest(f"names that begin with {prefix} are robots'")


def check_password_strength(password: Any) -> None:
    """BadRequest when a password is too weak (Harbor's rule)."""
    strong = (
        isinstance(password, str) and 8 <= len(password) <= 128 and all(rule.search(password) for rule in _PASSWORD)
    )
    if not strong:
        raise errors.BadRequest(
            "the password or secret must be longer than 8 chars with at least 1 uppercase letter, "
            "1 lowercase letter and 1 number (at most 128 chars)"
        )
