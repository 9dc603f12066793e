"""/projects, as in Harbor."""

from __future__ import annotations

from typing import Any, Required

from django.db.models import Count, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.cve_allowlist import AllowlistForm, entries_of
from core.api.cve_allowlist import as_json as allowlist_as_json
from core.api.forms import Flag, Form, Text, Whole
from core.api.operations import operation
from core.api.query import Condition, Exact, Fuzzy
from core.api.resource import Resource
from core.cve_allowlist import Entries
from projects import cve_allowlists, projects, reach
from projects.api import answers
from projects.api.parents import InProject
from projects.api.quotas import amounts
from projects.models import Member, Project, Quota, Repository
from projects.models.project import ProjectQuerySet
from rbac.access import Actor, allowed
from rbac.authentication import actor_of
from rbac.models import User
from rbac.permissions import EVERYBODY, SIGNED_IN
from rbac.roles import BY_POWER, Role

_OF_LIST = {"name": str, "public": bool, "owner": str, "with_detail": bool}


class ProjectAllowlist(AllowlistForm):
    # Go's zero, which no project has.
    project_id = Whole(default=0)


class ProjectForm(Form):
    project_name = Text(max_length=255)
    public = Flag(default=False)
    metadata = serializers.DictField(child=Text(allow_null=True), required=False)
    cve_allowlist = ProjectAllowlist(required=False)
    storage_limit = Whole(required=False)
    registry_id = Whole(required=False)


class ProjectChange(Form):
    metadata = serializers.DictField(child=Text(allow_null=True), required=False)
    cve_allowlist = ProjectAllowlist(required=False)


def as_json(project: Project) -> dict[str, Any]:
    """Harbor's Project; of a row that does not come `with_details` less. `completed` adds what is the caller's."""
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
            "repo_count": known.get("repo_count") or 0,
            "current_user_role_id": int(roles[0]) if roles else 0,
            "current_user_role_ids": [int(role) for role in roles],
            "metadata": project.all_metadata,
            "cve_allowlist": _own_allowlist(project) if "owner_name" in known else None,
        },
        keep=("repo_count",),
    )


def completed(rows: list[Project], actor: Actor) -> list[Project]:
    """Give each row the actor's roles there, and the number of repositories that he reaches."""
    roles: dict[int, list[int]] = {row.pk: [] for row in rows}
    if isinstance(actor, User):
        mine = Member.objects.of(actor).filter(project__in=rows)
        for project_id, role in mine.values_list("project_id", "role"):
            roles[project_id].append(role)
    for row in rows:
        vars(row)["my_roles"] = roles[row.pk]
    reach.recount_repositories(rows, actor)
    return rows


def _of_owner(_: Any, rows: QuerySet[Project], condition: Condition) -> QuerySet[Project]:
    match condition:
        case Exact(name):
            return rows.filter(owner__username=name)
        case Fuzzy(name):
            return rows.filter(owner__username__icontains=name)
    raise errors.BadRequest("owner is a name")


class Projects(Resource):
    """What the caller may know of; creation is for whoever signed in (or as configured)."""

    resource = "project"
    verbs = {"list": EVERYBODY, "create": SIGNED_IN, "exists": SIGNED_IN}
    filter_fields = {
        "name": "name",
        "project_id": "id",
        "public": "public",
        "owner": _of_owner,
        "owner_id": "owner_id",
        "creation_time": "created",
        "update_time": "updated",
    }
    default_sort = ("name",)

    @operation("List the projects that the caller may see", lists=answers.Project, query=_OF_LIST)
    def list(self, request: Request) -> Response:
        actor = actor_of(request)
        rows: ProjectQuerySet = Project.objects.listable_by(actor)
        query = request.query_params
        if name := query.get("name"):
            rows = rows.filter(name__icontains=name)
        if "public" in query:
            rows = rows.filter(public=self.asked("public"))
        if owner := query.get("owner"):
            rows = rows.filter(owner__username=owner)
        if not self.asked("with_detail", default=True):
            return self.listing(rows, as_json)
        return self.listing(rows.with_details(), as_json, lambda page: completed(page, actor))

    @operation(
        "Create a project",
        body=ProjectForm,
        status=201,
        headers={"X-Resource-Name-In-Location": bool},
        refuses=(409,),
    )
    def create(self, request: Request) -> Response:
        given = self.body(ProjectForm)
        if given.get("registry_id"):
            raise errors.BadRequest("proxy cache projects are not supported")
        project = projects.create(
            name=given["project_name"],
            public=given["public"],
            metadata=_said(given),
            storage_limit=given.get("storage_limit"),
            # Which project its `project_id` is about, nobody can know yet.
            cve_allowlist=entries_of(given["cve_allowlist"]) if "cve_allowlist" in given else None,
            actor=actor_of(request),
        )
        by_name = json.is_true(request.headers.get("X-Resource-Name-In-Location"))
        return self.created(project.name if by_name else project.pk)

    @operation("Whether a project's name is taken", query={"project_name": Required[str]}, refuses=(404,))
    def exists(self, request: Request) -> Response:
        """HEAD: whether the name in `project_name` is taken."""
        if not Project.objects.live().filter(name=self.required("project_name")).exists():
            raise errors.NotFound
        return self.done()


class OneProject(InProject):
    """One project: read, change, delete."""

    resource = "project"
    honours_tag_scope = True
    verbs = {"summary": "read", "deletable": "delete"}

    @operation("Read a project", gives=answers.Project)
    def retrieve(self, request: Request, **_: Any) -> Response:
        row = Project.objects.filter(pk=self.get_project().pk).with_details().get()
        return Response(as_json(completed([row], self.actor)[0]))

    @operation("Change a project", body=ProjectChange)
    def update(self, request: Request, **_: Any) -> Response:
        given, project = self.body(ProjectChange), self.get_project()
        projects.update(
            project=project,
            metadata=_said(given),
            cve_allowlist=_allowlist_given(project, given["cve_allowlist"]) if "cve_allowlist" in given else None,
            actor=self.actor,
        )
        return self.done()

    @operation("Delete an empty project", refuses=(412,))
    def destroy(self, request: Request, **_: Any) -> Response:
        projects.delete(project=self.get_project(), actor=self.actor)
        return self.done()

    @operation("Whether a project can be deleted", gives=answers.Deletable)
    def deletable(self, request: Request, **_: Any) -> Response:
        reason = projects.why_not_deletable(self.get_project())
        return Response({"deletable": not reason, **({"message": reason} if reason else {})})

    @operation("Count what a project holds", gives=answers.ProjectSummary)
    def summary(self, request: Request, **_: Any) -> Response:
        project = self.get_project()
        repositories = self.reach.repositories(Repository.objects.live().filter(project=project))
        body: dict[str, Any] = {"repo_count": repositories.count()}
        if allowed(self.actor, "member", "list", project):
            by_role = dict(project.members.order_by().values_list("role").annotate(Count("pk")))
            body |= {key: by_role[int(role)] for role, key in _COUNTS.items() if int(role) in by_role}
        if allowed(self.actor, "quota", "read", project):
            body["quota"] = amounts(Quota.objects.filter(project=project).first() or Quota(project=project))
        return Response(body)


def _own_allowlist(project: Project) -> dict[str, Any]:
    return {"project_id": project.pk, **allowlist_as_json(cve_allowlists.of(project))}


def _allowlist_given(project: Project, said: dict[str, Any]) -> Entries:
    if said["project_id"] not in (0, project.pk):
        raise errors.BadRequest(f"project_id in cve_allowlist must be {project.pk} but it's {said['project_id']}")
    return entries_of(said)


def _said(given: dict[str, Any]) -> dict[str, str]:
    """The metadata that were given; null is as good as absent."""
    return {key: value for key, value in given.get("metadata", {}).items() if value is not None}


_COUNTS = {
    Role.PROJECT_ADMIN: "project_admin_count",
    Role.MAINTAINER: "maintainer_count",
    Role.DEVELOPER: "developer_count",
    Role.GUEST: "guest_count",
    Role.LIMITED_GUEST: "limited_guest_count",
}
