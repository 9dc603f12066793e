"""Whether a tag must stay as it is: what the immutable tag rules of its project say of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from core import globs
from projects.immutable_rules import SCOPE, Selector, excludes
from projects.models import ImmutableRule, Project


@dataclass(frozen=True)
class _Names:
    """Those that a selector names, or all others."""

    pattern: re.Pattern[str]
    are_others: bool

    def __contains__(self, name: str) -> bool:
        return (self.pattern.fullmatch(name) is not None) is not self.are_others


@dataclass(frozen=True)
class Immutability:
    """A project's rules, read once for as many tags as one likes."""

    rules: tuple[tuple[_Names, _Names], ...]
    """Repositories and tags, of each rule that is switched on."""

    def covers(self, repository: str, tag: str) -> bool:
        """Whether any rule names this tag of this repository, which is called without its project."""
        return any(repository in repositories and tag in tags for repositories, tags in self.rules)


def of_rules(rules: Iterable[ImmutableRule]) -> Immutability:
    """What these rules say together: one that names a tag is enough, and none takes anything back."""
    enabled = [rule for rule in rules if not rule.disabled]
    return Immutability(tuple((_names(rule.scope_selectors[SCOPE]), _names(rule.tag_selectors)) for rule in enabled))


def of(project: Project) -> Immutability:
    """What a project's rules say; one query."""
    return of_rules(ImmutableRule.objects.filter(project=project, disabled=False))


def _names(selectors: list[Selector]) -> _Names:
    (selector,) = selectors
    return _Names(globs.compiled(selector["pattern"]), excludes(selector))
