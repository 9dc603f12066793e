"""/projects/{project}/scanner, as Harbor answers while no scanner is registered: there is none to register yet."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api.forms import Form, Text
from core.api.operations import operation
from projects.api.parents import InProject
from projects.models import Project


class ScannerChoice(Form):
    uuid = Text()


class Scanner(InProject):
    """What scans a project's images. The candidates are for who may choose one."""

    resource = "scanner"
    verbs = {"update": "create", "candidates": "create"}

    @operation("Read which scanner a project uses")
    def retrieve(self, request: Request, **_: Any) -> Response:
        """None: as in Harbor, 200 without a body."""
        return self.done()

    @operation("Choose a project's scanner", body=ScannerChoice)
    def update(self, request: Request, **_: Any) -> Response:
        raise errors.NotFound(f"scanner registration {self.body(ScannerChoice)['uuid'][:80]} not found")

    @operation("List the scanners that a project can choose", gives=list[object])
    def candidates(self, request: Request, **_: Any) -> Response:
        # A list all the same, whose pages and filters are judged.
        return self.listing(Project.objects.none(), lambda _: {})
