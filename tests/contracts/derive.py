"""Derives the contract from Harbor's API description: what clients rely on, without its prose.

python -m tests.contracts.derive swagger.yaml > tests/contracts/harbor-v2.0.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

METHODS = ("get", "head", "post", "put", "patch", "delete")
PROSE = {"summary", "description", "title", "example", "examples"}
# Here the keys are names that somebody chose, and a field may well be called `description`.
NAMING = {"properties", "headers", "responses"}


def derive(described: Mapping[str, Any]) -> dict[str, Any]:
    """`{"operations": {"GET /ping": …}, "definitions": …, "parameters": …, "responses": …}`."""
    return {
        "operations": {
            f"{method.upper()} {path}": without_prose(operation)
            for path, methods in described["paths"].items()
            for method, operation in methods.items()
            if method in METHODS
        },
        **{part: _each_without_prose(described[part]) for part in ("definitions", "parameters", "responses")},
    }


def without_prose(part: Any) -> Any:
    """A part of the description with nothing but what binds."""
    if isinstance(part, list):
        return [without_prose(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _each_without_prose(value) if key in NAMING else without_prose(value)
        for key, value in part.items()
        if key not in PROSE
    }


def one_a_line(contract: Mapping[str, Mapping[str, Any]]) -> str:
    """JSON with a line for each operation and definition, so that a difference shows what changed."""
    parts = []
    for part, entries in sorted(contract.items()):
        lines = [f"{json.dumps(name)}: {json.dumps(entry, sort_keys=True)}" for name, entry in sorted(entries.items())]
        parts.append(f"{json.dumps(part)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _each_without_prose(named: Mapping[str, Any]) -> dict[str, Any]:
    return {name: without_prose(part) for name, part in named.items()}


if __name__ == "__main__":
    sys.stdout.write(one_a_line(derive(yaml.safe_load(Path(sys.argv[1]).read_text()))))
