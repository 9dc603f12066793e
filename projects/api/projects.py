"""/projects, as in Harbor."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, F, Q, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from core import errors
from core.api import json
from core.api.text import Text
from projects import projects, quotas
from projects.api.parents import InProject
from projects.models import Member, Project, Quota, Repository
from projects.models.project import ProjectQuerySet
from rbac.access import allowed
from rbac.authentication import actor_of
from rbac.models import User
from rbac.permissions import EVERYBODY
from rbac.roles import BY_POWER, Role


class ProjectForm(serializers.Serializer[Any]):
    project_name = Text(max_length=1024)
    public = serializers.BooleanField(required=False, allow_null=True)
    metadata = serializers.DictField(required=False, allow_null=True)
    storage_limit = serializers.IntegerField(required=False, allow_null=True, min_value=-1, max_value=2**62)


class ProjectChange(serializers.Serializer[Any]):
    public = serializers.BooleanField(required=False, allow_null=True)
    metadata = serializers.DictField(required=False, allow_null=True)


def as_json(project: Project, actor: Any) -> dict[str, Any]:
    """Harbor's Project; the row must come from `with_repository_count` and know its `owner_name`."""
    known = vars(project)
    roles = sorted({Role(role) for role in known.get("my_roles", ())}, key=BY_POWER.index)
    return json.without_empty(
        {
            "project_id": project.pk,
            "name": project.name,
            "owner_id": project.owner_id,
            "owner_name": known.get("owner_name"),
            "creation_time": json.time(project.created),
            "update_time": json.time(project.updated),
            "repo_count": known.get("repo_count", 0),
            "current_user_role_id": int(roles[0]) if roles else 0,
            "current_user_role_ids": [int(role) for role in roles],
            "metadata": {"public": str(project.public).lower(), **project.metadata},
            "cve_allowlist": None,
        },
        keep=("repo_count",),
    )


def with_roles(rows: list[Project], actor: Any) -> list[Project]:
    """Give each row the actor's roles there, in one query."""
    if isinstance(actor, User):
        mine = Member.objects.filter(Q(user=actor) | Q(group__users=actor), project__in=rows)
        for project_id, role in mine.values_list("project_id", "role"):
            for row in rows:
                if row.pk == project_id:
                    vars(row).setdefault("my_roles", []).append(role)
    for row in rows:
        vars(row)["repo_count"] = vars(row).get("repo_count") or 0
    return rows


class Projects(GenericViewSet[Project]):
    """What the caller may know of; creation is for whoever signed in (or as configured)."""

    resource = EVERYBODY
    filter_fields = {
        "name": "name",
        "project_id": "pk",
        "public": "public",
        "owner_id": "owner_id",
        "creation_time": "created",
        "update_time": "updated",
    }
    default_sort = ("name",)
    queryset = Project.objects.none()

    def get_queryset(self) -> QuerySet[Project]:
        rows: ProjectQuerySet = Project.objects.visible_to(actor_of(self.request))
        query = self.request.query_params
        if name := query.get("name"):
            rows = rows.filter(name__icontains=name)
        if "public" in query:
            rows = rows.filter(public=json.is_true(query["public"]))
        if owner := query.get("owner"):
            rows = rows.filter(owner__username=owner)
        return _with_owner(rows)

    def list(self, request: Request) -> Response:
        actor = actor_of(request)
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response([as_json(row, actor) for row in with_roles(list(page), actor)])

    def create(self, request: Request) -> Response:
        actor = actor_of(request)
        if not actor.is_authenticated:
            raise errors.Unauthenticated
        form = ProjectForm(data=request.data)
        form.is_valid(raise_exception=True)
        given = form.validated_data
        metadata = given.get("metadata") or {}
        project = projects.create(
            name=given["project_name"],
            public=json.is_true(str(metadata.get("public", given.get("public") or False))),
            metadata=projects.check_metadata(metadata),
            storage_limit=given.get("storage_limit"),
            actor=actor,
        )
        by_name = json.is_true(request.headers.get("X-Resource-Name-In-Location"))
        location = f"/api/v2.0/projects/{project.name if by_name else project.pk}"
        return Response(status=201, headers={"Location": location})

    def exists(self, request: Request) -> Response:
        """HEAD: whether the name in `project_name` is taken."""
        if not actor_of(request).is_authenticated:
            raise errors.Unauthenticated
        name = request.query_params.get("project_name", "")
        return Response(status=200 if Project.objects.live().filter(name=name).exists() else 404)


class OneProject(InProject):
    """One project: read, change, delete."""

    resource = "project"
    verbs = {"summary": "read", "deletable": "delete"}
    queryset = Project.objects.none()

    def retrieve(self, request: Request, **_: Any) -> Response:
        row = _with_owner(Project.objects.filter(pk=self.get_project().pk)).get()
        return Response(as_json(with_roles([row], self.actor)[0], self.actor))

    def update(self, request: Request, **_: Any) -> Response:
        form = ProjectChange(data=request.data)
        form.is_valid(raise_exception=True)
        metadata = form.validated_data.get("metadata") or {}
        said = metadata.get("public", form.validated_data.get("public"))
        projects.update(
            project=self.get_project(),
            public=None if said is None else json.is_true(str(said)),
            metadata=projects.check_metadata(metadata),
            actor=self.actor,
        )
        return Response(status=200)

    def destroy(self, request: Request, **_: Any) -> Response:
        projects.delete(project=self.get_project(), actor=self.actor)
        return Response(status=200)

    def deletable(self, request: Request, **_: Any) -> Response:
        reason = projects.why_not_deletable(self.get_project())
        return Response({"deletable": not reason, **({"message": reason} if reason else {})})

    def summary(self, request: Request, **_: Any) -> Response:
        project = self.get_project()
        body: dict[str, Any] = {"repo_count": Repository.objects.live().filter(project=project).count()}
        if allowed(self.actor, "member", "list", project):
            by_role = dict(project.members.order_by().values_list("role").annotate(Count("pk")))
            body |= {key: by_role.get(int(role), 0) for role, key in _COUNTS.items()}
        if allowed(self.actor, "quota", "read", project):
            quota = Quota.objects.filter(project=project).first()
            hard = quota.hard if quota else Quota.UNLIMITED
            body["quota"] = {"hard": {"storage": hard}, "used": {"storage": quotas.usage(project=project)}}
        return Response(body)


def _with_owner(rows: ProjectQuerySet) -> QuerySet[Project]:
    return rows.with_repository_count().annotate(owner_name=F("owner__username"))


_COUNTS = {
    Role.PROJECT_ADMIN: "project_admin_count",
    Role.MAINTAINER: "maintainer_count",
    Role.DEVELOPER: "developer_count",
    Role.GUEST: "guest_count",
    Role.LIMITED_GUEST: "limited_guest_count",
}
