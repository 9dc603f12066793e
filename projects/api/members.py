"""/projects/{p}/members, as in Harbor."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api.forms import Form, Text, Whole
from core.api.operations import operation
from projects import members
from projects.api import answers
from projects.api.parents import InProject
from projects.models import Member
from rbac import groups
from rbac.models import User
from rbac.roles import Role


class MemberUser(Form):
    user_id = Whole(required=False)
    username = Text(required=False, max_length=255)


class MemberGroup(Form):
    id = Whole(required=False)
    group_name = Text(required=False, max_length=255)
    group_type = Whole(required=False)
    ldap_group_dn = Text(required=False, max_length=512)


class TagScopeEntry(Form):
    repository = Text(max_length=255)
    tags = serializers.ListField(child=Text(max_length=255))


class RoleForm(Form):
    role_id = Whole()
    tag_scope = TagScopeEntry(many=True, required=False)

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        # Absent leaves a scope as it is; here null is a word of its own and lifts it.
        return {**values, "tag_scope": None} if isinstance(data, dict) and data.get("tag_scope", 0) is None else values


class MemberForm(RoleForm):
    member_user = MemberUser(required=False)
    member_group = MemberGroup(required=False)


def as_json(member: Member) -> dict[str, Any]:
    """Harbor's ProjectMemberEntity; with `tag_scope` for a guest who is limited to some tags."""
    entity = member.user or member.group
    scope = {} if member.tag_scope is None else {"tag_scope": member.tag_scope}
    return {
        "id": member.pk,
        "project_id": member.project_id,
        "entity_name": entity.name if entity else "",
        "role_name": Role(member.role).harbor_name,
        "role_id": member.role,
        "entity_id": member.user_id or member.group_id,
        "entity_type": "u" if member.user_id else "g",
        **scope,
    }


class Members(InProject):
    """A project's members."""

    resource = "member"
    filter_fields = {"entity_name": "entity_name", "role_id": "role", "creation_time": "created"}
    default_sort = ("entity_name",)

    @operation("List a project's members", lists=answers.Member, query={"entityname": str})
    def list(self, request: Request, **_: Any) -> Response:
        rows = self._members()
        if wanted := request.query_params.get("entityname"):
            rows = rows.filter(Q(user__username__icontains=wanted) | Q(group__name__icontains=wanted))
        return self.listing(rows, as_json)

    @operation("Make somebody a member", body=MemberForm, status=201, refuses=(409,))
    def create(self, request: Request, **_: Any) -> Response:
        given = self.body(MemberForm)
        user, group = given.get("member_user"), given.get("member_group")
        if bool(user) == bool(group):
            raise errors.BadRequest("give either member_user or member_group")
        member = members.create(
            project=self.get_project(),
            role=given["role_id"],
            user=_find_user(user) if user else None,
            group=_meant(group) if group else None,
            tag_scope=given.get("tag_scope"),
            actor=self.actor,
        )
        return self.created(member.pk)

    @operation("Read a member", gives=answers.Member)
    def retrieve(self, request: Request, **_: Any) -> Response:
        return Response(as_json(self._member()))

    @operation("Change a member's role or tags", body=RoleForm)
    def update(self, request: Request, **_: Any) -> Response:
        given, member = self.body(RoleForm), self._member()
        if "tag_scope" in given:
            members.limit(member=member, role=given["role_id"], tag_scope=given["tag_scope"], actor=self.actor)
        else:
            members.change_role(member=member, role=given["role_id"], actor=self.actor)
        return self.done()

    @operation("Remove a member")
    def destroy(self, request: Request, **_: Any) -> Response:
        members.delete(member=self._member(), actor=self.actor)
        return self.done()

    def _member(self) -> Member:
        number = self.kwargs["member_id"]
        member = self._members().filter(pk=number).first()
        if member is None:
            raise errors.NotFound(f"member {number} not found")
        return member

    def _members(self) -> QuerySet[Member]:
        rows = Member.objects.filter(project=self.get_project()).select_related("user", "group")
        return rows.annotate(entity_name=Coalesce("user__username", "group__name"))


def _find_user(said: dict[str, Any]) -> User:
    key = {"pk": said["user_id"]} if said.get("user_id") else {"username": said.get("username", "")}
    user: User | None = User.objects.live().filter(**key).first()
    if user is None:
        raise errors.NotFound("the user does not exist")
    return user


def _meant(said: dict[str, Any]) -> groups.Meant:
    return groups.Meant(
        id=said.get("id", 0),
        name=said.get("group_name", ""),
        kind=said.get("group_type", 0),
        ldap_dn=said.get("ldap_group_dn", ""),
    )
