"""What pyproject.toml says: the libraries, one a line, and the rooms."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]


def requirements(*extras: str) -> list[str]:
    """Requirement specifiers, with those of the extras asked for."""
    project = _document()["project"]
    return [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]


def rooms() -> list[str]:
    """The packages that make up the program."""
    return [str(name) for name in _document()["tool"]["setuptools"]["packages"]]


def _document() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())


if __name__ == "__main__":
    print("\n".join(requirements(*sys.argv[1:])))
