"""Members: who has which role in a project."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from core import errors
from core.events import emit
from projects.events import MemberCreated, MemberDeleted, MemberEvent, MemberUpdated
from projects.models import Member, Project
from rbac.access import Actor
from rbac.models import Group, User
from rbac.roles import NAMES, Role


def create(*, project: Project, role: int, user: User | None, group: Group | None, actor: Actor) -> Member:
    """A new member. Conflict when it is one already."""
    member = Member(project=project, user=user, group=group, role=_checked(role))
    try:
        with transaction.atomic():
            member.save()
            emit(_event(MemberCreated, member, actor))
    except IntegrityError as error:
        raise errors.Conflict("the member exists already") from error
    return member


def change_role(*, member: Member, role: int, actor: Actor) -> None:
    member.role = _checked(role)
    with transaction.atomic():
        member.save(update_fields=["role", "updated"])
        emit(_event(MemberUpdated, member, actor))


def delete(*, member: Member, actor: Actor) -> None:
    with transaction.atomic():
        emit(_event(MemberDeleted, member, actor))
        member.delete()


def _checked(role: int) -> int:
    if role not in {int(known) for known in Role}:
        raise errors.BadRequest(f"role_id must be one of {', '.join(f'{int(k)} ({v})' for k, v in NAMES.items())}")
    return role


def _event(kind: type[MemberEvent], member: Member, actor: Actor) -> MemberEvent:
    name = member.user.name if member.user else member.group.name if member.group else ""
    return kind(
        actor=actor.name,
        project_id=member.project_id,
        project=member.project.name,
        member=name,
        role=Role(member.role).harbor_name,
    )
