"""Parameters of jobs as a body says them: free in form to Harbor, so each is looked at by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core import errors


def refuse_others(given: dict[str, Any], known: Sequence[str]) -> None:
    """BadRequest for a name that means nothing: with `dryrun` for `dry_run` a run would be one in earnest."""
    for name in given:
        if name not in known:
            raise errors.BadRequest(f"parameters.{name[:100]} is unknown; there are {', '.join(known)}")


def flag(given: dict[str, Any], name: str) -> bool:
    """True or false, false when it is not there; BadRequest for anything else."""
    value = given.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise errors.BadRequest(f"parameters.{name} must be true or false")
    return value


def number(given: dict[str, Any], name: str, default: int, least: int, most: int) -> int:
    """A whole number within bounds; BadRequest for anything else."""
    value = given.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise errors.BadRequest(f"parameters.{name} must be a whole number from {least} to {most}")
    return value
