"""/quotas, as in Harbor: how much each project may store, for those who look after the whole system."""

from __future__ import annotations

from typing import Any

from django.db.models import BigIntegerField, Case, QuerySet, Value, When
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.forms import INT64_MOST, Form, Whole
from core.api.operations import operation
from core.api.resource import Resource
from projects import quotas
from projects.api import answers
from projects.api.parents import NUMBER
from projects.models import Quota
from rbac.authentication import actor_of


class QuotaChange(Form):
    hard = serializers.DictField(child=Whole(), required=False)


def amounts(quota: Quota) -> dict[str, Any]:
    """The limit and the use, as Harbor's resource lists in bytes."""
    return {"hard": {quotas.STORAGE: quota.hard}, "used": {quotas.STORAGE: quota.used}}


def as_json(quota: Quota) -> dict[str, Any]:
    """Harbor's Quota; the row must come with its project and that one's owner."""
    project = quota.project
    return {
        "id": quota.pk,
        "ref": {"id": project.pk, "name": project.name, "owner_name": project.owner.username},
        **amounts(quota),
        # A quota is made with its project.
        "creation_time": json.time(project.created),
        "update_time": json.time(quota.updated),
    }


class Quotas(Resource):
    """The quotas of all projects."""

    resource = "quota"
    sort_fields = {
        "hard.storage": "limit",
        "used.storage": "used",
        "creation_time": "project__created",
        "update_time": "updated",
    }
    default_sort = ("-project__created", "-pk")

    @operation("List the quotas of all projects", lists=answers.Quota, query={"reference": str, "reference_id": str})
    def list(self, request: Request) -> Response:
        # No limit is more than any limit.
        most = Value(INT64_MOST, BigIntegerField())
        limit = Case(When(hard=Quota.UNLIMITED, then=most), default="hard")
        return self.listing(self._asked_for(request).annotate(limit=limit), as_json)

    @operation("Read a quota", gives=answers.Quota)
    def retrieve(self, request: Request, quota_id: int) -> Response:
        return Response(as_json(self._quota()))

    @operation("Change a quota", body=QuotaChange)
    def update(self, request: Request, quota_id: int) -> Response:
        hard = self.body(QuotaChange).get("hard")
        if not hard:
            raise errors.BadRequest("hard required in body")
        quotas.change(quota=self._quota(), hard=hard, actor=actor_of(request))
        return self.done()

    def _quotas(self) -> QuerySet[Quota]:
        return Quota.objects.live().select_related("project__owner")

    def _asked_for(self, request: Request) -> QuerySet[Quota]:
        """Those whose reference the query names, by kind and by id; projects are the only kind there is."""
        query, rows = request.query_params, self._quotas()
        if query.get("reference", "project") not in ("", "project"):
            return rows.none()
        if number := query.get("reference_id"):
            return rows.filter(project=int(number)) if NUMBER.fullmatch(number) else rows.none()
        return rows

    def _quota(self) -> Quota:
        number = self.kwargs["quota_id"]
        quota = self._quotas().filter(pk=number).first()
        if quota is None:
            raise errors.NotFound(f"quota {number} not found")
        return quota
