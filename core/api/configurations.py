"""/configurations, as in Harbor: what an admin changes while the platform runs."""

from __future__ import annotations

from typing import Any, cast

from rest_framework.request import Request
from rest_framework.response import Response

from core import configuration, errors
from core.api.resource import Resource


class Configurations(Resource):
    """All items, for system admins."""

    resource = "configuration"
    # Or nobody could end it.
    changes_in_read_only_mode = True

    def retrieve(self, request: Request) -> Response:
        return Response({key: {"value": value, "editable": True} for key, value in configuration.shown().items()})

    def update(self, request: Request) -> Response:
        document = self.document()
        if not isinstance(document, dict):
            raise errors.Unprocessable("configurations in body must be an object")
        # As in Harbor, null means absent and unknown items are ignored.
        given: dict[str, Any] = {
            key: value for key, value in document.items() if key in configuration.ITEMS and value is not None
        }
        configuration.change(actor=cast(Any, request.user).name, **given)
        return self.done()


class InternalConfiguration(Resource):
    """Harbor's own parts ask this with a secret that they share. Ours read the database: nobody has such a secret."""

    resource = "signed-in"

    def retrieve(self, request: Request) -> Response:
        raise errors.Forbidden("only the platform's own parts may ask this, and none does")
