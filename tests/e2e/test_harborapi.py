"""harborapi, the client that others wrote for Harbor: it checks the form of every answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import virtualenv
from tests.e2e.platform import Platform

HARBORAPI = "harborapi==0.26.2"
STEPS = [
    "system",
    "users",
    "projects",
    "members",
    "robots and push",
    "repositories",
    "artifacts",
    "tags",
    "copies",
    "labels",
    "quotas",
    "audit logs",
    "deletion",
]


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return virtualenv.make(tmp_path_factory.mktemp("harborapi") / "venv", HARBORAPI)


def test_a_project_lives_from_its_first_user_to_its_end(platform: Platform, python: Path, tmp_path: Path) -> None:
    assert virtualenv.live(python, "harborapi_life.py", platform, tmp_path / "image") == STEPS
