"""Secrets like those that `make up` makes, for tests without a running platform."""

from __future__ import annotations

from pathlib import Path

from deploy import keys


def make_secrets(folder: Path) -> None:
    """All of them, in a new folder."""
    folder.mkdir(parents=True)
    keys.init(folder)
