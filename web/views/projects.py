"""All projects that the visitor may see, and a form for a new one."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from core import configuration, errors
from projects import projects
from projects.models import Project
from web.lists import page_of, search_words
from web.visible import actor_of


@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """The list; a POST makes a project."""
    if request.method == "POST":
        return _create(request)
    return _page(request)


def _create(request: HttpRequest) -> HttpResponse:
    name = request.POST.get("name", "").strip()
    try:
        projects.create(
            name=name,
            public=request.POST.get("public") == "on",
            metadata={},
            storage_limit=None,
            actor=actor_of(request),
        )
    except errors.Refusal as refusal:
        return _page(request, problem=refusal.message, name=name, status=refusal.status)
    return HttpResponseRedirect(reverse("web:repositories", args=[name]))


def _page(request: HttpRequest, *, problem: str = "", name: str = "", status: int = 200) -> HttpResponse:
    words = search_words(request)
    rows = Project.objects.visible_to(actor_of(request)).with_repository_count()
    rows = rows.select_related("owner").order_by("name")
    if words:
        rows = rows.filter(name__icontains=words)
    restricted = configuration.get("project_creation_restriction") == "adminonly"
    may_create = request.user.is_authenticated and (actor_of(request).is_sysadmin or not restricted)
    context = {"page": page_of(request, rows), "q": words, "may_create": may_create, "problem": problem, "name": name}
    return render(request, "web/projects.html", context, status=status)
