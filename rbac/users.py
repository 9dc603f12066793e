"""Users: made, changed, deleted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NoReturn

from django.contrib.auth.hashers import check_password
from django.db import transaction

from core import clock, configuration, errors
from core.constraints import refuse_duplicates
from core.events import emit
from rbac import login_limit
from rbac.access import Actor, allowed
from rbac.credentials import hashing
from rbac.events import UserCreated, UserDeleted, UserUpdated
from rbac.models import User
from rbac.models.user import check_password_strength, check_username

# The first administrator stays, as in Harbor: somebody must be able to get in.
FIRST_ADMIN = 1
NAME_MOST = 255
_EMAIL = re.compile(r"[^@\s<>,;:\"\\\[\]()]+@[^@\s<>,;:\"\\\[\]()]+\.[a-zA-Z]{2,}")


def create(
    *,
    username: str,
    password: str,
    email: str = "",
    realname: str = "",
    comment: str = "",
    actor: Actor,
    from_browser: bool = False,
) -> User:
    """A new user. Conflict when the name or address is taken.

    Forbidden (or Unauthenticated) unless the actor manages users, or people may sign themselves up, which
    needs a browser's session, as in Harbor.
    """
    if not allowed(actor, "user", "create"):
        _check_self_registration(actor, from_browser)
    check_username(username)
    check_password_strength(password)
    user = User(username=username, email=_checked_email(email), realname=realname, comment=comment, created=clock.now())
    hashing(lambda: user.set_password(password))
    with transaction.atomic():
        with _no_duplicate():
            user.save()
        emit(UserCreated(actor=actor.name, account=user.name))
    return user


def update(
    *, user: User, email: str | None = None, realname: str | None = None, comment: str | None = None, actor: Actor
) -> None:
    """Change what is given; an empty email address is none."""
    with _changing(user) as row:
        if email is not None:
            row.email = _checked_email(email)
        row.realname = row.realname if realname is None else realname
        row.comment = row.comment if comment is None else comment
        with _no_duplicate():
            row.save(update_fields=["email", "realname", "comment", "updated"])
        emit(UserUpdated(actor=actor.name, account=row.name, detail="profile"))


def change_password(*, user: User, new: str, old: str, actor: Actor) -> None:
    """Set a password; sessions and remembered logins end at once.

    For himself everybody must know the old one (Forbidden); who manages users need not know other people's.
    """
    is_self = isinstance(actor, User) and actor.pk == user.pk
    with _changing(user) as row:
        if is_self:
            _check_old_password(row, old)
        check_password_strength(new)
        if hashing(lambda: check_password(new, row.password)):
            raise errors.BadRequest("New password is identical to old password")
        hashing(lambda: row.set_password(new))
        row.save(update_fields=["password", "updated"])
        emit(UserUpdated(actor=actor.name, account=row.name, detail="password"))


def set_cli_secret(*, user: User, secret: str) -> NoReturn:
    """Precondition, as in Harbor: docker needs such a secret for people without a password here, and there are none.

    BadRequest when it would be too weak for them, too.
    """
    check_password_strength(secret)
    mode = configuration.get("auth_mode")
    raise errors.Precondition(
        f"unable to update CLI secret under authmode: {mode}; {user.name} signs in with a password, docker too"
    )


def set_sysadmin(*, user: User, is_sysadmin: bool, actor: Actor) -> None:
    """Make a user a system admin, or no longer one."""
    if user.pk == FIRST_ADMIN and not is_sysadmin:
        raise errors.Forbidden("The first administrator stays one")
    with _changing(user) as row:
        row.is_sysadmin = is_sysadmin
        row.save(update_fields=["is_sysadmin", "updated"])
        emit(UserUpdated(actor=actor.name, account=row.name, detail=f"sysadmin: {is_sysadmin}"))


def delete(*, user: User, actor: Actor) -> None:
    """Delete a user: the row stays for the audit log, the name and the address are free again."""
    if user.pk == FIRST_ADMIN or (isinstance(actor, User) and actor.pk == user.pk):
        raise errors.Forbidden(f"User with ID {user.pk} cannot be deleted")
    with _changing(user) as row:
        name = row.name
        row.memberships.all().delete()
        row.username = _retired(row.username, row.pk)
        row.email = _retired(row.email, row.pk) if row.email else None
        row.is_active = False
        row.is_sysadmin = False
        row.deleted = clock.now()
        row.save(update_fields=["username", "email", "is_active", "is_sysadmin", "deleted", "updated"])
        emit(UserDeleted(actor=actor.name, account=name))


def find(*, user_id: int, actor: Actor, action: str) -> User:
    """A user, for himself or for who may do this to everybody; Forbidden for others, whether he exists or not.

    A robot that manages users reads the system admins and changes none: it would be one as soon as it had a password.
    """
    is_self = isinstance(actor, User) and actor.pk == user_id
    if not is_self and not allowed(actor, "user", action):
        raise errors.Forbidden(f"Not authorized to {action} user: {user_id}")
    user: User | None = User.objects.live().filter(pk=user_id).first()
    if user is None:
        raise errors.NotFound(f"user {user_id} not found")
    if user.is_sysadmin and action != "read" and not (is_self or actor.is_sysadmin):
        raise errors.Forbidden("Only a system admin changes the account of one")
    return user


def exists(*, target: str, value: str, actor: Actor) -> bool:
    """Whether somebody has this user name or email address: what `target` says, `username` or `email`.

    Precondition unless people may sign up, who hear as much by trying, or the actor manages users.
    """
    if not configuration.get("self_registration") and not allowed(actor, "user", "list"):
        raise errors.Precondition("self-registration is disabled: only who manages users may check whether one exists")
    if target not in ("username", "email") or not value:
        raise errors.BadRequest("target is username or email, and value what to look for")
    if "\0" in value:
        raise errors.BadRequest("value holds a null byte")
    found: bool = User.objects.live().filter(**{target: value}).exists()
    return found


def _check_self_registration(actor: Actor, from_browser: bool) -> None:
    if not configuration.get("self_registration"):
        raise errors.Forbidden if actor.is_authenticated else errors.Unauthenticated
    if not from_browser:
        raise errors.Forbidden("self-registration cannot be triggered via API")


def _check_old_password(user: User, old: str) -> None:
    """Forbidden when it is wrong; limited like logins, for a stolen session must not be able to guess."""
    login_limit.check(user.name, "password change")
    if not hashing(lambda: check_password(old, user.password)):
        login_limit.record_failure(user.name, "password change")
        raise errors.Forbidden("Current password is incorrect")


def _checked_email(email: str) -> str | None:
    if email and (len(email) > NAME_MOST or not _EMAIL.fullmatch(email)):
        raise errors.BadRequest("email with illegal format")
    return email or None


def _retired(name: str, number: int) -> str:
    """A name that nobody needs any more: `name#id`, cut when it would not fit."""
    mark = f"#{number}"
    return name[: NAME_MOST - len(mark)] + mark


@contextmanager
def _changing(user: User) -> Iterator[User]:
    """The user's row as it is now, locked: two changes at once must not undo one another."""
    with transaction.atomic():
        row = User.objects.live().select_for_update(of=("self",), no_key=True).filter(pk=user.pk).first()
        if row is None:
            raise errors.NotFound(f"user {user.pk} not found")
        yield row


def _no_duplicate() -> AbstractContextManager[None]:
    return refuse_duplicates(
        rbac_user_username_key="a user of this name exists already",
        rbac_user_email_key="a user with this email address exists already",
    )
