"""Default deny: a view that forgets to say what it guards answers nobody."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate

from core.api.resource import Resource
from tests.rows import make_user


class Forgetful(Resource):
    def list(self, request: Any) -> Response:
        return Response("everything")

    def export(self, request: Any) -> Response:
        return Response("everything")


class Careless(Forgetful):
    """Names what it guards, but not what its own action means."""

    resource = "user"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("view", "action", "status"),
    [(Forgetful, "list", 403), (Forgetful, "export", 403), (Careless, "export", 403), (Careless, "list", 200)],
)
def test_even_the_system_admin_gets_nothing_from_a_forgetful_view(view: Any, action: str, status: int) -> None:
    request = APIRequestFactory().get("/api/v2.0/anything")
    force_authenticate(request, make_user(is_sysadmin=True))
    assert view.as_view({"get": action})(request).status_code == status
    stranger = view.as_view({"get": action})(APIRequestFactory().get("/api/v2.0/anything"))
    assert stranger.status_code == 401
