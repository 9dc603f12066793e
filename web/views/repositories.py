"""A project's repositories."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from projects import reach
from projects.models import Repository
from rbac.access import allowed
from web import commands
from web.lists import page_of, search_words
from web.visible import actor_of, project_or_404, reach_of


@require_safe
def index(request: HttpRequest, project_name: str) -> HttpResponse:
    """By name, and how to push one for whoever may."""
    project = project_or_404(request, project_name, "repository")
    words = search_words(request)
    rows = reach_of(request, project).repositories(Repository.objects.live().filter(project=project))
    rows = rows.select_related("project").with_artifact_count().order_by("name")
    if words:
        rows = rows.filter(name__icontains=words)
    page = page_of(request, rows)
    reach.recount_artifacts(list(page), actor_of(request))
    may_push = allowed(actor_of(request), "repository", "push", project)
    context = {
        "project": project,
        "page": page,
        "q": words,
        "push_commands": commands.push(project=project.name) if may_push else [],
        "may_see_webhooks": allowed(actor_of(request), "notification-policy", "list", project),
    }
    return render(request, "web/repositories.html", context)
