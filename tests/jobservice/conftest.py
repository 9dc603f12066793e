"""Fixtures of the tests with real workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection


@pytest.fixture
def clean_tables() -> Iterator[None]:
    """What Django does not manage it does not empty."""
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE job_execution, job_task, job_task_log")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"
