"""Immutable tag rules: made, changed, deleted, in Harbor's shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from core import clock, errors, globs
from core.constraints import refuse_duplicates
from core.events import emit
from projects import projects
from projects.events import (
    ImmutableRuleCreated,
    ImmutableRuleDeleted,
    ImmutableRuleEvent,
    ImmutableRuleUpdated,
)
from projects.models import ImmutableRule, Project
from rbac.access import Actor

ACTION = "immutable"
TEMPLATE = "immutable_template"
KIND = "doublestar"
SCOPE = "repository"
TAG_DECORATIONS = ("matches", "excludes")
REPOSITORY_DECORATIONS = ("repoMatches", "repoExcludes")
# Each push will read all of its project's.
MOST_RULES = 100

Selector = Mapping[str, str]


@dataclass(frozen=True)
class Selectors:
    """Which tags of which repositories, as they are kept; `checked` makes one."""

    tags: list[dict[str, str]]
    scope: dict[str, list[dict[str, str]]]


def checked(*, tags: Sequence[Selector], scope: Mapping[str, Sequence[Selector]]) -> Selectors:
    """The selectors of a rule; BadRequest for what Harbor does not have, or would silently leave out."""
    if set(scope) != {SCOPE}:
        raise errors.BadRequest(f"scope_selectors has the one key {SCOPE!r}, with the selector of repositories")
    tag = _checked_one(tags, "tag_selectors", TAG_DECORATIONS)
    if "/" in tag["pattern"]:
        raise errors.BadRequest("a tag holds no slash, so a pattern with one in tag_selectors would never match")
    repository = _checked_one(scope[SCOPE], "scope_selectors.repository", REPOSITORY_DECORATIONS)
    return Selectors([tag], {SCOPE: [repository]})


def check_kind(*, action: str, template: str) -> None:
    """BadRequest unless these are what every immutable tag rule has, or empty."""
    if action not in ("", ACTION):
        raise errors.BadRequest(f"action must be {ACTION!r}, not {action[:40]!r}")
    if template not in ("", TEMPLATE):
        raise errors.BadRequest(f"template must be {TEMPLATE!r}, not {template[:40]!r}")


def excludes(selector: Selector) -> bool:
    """Whether a selector means all names but those that its pattern matches."""
    return selector["decoration"] in ("excludes", "repoExcludes")


def in_words(rule: ImmutableRule) -> str:
    """For people and the audit log: `tags matching v*, in repositories matching **`."""
    (tag,), (repository,) = rule.tag_selectors, rule.scope_selectors[SCOPE]
    return f"tags {_verb(tag)} {tag['pattern']}, in repositories {_verb(repository)} {repository['pattern']}"


def create(*, project: Project, selectors: Selectors, disabled: bool, priority: int, actor: Actor) -> ImmutableRule:
    """A new rule. Conflict when the project has one with these selectors, Precondition when it has MOST_RULES."""
    rule = ImmutableRule(
        project=project,
        disabled=disabled,
        priority=priority,
        tag_selectors=selectors.tags,
        scope_selectors=selectors.scope,
        created=clock.now(),
    )
    with projects.held(project):
        if ImmutableRule.objects.filter(project=project).count() >= MOST_RULES:
            raise errors.Precondition(f"project {project.name} has {MOST_RULES} immutable tag rules, and no more fit")
        with _there_once():
            rule.save()
        emit(_event(ImmutableRuleCreated, rule, actor))
    return rule


def update(
    *,
    project: Project,
    rule_id: int,
    selectors: Selectors | None,
    disabled: bool,
    priority: int,
    actor: Actor,
) -> None:
    """Change a rule; without selectors it keeps those it has. NotFound when the project has no such rule."""
    with _changing(project, rule_id) as rule:
        rule.disabled, rule.priority = disabled, priority
        if selectors is not None:
            rule.tag_selectors, rule.scope_selectors = selectors.tags, selectors.scope
        with _there_once():
            rule.save()
        emit(_event(ImmutableRuleUpdated, rule, actor))


def delete(*, project: Project, rule_id: int, actor: Actor) -> None:
    """Delete a rule. NotFound when the project has no such rule."""
    with _changing(project, rule_id) as rule:
        emit(_event(ImmutableRuleDeleted, rule, actor))
        rule.delete()


def _checked_one(selectors: Sequence[Selector], where: str, decorations: Sequence[str]) -> dict[str, str]:
    if len(selectors) != 1:
        raise errors.BadRequest(
            f"{where} has exactly one selector, not {len(selectors)}: "
            "name several patterns as {a,b}, or make more rules"
        )
    kind, decoration, pattern = (selectors[0].get(key, "") for key in ("kind", "decoration", "pattern"))
    if kind != KIND:
        raise errors.BadRequest(f"{where}: kind must be {KIND!r}, not {kind[:40]!r}")
    if decoration not in decorations:
        raise errors.BadRequest(f"{where}: decoration must be {' or '.join(decorations)}, not {decoration[:40]!r}")
    globs.alternatives(pattern)
    return {"kind": kind, "decoration": decoration, "pattern": pattern}


def _verb(selector: Selector) -> str:
    return "not matching" if excludes(selector) else "matching"


def _there_once() -> AbstractContextManager[None]:
    return refuse_duplicates(immutable_rule_once_per_project="the project has an immutable tag rule like this already")


@contextmanager
def _changing(project: Project, number: int) -> Iterator[ImmutableRule]:
    """The rule's row as it is now; no other rule of the project changes meanwhile."""
    with projects.held(project):
        rule = ImmutableRule.objects.filter(project=project, pk=number).first()
        if rule is None:
            raise errors.NotFound(f"immutable tag rule {number} not found in project {project.name}")
        yield rule


def _event(kind: type[ImmutableRuleEvent], rule: ImmutableRule, actor: Actor) -> ImmutableRuleEvent:
    return kind(
        actor=actor.name,
        project_id=rule.project_id,
        project=rule.project.name,
        rule_id=rule.pk,
        rule=in_words(rule) + (", disabled" if rule.disabled else ""),
    )
