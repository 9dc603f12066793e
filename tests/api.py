"""A client of the REST API that speaks JSON and signs in with every request."""

from __future__ import annotations

import base64
from typing import Any

from rest_framework.test import APIClient

from rbac.models import Robot, User
from tests.factories import PASSWORD

BASE = "/api/v2.0"


class Api(APIClient):
    """`Api(alice).get("/projects")`; without a user it is anonymous."""

    def __init__(self, actor: User | Robot | None = None, password: str = PASSWORD) -> None:
        super().__init__(raise_request_exception=False)
        if actor is not None:
            pair = base64.b64encode(f"{actor.name}:{password}".encode()).decode()
            self.credentials(HTTP_AUTHORIZATION=f"Basic {pair}")

    def generic(self, method: str, path: str, *args: Any, **options: Any) -> Any:
        return super().generic(
            method, BASE + path if path.startswith("/") and "/api/" not in path else path, *args, **options
        )

    def _encode_data(self, data: Any, format: str | None = None, content_type: str | None = None) -> Any:
        return super()._encode_data(data, format or (None if content_type else "json"), content_type)


def code(answer: Any) -> str:
    """The code of an error's body."""
    errors = answer.json()["errors"]
    assert len(errors) == 1
    return str(errors[0]["code"])
