"""/openapi.json: what this API is, for people's explorers and for machines that make clients."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from core.api import openapi
from core.api.operations import operation
from core.api.resource import Resource


class Document(Resource):
    """It tells nothing about this installation."""

    resource = "everybody"
    authentication_classes = ()

    @operation("Read this document", gives=dict[str, Any])
    def retrieve(self, request: Request) -> Response:
        return Response(openapi.document())
