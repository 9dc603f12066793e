"""Fixtures of the tests with real workers."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"
