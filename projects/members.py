"""Members: who has which role in a project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from core import errors
from core.constraints import refuse_duplicates
from core.events import emit
from projects import projects, tag_scopes
from projects.events import MemberCreated, MemberDeleted, MemberEvent, MemberUpdated
from projects.models import Member, Project
from projects.models.member import GUESTS
from projects.models.project import TagScope
from rbac import groups
from rbac.access import Actor
from rbac.models import User
from rbac.roles import NAMES, Role


def create(
    *,
    project: Project,
    role: int,
    user: User | None,
    group: groups.Meant | None,
    actor: Actor,
    tag_scope: Sequence[Mapping[str, Any]] | None = None,
) -> Member:
    """A new member, for a guest with the tags that he is limited to; a group as of `rbac.groups.found_or_made`.

    Conflict when it is one already.
    """
    scope = _checked_scope(tag_scope, _checked(role))
    message = "the member exists already in this project"
    with projects.held(project):
        found = groups.found_or_made(group, actor=actor) if group else None
        member = Member(project=project, user=user, group=found, role=role, tag_scope=scope)
        with refuse_duplicates(member_user_once=message, member_group_once=message):
            member.save()
        emit(_event(MemberCreated, member, actor))
    return member


def change_role(*, member: Member, role: int, actor: Actor) -> None:
    """Give a member another role. NotFound when somebody removed him meanwhile.

    A guest stays limited to his tags as long as he is a guest: who does not know of tag scopes cannot lift one.
    """
    _checked(role)
    with transaction.atomic():
        row = _locked(member)
        row.role = role
        row.tag_scope = row.tag_scope if role in GUESTS else None
        row.save(update_fields=["role", "tag_scope", "updated"])
        emit(_event(MemberUpdated, row, actor))


def limit(*, member: Member, role: int, tag_scope: Sequence[Mapping[str, Any]] | None, actor: Actor) -> None:
    """Give a member a role and the tags that he is limited to; None lets a guest see everything."""
    scope = _checked_scope(tag_scope, _checked(role))
    with transaction.atomic():
        row = _locked(member)
        row.role, row.tag_scope = role, scope
        row.save(update_fields=["role", "tag_scope", "updated"])
        emit(_event(MemberUpdated, row, actor))


def delete(*, member: Member, actor: Actor) -> None:
    with transaction.atomic():
        row = _locked(member)
        emit(_event(MemberDeleted, row, actor))
        row.delete()


def _locked(member: Member) -> Member:
    row = (
        Member.objects.select_for_update(of=("self",))
        .select_related("user", "group", "project")
        .filter(pk=member.pk)
        .first()
    )
    if row is None:
        raise errors.NotFound(f"member {member.pk} not found")
    return row


def _checked(role: int) -> int:
    if role not in {int(known) for known in Role}:
        raise errors.BadRequest(f"role_id must be one of {', '.join(f'{int(k)} ({v})' for k, v in NAMES.items())}")
    return role


def _checked_scope(given: Sequence[Mapping[str, Any]] | None, role: int) -> TagScope | None:
    if given is None:
        return None
    if role not in GUESTS:
        raise errors.BadRequest("tag_scope is for guests and limited guests; other roles see everything")
    return tag_scopes.checked(given)


def _event(kind: type[MemberEvent], member: Member, actor: Actor) -> MemberEvent:
    name = member.user.name if member.user else member.group.name if member.group else ""
    return kind(
        actor=actor.name,
        project_id=member.project_id,
        project=member.project.name,
        member=name,
        role=Role(member.role).harbor_name,
        tag_scope=tag_scopes.in_words(member.tag_scope),
    )
