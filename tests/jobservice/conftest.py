"""Fixtures of this room's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobservice import bell
from tests.jobservice.jobs import Work


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.fixture
def idle() -> None:
    """Work does nothing but what the test puts into it."""
    Work.deed = staticmethod(lambda ctx, params: None)


@pytest.fixture
def bells(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For which tasks bells are rung."""
    rung: list[int] = []
    monkeypatch.setattr(bell, "ring", lambda tasks, **_: rung.extend(id for id, _ in tasks))
    return rung
