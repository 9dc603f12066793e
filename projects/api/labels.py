"""/labels and …/artifacts/{reference}/labels, as in Harbor: global labels and those of projects."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, Required

from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.forms import Form, Text, Whole
from core.api.operations import operation
from core.api.resource import Resource
from projects import labels
from projects.api import answers
from projects.api.parents import NUMBER, InProject, unknown_project
from projects.models import Label, Project
from rbac.access import Actor, allowed, with_known_roles
from rbac.authentication import actor_of
from rbac.permissions import EVERYBODY, or_refuse

Scope = Label.Scope

_WHOSE = {"scope": Required[Literal["g", "p"]], "project_id": int, "name": str}


class LabelForm(Form):
    name = Text(default="")
    description = Text(default="")
    color = Text(max_length=16, default="")


class NewLabel(LabelForm):
    scope = Text(default="")
    project_id = Whole(default=0)


class LabelById(Form):
    id = Whole()


def as_json(label: Label) -> dict[str, Any]:
    """Harbor's Label."""
    return json.without_empty(
        {
            "id": label.pk,
            "name": label.name,
            "description": label.description,
            "color": label.color,
            "scope": label.scope,
            "project_id": label.project_id,
            "creation_time": json.time(label.created),
            "update_time": json.time(label.updated),
        }
    )


class Labels(Resource):
    """Each label is asked about where it belongs: in its project, or in the system.

    Global labels are listed by everybody who signed in: that is asked in `list`.
    """

    resource = "label"
    verbs = {"list": EVERYBODY}
    filter_fields = {
        "id": "id",
        "name": "name",
        "description": "description",
        "color": "color",
        "creation_time": "created",
        "update_time": "updated",
    }

    def get_project(self) -> Project | None:
        """The project of the label that the request is about; None for a global one."""
        if self.action == "create":
            if not self.request.user.is_authenticated:
                raise errors.Unauthenticated
            return self._place
        return self._label.project

    @operation("List global labels or a project's", lists=answers.Label, query=_WHOSE, refuses=(401, 403, 404))
    def list(self, request: Request) -> Response:
        scope, actor = request.query_params.get("scope", ""), actor_of(request)
        if scope not in Scope.values:
            raise errors.BadRequest(f"invalid scope: {scope[:40]!r} is neither g (global) nor p (project)")
        project = self._project_asked_for() if scope == Scope.PROJECT else None
        or_refuse(request, allowed(actor, "label", "list", project) if project else actor.is_authenticated)
        name = request.query_params.get("name", "")
        return self.listing(Label.objects.filter(project=project, name__icontains=name), as_json)

    @operation("Create a label", body=NewLabel, status=201, refuses=(404, 409))
    def create(self, request: Request) -> Response:
        given = self._given
        label = labels.create(
            project=self._place,
            name=given["name"],
            description=given["description"],
            color=given["color"],
            actor=actor_of(request),
        )
        return self.created(label.pk)

    @operation("Read a label", gives=answers.Label)
    def retrieve(self, request: Request, label_id: int) -> Response:
        return Response(as_json(self._label))

    @operation("Change a label", body=LabelForm, refuses=(409,))
    def update(self, request: Request, label_id: int) -> Response:
        labels.update(label=self._label, actor=actor_of(request), **self.body(LabelForm))
        return self.done()

    @operation("Delete a label")
    def destroy(self, request: Request, label_id: int) -> Response:
        labels.delete(label=self._label, actor=actor_of(request))
        return self.done()

    def _project_asked_for(self) -> Project:
        text = self.request.query_params.get("project_id", "")
        if text in ("", "0"):
            raise errors.BadRequest("must with project ID when to query project labels")
        if not NUMBER.fullmatch(text):
            raise errors.Unprocessable(f"project_id in query must be of type int64: {text[:40]!r}")
        return _project(int(text), actor_of(self.request))

    @cached_property
    def _given(self) -> dict[str, Any]:
        return self.body(NewLabel)

    @cached_property
    def _place(self) -> Project | None:
        """Where the new label shall belong; what else a global label says of a project is ignored, as in Harbor."""
        match self._given["scope"]:
            case Scope.GLOBAL:
                return None
            case Scope.PROJECT if not self._given["project_id"]:
                raise errors.BadRequest("a label of scope p belongs to a project: project_id is missing")
            case Scope.PROJECT:
                return _project(self._given["project_id"], actor_of(self.request))
        raise errors.BadRequest("unsupported label scope: it is g (global) or p (project)")

    @cached_property
    def _label(self) -> Label:
        """The label of the path; who has nothing to do with its project hears that there is none."""
        actor, number = actor_of(self.request), self.kwargs["label_id"]
        label: Label | None = Label.objects.live().select_related("project").filter(pk=number).first()
        if label is None or not _may_know(actor, label):
            raise errors.NotFound(f"label {number} not found") if actor.is_authenticated else errors.Unauthenticated()
        return label


class ArtifactLabels(InProject):
    """The labels on one artifact."""

    resource = "artifact-label"

    @operation("Put a label on an artifact", body=LabelById, refuses=(409,))
    def create(self, request: Request, **_: Any) -> Response:
        labels.put_on(artifact=self.get_artifact(), label_id=self.body(LabelById)["id"], actor=self.actor)
        return self.done()

    @operation("Take a label off an artifact")
    def destroy(self, request: Request, **_: Any) -> Response:
        labels.take_off(artifact=self.get_artifact(), label_id=self.kwargs["label_id"], actor=self.actor)
        return self.done()


def _project(number: int, actor: Actor) -> Project:
    project: Project | None = Project.objects.live().filter(pk=number).first()
    if project is None:
        raise unknown_project(number, actor)
    return project


def _may_know(actor: Actor, label: Label) -> bool:
    """Global labels are no secret; a project's are for those who have any right to them."""
    if label.project is None:
        return True
    place = with_known_roles(label.project, actor)
    return any(allowed(actor, "label", action, place) for action in ("read", "update", "delete"))
