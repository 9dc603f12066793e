"""/usergroups, as in Harbor."""

from __future__ import annotations

from typing import Any, Required

from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.forms import Form, Text, Whole
from core.api.operations import operation
from core.api.resource import Resource
from rbac import groups
from rbac.api import answers
from rbac.authentication import actor_of
from rbac.models import Group
from rbac.permissions import SIGNED_IN

_FIELDS = {
    "id": "id",
    "group_name": "name",
    "group_type": "kind",
    "ldap_group_dn": "ldap_dn",
    "creation_time": "created",
    "update_time": "updated",
}


class GroupForm(Form):
    # What is missing is Go's empty value, which no group can have.
    group_name = Text(max_length=255, default="")
    group_type = Whole(default=0)
    ldap_group_dn = Text(max_length=512, default="")


def as_json(group: Group) -> dict[str, Any]:
    """Harbor's UserGroup."""
    return json.without_empty({**as_found(group), "ldap_group_dn": group.ldap_dn})


def as_found(group: Group) -> dict[str, Any]:
    """Harbor's UserGroupSearchItem."""
    return {"id": group.pk, "group_name": group.name, "group_type": group.kind}


class Groups(Resource):
    """All groups, for who manages them."""

    resource = "user-group"
    filter_fields = _FIELDS
    default_sort = ("name", "id")

    @operation("List the groups", lists=answers.Group, query={"group_name": str, "ldap_group_dn": str})
    def list(self, request: Request) -> Response:
        query = request.query_params
        rows = Group.objects.filter(name__icontains=query.get("group_name", ""))
        if dn := query.get("ldap_group_dn", ""):
            rows = rows.filter(ldap_dn=groups.normalised(dn))
        return self.listing(rows, as_json)

    @operation("Create a group", body=GroupForm, status=201, refuses=(409,))
    def create(self, request: Request) -> Response:
        said = self.body(GroupForm)
        group = groups.create(
            name=said["group_name"], kind=said["group_type"], ldap_dn=said["ldap_group_dn"], actor=actor_of(request)
        )
        return self.created(group.pk)


class OneGroup(Resource):
    """One group. Only its name can be changed; the rest of a body is ignored, as in Harbor."""

    resource = "user-group"

    @operation("Read a group", gives=answers.Group)
    def retrieve(self, request: Request, group_id: int) -> Response:
        return Response(as_json(groups.find(group_id=_given(group_id))))

    @operation("Rename a group", body=GroupForm, refuses=(409,))
    def update(self, request: Request, group_id: int) -> Response:
        name = self.body(GroupForm)["group_name"]
        groups.rename(group_id=_given(group_id), name=name, actor=actor_of(request))
        return self.done()

    @operation("Delete a group")
    def destroy(self, request: Request, group_id: int) -> Response:
        groups.delete(group_id=_given(group_id), actor=actor_of(request))
        return self.done()


class GroupSearch(Resource):
    """Find groups by a part of their name, to make them members."""

    resource = SIGNED_IN
    filter_fields = _FIELDS
    default_sort = ("name", "id")

    @operation("Find groups by a part of their name", lists=answers.FoundGroup, query={"groupname": Required[str]})
    def list(self, request: Request) -> Response:
        return self.listing(Group.objects.filter(name__icontains=self.required("groupname")), as_found)


def _given(group_id: int) -> int:
    """Go's zero is no id."""
    if not group_id:
        raise errors.BadRequest("the user group id should be provided")
    return group_id
