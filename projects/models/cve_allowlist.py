"""What each project's vulnerability policy does not mind."""

from __future__ import annotations

from django.db import models

from core.models import Allowlist
from projects.models.project import Project


class ProjectCveAllowlist(Allowlist):
    """A project's own list of CVEs, once somebody wrote one."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="cve_allowlist")
