"""A repository's artifacts, and one of them."""

from __future__ import annotations

from django.conf import settings
from django.db.models import Prefetch
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from projects.models import Accessory, Artifact, Reference, Tag
from web.lists import page_of, search_words
from web.visible import repository_or_404


@require_safe
def index(request: HttpRequest, project_name: str, name: str) -> HttpResponse:
    """Newest first, each with its tags and the command that pulls it."""
    repository = repository_or_404(request, project_name, name)
    words = search_words(request)
    tags = Tag.objects.live().order_by("-pushed", "name")
    rows = Artifact.objects.listed().filter(repository=repository).order_by("-pushed", "-pk")
    if words:
        found = Tag.objects.live().filter(repository=repository, name__icontains=words)
        rows = rows.filter(pk__in=found.values("artifact"))
    children = Reference.objects.filter(kind=Reference.Kind.CHILD).order_by("position")
    rows = rows.prefetch_related(Prefetch("tags", queryset=tags), Prefetch("references", queryset=children))
    context = {
        "project": repository.project,
        "repository": repository,
        "page": page_of(request, rows),
        "q": words,
        "host": settings.EXTERNAL_HOST,
    }
    return render(request, "web/artifacts.html", context)


@require_safe
def one(request: HttpRequest, project_name: str, name: str, digest: str) -> HttpResponse:
    """What an artifact is made of, and what hangs on it."""
    repository = repository_or_404(request, project_name, name)
    rows = Artifact.objects.live().filter(repository=repository, manifest_id=digest)
    artifact = rows.select_related("manifest").defer("manifest__content").first()
    if artifact is None:
        raise Http404
    references = list(artifact.references.order_by("kind", "position"))
    context = {
        "project": repository.project,
        "repository": repository,
        "artifact": artifact,
        "tags": Tag.objects.live().filter(artifact=artifact).order_by("-pushed", "name"),
        "children": [each for each in references if each.kind == Reference.Kind.CHILD],
        "layers": [each for each in references if each.kind == Reference.Kind.LAYER],
        "accessories": Accessory.objects.filter(
            repository=repository, subject_digest=digest, artifact__deleted__isnull=True
        ).select_related("artifact"),
        "host": settings.EXTERNAL_HOST,
    }
    return render(request, "web/artifact.html", context)
