"""A repository's artifacts, and one of them."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from projects.models import Accessory, Artifact, Reference, Repository, Tag
from projects.reach import Reach
from rbac.access import allowed
from web import commands
from web.artifact_lines import lines_of
from web.lists import page_of, search_words
from web.visible import actor_of, repository_or_404

TAGS_ON_A_PAGE = 50
PARENTS_ON_A_PAGE = 10


@require_safe
def index(request: HttpRequest, project_name: str, name: str) -> HttpResponse:
    """Newest first, each with its tags and the command that pulls it."""
    repository, within = repository_or_404(request, project_name, name)
    words = search_words(request)
    tags = within.tags(Tag.objects.live().filter(repository=repository), repository)
    rows = within.artifacts(Artifact.objects.listed(tags, repository), repository)
    rows = rows.order_by("-pushed", "-pk")
    if words:
        tagged = tags.filter(name__icontains=words)
        digest = words if words.startswith("sha256:") else f"sha256:{words}"
        rows = rows.filter(Q(pk__in=tagged.values("artifact")) | Q(manifest__digest__startswith=digest))
    page = page_of(request, rows)
    may_push = allowed(actor_of(request), "repository", "push", repository.project)
    context = {
        "project": repository.project,
        "repository": repository,
        "page": page,
        "lines": lines_of(repository, list(page), within),
        "q": words,
        "push_commands": commands.push(project=project_name, repository=repository.name) if may_push else [],
    }
    return render(request, "web/artifacts.html", context)


@require_safe
def one(request: HttpRequest, project_name: str, name: str, digest: str) -> HttpResponse:
    """What an artifact is made of, what it is part of, and what hangs on it."""
    repository, within = repository_or_404(request, project_name, name)
    artifact = Artifact.objects.live().filter(repository=repository, manifest=digest).first()
    if artifact is None or not within.has_manifest(repository, digest):
        raise Http404
    tags = within.tags(Tag.objects.live().filter(artifact=artifact), repository)
    context = {
        "project": repository.project,
        "repository": repository,
        "artifact": artifact,
        "line": lines_of(repository, [artifact], within)[0],
        "by_digest": commands.pull(kind=artifact.kind, repository=repository.name, digest=digest),
        "tags": [_tag_row(repository, artifact, tag) for tag in tags.order_by("-pushed", "name")[:TAGS_ON_A_PAGE]],
        "tag_count": tags.count(),
        "layers": artifact.references.filter(kind=Reference.Kind.LAYER).order_by("position"),
        "subject": _subject(artifact, within),
        "parents": _parents(artifact, within),
        # As pairs: a template would read `annotations.items` as the annotation of that name.
        "annotations": sorted(artifact.annotations.items()),
    }
    return render(request, "web/artifact.html", context)


def _tag_row(repository: Repository, artifact: Artifact, tag: Tag) -> dict[str, Any]:
    return {"tag": tag, "command": commands.pull(kind=artifact.kind, repository=repository.name, tag=tag.name)}


def _subject(artifact: Artifact, within: Reach) -> Artifact | None:
    """What an accessory hangs on; None also when that is gone, was never pushed, or is not the visitor's to see."""
    itself = Accessory.objects.filter(artifact=artifact)
    rows = Artifact.objects.live().filter(repository=artifact.repository_id)
    return within.artifacts(rows.filter(manifest__in=itself.values("subject_digest")), artifact.repository).first()


def _parents(artifact: Artifact, within: Reach) -> list[Artifact]:
    """The indexes that an artifact is part of, newest first."""
    references = Reference.objects.live().filter(
        repository=artifact.repository_id, digest=artifact.digest, kind=Reference.Kind.CHILD
    )
    rows = within.artifacts(Artifact.objects.live().filter(pk__in=references.values("artifact")), artifact.repository)
    return list(rows.order_by("-pushed", "-pk")[:PARENTS_ON_A_PAGE])
