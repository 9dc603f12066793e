"""A client of the REST API that speaks JSON and signs in with every request, and the fixtures of its tests."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpResponse
from rest_framework.test import APIClient

from core import configuration, redis
from rbac.models import Robot, User
from tests.rows import PASSWORD, Story, make_story


class Client(APIClient):
    """An answer that came in parts is told as one that came whole."""

    def request(self, **request: Any) -> Any:
        answer = super().request(**request)
        if not answer.streaming:
            return answer
        whole = HttpResponse(answer.getvalue(), status=answer.status_code, headers=dict(answer.items()))
        vars(whole).update({name: vars(answer)[name] for name in ("request", "wsgi_request") if name in vars(answer)})
        return whole


class Api:
    """`Api(alice).get("/projects")`; without a user it is anonymous. Paths outside of the API begin with /api."""

    def __init__(self, actor: User | Robot | None = None, password: str = PASSWORD) -> None:
        self.client = Client(raise_request_exception=False)
        if actor is not None:
            pair = base64.b64encode(f"{actor.name}:{password}".encode()).decode()
            self.client.credentials(HTTP_AUTHORIZATION=f"Basic {pair}")

    def get(self, path: str, data: Any = None, **headers: Any) -> Any:
        return self.client.get(_whole(path), data, **headers)

    def head(self, path: str, data: Any = None, **headers: Any) -> Any:
        return self.client.head(_whole(path), data, **headers)

    def post(self, path: str, data: Any = None, **headers: Any) -> Any:
        return self.client.post(_whole(path), data, format="json", **headers)

    def put(self, path: str, data: Any = None, **headers: Any) -> Any:
        return self.client.put(_whole(path), data, format="json", **headers)

    def patch(self, path: str, data: Any = None, **headers: Any) -> Any:
        return self.client.patch(_whole(path), data, format="json", **headers)

    def delete(self, path: str, data: Any = None, **headers: Any) -> Any:
        return self.client.delete(_whole(path), data, format="json", **headers)

    def send(self, method: str, path: str, content: bytes = b"", content_type: str = "application/json") -> Any:
        """Any method, any bytes."""
        return self.client.generic(method, _whole(path), content, content_type)  # type: ignore[arg-type]


def code(answer: Any) -> str:
    """The code of an error's body."""
    errors = answer.json()["errors"]
    assert len(errors) == 1
    return str(errors[0]["code"])


def _whole(path: str) -> str:
    return path if path.startswith("/api/") else f"/api/v2.0{path}"


@pytest.fixture(autouse=True)
def _fresh_memory() -> Iterator[None]:
    """Configuration and failed logins are remembered outside of the database."""
    configuration.forget()
    redis.ask(lambda r: r.flushdb())
    yield
    configuration.forget()


@pytest.fixture
def story(db: None) -> Story:
    # Read here, so that no test that counts queries counts this one.
    configuration.get("robot_name_prefix")
    return make_story()
