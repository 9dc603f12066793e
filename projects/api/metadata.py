"""/projects/{project}/metadatas, as in Harbor: what is said about a project, key by key."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api.forms import Text
from core.api.operations import operation
from projects import projects
from projects.api.parents import InProject

_WORDS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}


class Metadata(InProject):
    """All values are strings. To list them is for system admins and robots alone, as in Harbor."""

    resource = "metadata"

    @operation("Read all of what is said about a project", gives=dict[str, str])
    def list(self, request: Request, **_: Any) -> Response:
        return Response(self.get_project().all_metadata)

    @operation("Say one thing more about a project", body=_WORDS, refuses=(409,))
    def create(self, request: Request, **_: Any) -> Response:
        said = self._said()
        if len(said) != 1:
            raise errors.BadRequest(f"only one key with its value can be added at once, not {len(said)}")
        ((key, value),) = said.items()
        projects.add_metadata(project=self.get_project(), key=key, value=value, actor=self.actor)
        return self.done()

    @operation("Read one thing said about a project", gives=dict[str, str])
    def retrieve(self, request: Request, meta_name: str, **_: Any) -> Response:
        project = self.get_project()
        if meta_name not in project.all_metadata:
            raise errors.NotFound(f"the project {project.name} has no {meta_name[:40]}")
        return Response({meta_name: project.all_metadata[meta_name]})

    @operation("Change one thing said about a project", body=_WORDS)
    def update(self, request: Request, meta_name: str, **_: Any) -> Response:
        """What the body says of other keys is ignored, as in Harbor."""
        said = self._said()
        if meta_name not in said:
            raise errors.BadRequest(f"the body must say what {meta_name[:40]} is")
        projects.set_metadata(project=self.get_project(), key=meta_name, value=said[meta_name], actor=self.actor)
        return self.done()

    @operation("Take back one thing said about a project")
    def destroy(self, request: Request, meta_name: str, **_: Any) -> Response:
        projects.delete_metadata(project=self.get_project(), key=meta_name, actor=self.actor)
        return self.done()

    def _said(self) -> dict[str, str]:
        """The body: keys and values; 422 when it is anything else."""
        said: dict[str, str] = serializers.DictField(child=Text()).run_validation(self.document())
        return said
