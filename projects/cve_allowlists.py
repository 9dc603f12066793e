"""Projects' own allowlists of CVEs."""

from __future__ import annotations

from core import cve_allowlist
from core.cve_allowlist import Entries
from projects.models import Project, ProjectCveAllowlist


def of(project: Project) -> ProjectCveAllowlist:
    """A project's list; an empty one, not saved, when nobody wrote one."""
    row: ProjectCveAllowlist | None = getattr(project, "cve_allowlist", None)
    return row or ProjectCveAllowlist(project=project)


def replace(*, project: Project, entries: Entries) -> None:
    """Make this the project's list; the caller holds the project."""
    row = ProjectCveAllowlist.objects.filter(project=project).first()
    cve_allowlist.write(row or ProjectCveAllowlist(project=project), entries)
