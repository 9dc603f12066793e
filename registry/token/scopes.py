"""Scopes as clients write them: `repository:project/app:pull,push`, several to a parameter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scope:
    """What a client asks for."""

    kind: str
    name: str
    actions: frozenset[str]


def parse_scopes(parameters: Iterable[str]) -> list[Scope]:
    """Every scope of every `scope` parameter, each resource once; what is no scope is left out.

    The name may hold colons (a host with a port), so the actions are what follows the last one.
    """
    asked: dict[tuple[str, str], frozenset[str]] = {}
    for text in " ".join(parameters).split():
        kind, _, rest = text.partition(":")
        name, colon, actions = rest.rpartition(":")
        if not colon or not name:
            continue
        # "repository(plugin)" carries a class, which nobody reads.
        key = (kind.partition("(")[0], name)
        asked[key] = asked.get(key, frozenset()) | frozenset(filter(None, actions.split(",")))
    return [Scope(kind, name, actions) for (kind, name), actions in asked.items()]
