"""What of the asked is granted: asked ∩ allowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from core import errors
from core.oci import RepositoryName
from projects import finders
from projects.finders import Standing
from rbac.access import Actor, allowed, allowed_for_tags
from registry.token.scopes import Scope

REPOSITORY_ACTIONS = ("pull", "push", "delete", "scanner-pull")


@dataclass
class Grants:
    """The `access` list of a token, and what the door wants to know besides."""

    access: list[dict[str, Any]] = field(default_factory=list)
    projects: dict[str, int] = field(default_factory=dict)
    """Project name → id: a token is for this project, not for a later one of the same name."""
    limited: list[str] = field(default_factory=list)
    """Repositories of which the door shows the subject some tags: the registry gets no `pull` to read."""
    refused: dict[str, list[str]] = field(default_factory=dict)
    """Asked, but not granted: the door need not send the client here again."""


def grant(actor: Actor, scopes: Iterable[Scope]) -> Grants:
    """What the actor gets; no permission is an empty `actions`, not an error."""
    scopes = list(scopes)
    names = {_project_name(scope.name) for scope in scopes if scope.kind == "repository"}
    projects = finders.standings(names - {""}, actor)
    grants = Grants()
    for scope in scopes:
        if scope.kind == "repository":
            _grant_repository(grants, actor, scope, projects)
        elif (scope.kind, scope.name) == ("registry", "catalog"):
            # Everybody may ask; the list holds only what he may pull.
            _add(grants, scope, frozenset({"*"}) & scope.actions)
        else:
            _add(grants, scope, frozenset())
    return grants


def _grant_repository(grants: Grants, actor: Actor, scope: Scope, projects: dict[str, Standing]) -> None:
    project = projects.get(_project_name(scope.name))
    can = frozenset(
        action for action in REPOSITORY_ACTIONS if project and allowed(actor, "repository", action, project)
    )
    granted = can if "*" in scope.actions else can & scope.actions
    _add(grants, scope, granted)
    known = granted | {"*"}
    wants_pull = "pull" not in granted and scope.actions & {"pull", "*"}
    if project and wants_pull and allowed_for_tags(actor, "repository", "pull", project):
        grants.limited.append(scope.name)
        known |= {"pull"}
    if project and known != {"*"}:
        # Anybody reads his own token: of a project that gives him nothing it does not tell.
        grants.projects[project.name] = project.pk
    if missing := scope.actions - known:
        grants.refused[scope.name] = sorted(missing)


def _add(grants: Grants, scope: Scope, actions: frozenset[str]) -> None:
    grants.access.append({"type": scope.kind, "name": scope.name, "actions": sorted(actions)})


def _project_name(repository: str) -> str:
    try:
        return RepositoryName.parse(repository).project
    except errors.NameInvalid:
        return ""
