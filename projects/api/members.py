"""/projects/{p}/members, as in Harbor."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.text import Text
from projects import members
from projects.api.parents import InProject
from projects.models import Member
from rbac.models import Group, User
from rbac.roles import Role


class MemberUser(serializers.Serializer[Any]):
    user_id = serializers.IntegerField(required=False, min_value=1)
    username = Text(required=False, max_length=255)


class MemberGroup(serializers.Serializer[Any]):
    id = serializers.IntegerField(required=False, min_value=1)
    group_name = Text(required=False, max_length=255)
    group_type = serializers.IntegerField(required=False)
    ldap_group_dn = Text(required=False, max_length=512)


class MemberForm(serializers.Serializer[Any]):
    role_id = serializers.IntegerField()
    member_user = MemberUser(required=False, allow_null=True)
    member_group = MemberGroup(required=False, allow_null=True)


class RoleForm(serializers.Serializer[Any]):
    role_id = serializers.IntegerField()


def as_json(member: Member) -> dict[str, Any]:
    """Harbor's ProjectMemberEntity."""
    entity = member.user or member.group
    return {
        "id": member.pk,
        "project_id": member.project_id,
        "entity_name": entity.name if entity else "",
        "role_name": Role(member.role).harbor_name,
        "role_id": member.role,
        "entity_id": member.user_id or member.group_id,
        "entity_type": "u" if member.user_id else "g",
        "creation_time": json.time(member.created),
        "update_time": json.time(member.updated),
    }


class Members(InProject):
    """A project's members."""

    resource = "member"
    queryset = Member.objects.none()

    def list(self, request: Request, **_: Any) -> Response:
        rows = self.get_project().members.select_related("user", "group").order_by("pk")
        if wanted := request.query_params.get("entityname"):
            rows = rows.filter(Q(user__username__icontains=wanted) | Q(group__name__icontains=wanted))
        page = self.paginate_queryset(rows) or []
        return self.get_paginated_response([as_json(member) for member in page])

    def create(self, request: Request, **_: Any) -> Response:
        form = MemberForm(data=request.data)
        form.is_valid(raise_exception=True)
        given = form.validated_data
        user, group = given.get("member_user"), given.get("member_group")
        if bool(user) == bool(group):
            raise errors.BadRequest("give either member_user or member_group")
        member = members.create(
            project=self.get_project(),
            role=given["role_id"],
            user=_find_user(user) if user else None,
            group=_find_group(group) if group else None,
            actor=self.actor,
        )
        location = f"/api/v2.0/projects/{self.kwargs['project_name_or_id']}/members/{member.pk}"
        return Response(status=201, headers={"Location": location})

    def retrieve(self, request: Request, **_: Any) -> Response:
        return Response(as_json(self._member()))

    def update(self, request: Request, **_: Any) -> Response:
        form = RoleForm(data=request.data)
        form.is_valid(raise_exception=True)
        members.change_role(member=self._member(), role=form.validated_data["role_id"], actor=self.actor)
        return Response(status=200)

    def destroy(self, request: Request, **_: Any) -> Response:
        members.delete(member=self._member(), actor=self.actor)
        return Response(status=200)

    def _member(self) -> Member:
        number = self.kwargs["member_id"]
        member = self.get_project().members.select_related("user", "group", "project").filter(pk=number).first()
        if member is None:
            raise errors.NotFound(f"member {number} not found")
        return member


def _find_user(said: dict[str, Any]) -> User:
    key = {"pk": said["user_id"]} if "user_id" in said else {"username": said.get("username", "")}
    user: User | None = User.objects.live().filter(**key).first()
    if user is None:
        raise errors.NotFound("the user does not exist")
    return user


def _find_group(said: dict[str, Any]) -> Group:
    key = {"pk": said["id"]} if "id" in said else {"name": said.get("group_name", "")}
    group = Group.objects.filter(**key).first()
    if group is None:
        raise errors.NotFound("the group does not exist")
    return group
