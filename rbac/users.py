"""Users: made, changed, deleted."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.hashers import check_password
from django.db import IntegrityError, transaction
from django.utils import timezone

from core import errors
from core.events import emit
from rbac.access import Actor
from rbac.events import UserCreated, UserDeleted, UserUpdated
from rbac.models import User
from rbac.models.user import check_password_strength, check_username

# The first administrator cannot be deleted: somebody must be able to get in.
FIRST_ADMIN = 1


def create(*, username: str, password: str, email: str, realname: str, comment: str, actor: Actor) -> User:
    """A new user. Conflict when the name or address is taken."""
    check_username(username)
    check_password_strength(password)
    user = User(username=username, email=email or None, realname=realname, comment=comment)
    user.set_password(password)
    with transaction.atomic():
        _save(user)
        emit(UserCreated(actor=actor.name, account=user.name))
    return user


def update(*, user: User, actor: Actor, **profile: Any) -> None:
    """Change email, realname or comment."""
    for field, value in profile.items():
        setattr(user, field, (value or None) if field == "email" else value)
    with transaction.atomic():
        _save(user)
        emit(UserUpdated(actor=actor.name, account=user.name, detail="profile"))


def change_password(*, user: User, new: str, old: str | None, actor: Actor) -> None:
    """Set a password. With `old` given it must be right; sessions and remembered logins end at once."""
    if old is not None and not check_password(old, user.password):
        raise errors.Denied("the old password is not correct")
    check_password_strength(new)
    if check_password(new, user.password):
        raise errors.BadRequest("the new password can not be same with the old one")
    user.set_password(new)
    with transaction.atomic():
        _save(user)
        emit(UserUpdated(actor=actor.name, account=user.name, detail="password"))


def set_sysadmin(*, user: User, is_sysadmin: bool, actor: Actor) -> None:
    """Make a user a system admin, or no longer one."""
    if user.pk == FIRST_ADMIN and not is_sysadmin:
        raise errors.Denied("the first administrator stays one")
    user.is_sysadmin = is_sysadmin
    with transaction.atomic():
        _save(user)
        emit(UserUpdated(actor=actor.name, account=user.name, detail=f"sysadmin: {is_sysadmin}"))


def delete(*, user: User, actor: Actor) -> None:
    """Delete a user: the row stays for the audit log, the name and the address are free again."""
    if user.pk == FIRST_ADMIN or (isinstance(actor, User) and actor.pk == user.pk):
        raise errors.Denied("nobody can delete himself or the first administrator")
    name = user.name
    with transaction.atomic():
        user.memberships.all().delete()
        user.username = f"{user.username}#{user.pk}"
        user.email = f"{user.email}#{user.pk}" if user.email else None
        user.is_active = False
        user.deleted = timezone.now()
        _save(user)
        emit(UserDeleted(actor=actor.name, account=name))


def _save(user: User) -> None:
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError as error:
        raise errors.Conflict("a user of this name or email address exists already") from error
