"""Groups of people: made, renamed, deleted. Who is in one, its directory says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from django.db import transaction

from core import clock, errors
from core.constraints import refuse_duplicates
from core.events import emit
from rbac.access import Actor
from rbac.events import GroupCreated, GroupDeleted, GroupUpdated
from rbac.models import Group

# RFC 4514 as directories write it: cn=crew,ou=groups,dc=example,dc=com; a comma in a value is escaped.
_DN = re.compile(r"[a-z0-9][a-z0-9.-]*=([^,\\]|\\.)+(, *[a-z0-9][a-z0-9.-]*=([^,\\]|\\.)+)*", re.DOTALL)


def create(*, name: str, kind: int, ldap_dn: str = "", actor: Actor) -> Group:
    """A new group. BadRequest for a wrong kind or DN, Conflict when there is one of this name or DN already."""
    _check_name(name)
    if kind not in Group.Kind.values:
        raise errors.BadRequest(f"group_type must be 1 (LDAP), 2 (HTTP) or 3 (OIDC), not {kind}")
    # Only LDAP's groups have one.
    dn = _checked_dn(ldap_dn) if kind == Group.Kind.LDAP else ""
    group = Group(name=name, kind=kind, ldap_dn=dn, created=clock.now())
    with transaction.atomic():
        with _no_duplicate():
            group.save()
        emit(GroupCreated(actor=actor.name, account=group.name))
    return group


def rename(*, group_id: int, name: str, actor: Actor) -> None:
    """Give a group another name, all that can be changed. NotFound when there is none, Conflict for a taken name."""
    _check_name(name)
    with _changing(group_id) as row:
        row.name = name
        with _no_duplicate():
            row.save(update_fields=["name", "updated"])
        emit(GroupUpdated(actor=actor.name, account=row.name))


def delete(*, group_id: int, actor: Actor) -> None:
    """Delete a group and its memberships; as in Harbor, one that is not there is deleted already."""
    try:
        with _changing(group_id) as row:
            emit(GroupDeleted(actor=actor.name, account=row.name))
            row.delete()
    except errors.NotFound:
        return


def find(*, group_id: int) -> Group:
    group: Group | None = Group.objects.filter(pk=group_id).first()
    if group is None:
        raise _absent(group_id)
    return group


def normalised(dn: str) -> str:
    """A DN as we keep it: its case means nothing to a directory."""
    return dn.strip().lower()


def _check_name(name: str) -> None:
    if not name.strip():
        raise errors.BadRequest("group_name must not be empty")


def _checked_dn(dn: str) -> str:
    dn = normalised(dn)
    if not _DN.fullmatch(dn):
        raise errors.BadRequest(
            "ldap_group_dn must be a distinguished name, such as cn=crew,ou=groups,dc=example,dc=com"
        )
    return dn


@contextmanager
def _changing(group_id: int) -> Iterator[Group]:
    """The group's row as it is now, locked."""
    with transaction.atomic():
        row = Group.objects.select_for_update().filter(pk=group_id).first()
        if row is None:
            raise _absent(group_id)
        yield row


def _absent(group_id: int) -> errors.NotFound:
    return errors.NotFound(f"the user group with id {group_id} is not found")


def _no_duplicate() -> AbstractContextManager[None]:
    return refuse_duplicates(
        group_is_unique="a group of this name and type exists already",
        group_dn_once="a group with this DN exists already",
    )
