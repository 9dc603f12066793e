"""Groups of people: made, renamed, deleted. Who is in one, its directory says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet

from core import clock, errors
from core.constraints import refuse_duplicates
from core.events import emit
from rbac.access import Actor
from rbac.events import GroupCreated, GroupDeleted, GroupUpdated
from rbac.models import Group

# RFC 4514 as directories write it: cn=crew,ou=groups,dc=example,dc=com; a comma in a value is escaped.
_DN = re.compile(r"[a-z0-9][a-z0-9.-]*=([^,\\]|\\.)+(, *[a-z0-9][a-z0-9.-]*=([^,\\]|\\.)+)*", re.DOTALL)
_FIRST_VALUE = re.compile(r"[^=]*=(([^,\\]|\\.)+)", re.DOTALL)
NAME_MOST = 255


@dataclass(frozen=True, kw_only=True)
class Meant:
    """What somebody says of the group that he means; Go's empty values for what he does not say."""

    id: int = 0
    name: str = ""
    kind: int = 0
    ldap_dn: str = ""


def create(*, name: str, kind: int, ldap_dn: str = "", actor: Actor) -> Group:
    """A new group. BadRequest for a wrong kind or DN, Conflict when there is one of this name or DN already."""
    _check_name(name)
    _check_kind(kind)
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


def found_or_made(meant: Meant, *, actor: Actor) -> Group:
    """The one group that is meant, which cannot be deleted until the caller's transaction ends.

    Its id says which, else its DN, else its name and kind. One that nobody knows is made, as in Harbor, when enough is
    said of it: a DN, or a name with the kind HTTP or OIDC.

    Raises BadRequest when nothing or a contradiction is said, when several are meant, and for one that can neither be
    found nor made.
    """
    key = _key(meant)
    if group := _only(Group.objects.filter(**key)):
        return group
    if meant.id:
        raise errors.BadRequest(f"there is no group with the id {meant.id}")
    if not meant.ldap_dn and meant.kind not in (Group.Kind.HTTP, Group.Kind.OIDC):
        raise errors.BadRequest(
            f"no such group is called {meant.name[:80]}; one is made for group_type 2 (HTTP) or 3 (OIDC), "
            "and one of LDAP for its ldap_group_dn"
        )
    try:
        kind = Group.Kind.LDAP if meant.ldap_dn else meant.kind
        return create(name=meant.name or _first_value(meant.ldap_dn), kind=kind, ldap_dn=meant.ldap_dn, actor=actor)
    except errors.Conflict:
        # Somebody else made it meanwhile.
        if group := _only(Group.objects.filter(**key)):
            return group
        raise


def normalised(dn: str) -> str:
    """A DN as we keep it: its case means nothing to a directory."""
    return dn.strip().lower()


def _key(meant: Meant) -> dict[str, object]:
    """By what the group is looked up."""
    if meant.id:
        return {"pk": meant.id}
    if meant.kind:
        _check_kind(meant.kind)
    if meant.ldap_dn:
        if meant.kind not in (0, Group.Kind.LDAP):
            raise errors.BadRequest(f"ldap_group_dn is for groups of LDAP (group_type 1), not of {meant.kind}")
        return {"ldap_dn": _checked_dn(meant.ldap_dn)}
    if not meant.name.strip():
        raise errors.BadRequest("say which group by its id, its ldap_group_dn, or its group_name")
    return {"name": meant.name, **({"kind": meant.kind} if meant.kind else {})}


def _only(rows: QuerySet[Group]) -> Group | None:
    """The only one of these, locked; BadRequest that says what tells them apart when there are several."""
    found = list(rows.select_for_update(no_key=True).order_by("kind", "pk"))
    if len(found) > 1:
        kinds = sorted({group.kind for group in found})
        names = " or ".join(f"{kind} ({Group.Kind(kind).label})" for kind in kinds)
        how = f"by its group_type, {names}" if len(kinds) > 1 else "by its ldap_group_dn"
        raise errors.BadRequest(f"{len(found)} groups are called {found[0].name[:80]}: say which {how}, or by its id")
    return found[0] if found else None


def _first_value(dn: str) -> str:
    """What a directory calls a group of which nobody said the name: `crew` of cn=crew,ou=groups,dc=example,dc=com."""
    value = _FIRST_VALUE.match(dn.strip())
    return value[1][:NAME_MOST] if value else ""


def _check_name(name: str) -> None:
    if not name.strip():
        raise errors.BadRequest("group_name must not be empty")


def _check_kind(kind: int) -> None:
    if kind not in Group.Kind.values:
        raise errors.BadRequest(f"group_type must be 1 (LDAP), 2 (HTTP) or 3 (OIDC), not {kind}")


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
