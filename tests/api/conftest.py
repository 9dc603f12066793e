"""API callers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.api import world as worlds
from tests.factories import PASSWORD

Call = Callable[..., Any]


@pytest.fixture
def call(db: None) -> Call:
    """`call("alice", "get", "/projects", …)`: an answer of the API; None is somebody anonymous."""

    def caller(who: str | None, method: str, path: str, body: Any = None, **headers: str) -> Any:
        client = APIClient(raise_request_exception=False)
        if who is not None:
            name, _, secret = who.partition(":")
            pair = base64.b64encode(f"{name}:{secret or PASSWORD}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        options: dict[str, Any] = {} if body is None else {"data": body, "format": "json"}
        return getattr(client, method)(f"/api/v2.0{path}", headers=headers, **options)

    return caller


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[worlds.World]:
    """Made once for all tests of a module; each of them is undone by itself."""
    with django_db_blocker.unblock(), worlds.undone():
        yield worlds.build()
