"""All projects that the visitor may see, and a form for a new one."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from core import configuration, errors
from projects import projects, reach
from projects.models import Project
from web import words
from web.lists import page_of, search_words
from web.visible import actor_of, refuse_in_read_only_mode


@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """The list; a POST makes a project."""
    if request.method == "POST":
        return _create(request)
    return _page(request)


def _create(request: HttpRequest) -> HttpResponse:
    if not request.user.is_authenticated:
        return HttpResponseRedirect(reverse("web:sign-in"))
    refuse_in_read_only_mode()
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
        return _page(request, problem=_why_not(refusal), status=refusal.status)
    return HttpResponseRedirect(reverse("web:repositories", args=[name]))


def _why_not(refusal: errors.Refusal) -> words.Words:
    if isinstance(refusal, errors.BadRequest):
        return _(
            "A project's name has 1 to 255 lower-case letters and digits, "
            "separated by single dots, underscores or dashes."
        )
    if isinstance(refusal, errors.Conflict):
        return _("This name is taken. Choose another; the name of a deleted project is free again after a moment.")
    return words.of(refusal)


def _page(request: HttpRequest, *, problem: words.Words = "", status: int = 200) -> HttpResponse:
    sought = search_words(request)
    rows = Project.objects.visible_to(actor_of(request)).with_repository_count()
    rows = rows.select_related("owner").order_by("name")
    if sought:
        rows = rows.filter(name__icontains=sought)
    page = page_of(request, rows)
    reach.recount_repositories(list(page), actor_of(request))
    context = {
        "page": page,
        "q": sought,
        "may_create": _may_create(request),
        "problem": problem,
        "name": request.POST.get("name", ""),
        "public": "public" in request.POST,
    }
    return render(request, "web/projects.html", context, status=status)


def _may_create(request: HttpRequest) -> bool:
    restricted = configuration.get("project_creation_restriction") == "adminonly"
    may = request.user.is_authenticated and (actor_of(request).is_sysadmin or not restricted)
    return may and not configuration.get("read_only")
