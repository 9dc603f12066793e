"""The libraries that pyproject.toml asks for, one a line."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def requirements(*, dev: bool = False) -> list[str]:
    """Requirement specifiers, with those of the `dev` extra when asked for."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["dev"] if dev else []
    return [*project["dependencies"], *extra]


if __name__ == "__main__":
    print("\n".join(requirements(dev="--dev" in sys.argv)))
