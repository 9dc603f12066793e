"""Manifests: pulled from Postgres by one prepared statement, pushed in the order of invariant I2."""

from __future__ import annotations

from urllib.parse import quote

from django.conf import settings
from django.http import HttpResponse

from core import errors, oci
from projects import artifacts, links, pulls, tags
from projects.models import Artifact, Tag
from registry.manifest_lookup import look_up
from registry.operation import Operation


def get(operation: Operation) -> HttpResponse:
    """The manifest as it was received; HEAD the same without the body."""
    reference = operation.reference
    found = look_up(operation.repository_name, reference)
    if found is None or not operation.is_for(found.project_id) or not operation.reaches(reference):
        raise errors.ManifestUnknown(f"artifact {operation.repository_name}:{reference} not found")
    is_head = operation.request.method == "HEAD"
    pulls.note(artifact_id=found.artifact_id, tag_id=found.tag_id, count=not is_head)
    if is_head and operation.may("push"):
        # It may be about to push an index of it, and not this again.
        links.touch_manifest(repository_name=operation.repository_name, digest=found.digest)
    if f'"{found.digest}"' in operation.request.headers.get("If-None-Match", ""):
        response = HttpResponse(status=304)
    else:
        response = HttpResponse(b"" if is_head else found.content, content_type=found.media_type)
        response["Content-Length"] = str(len(found.content))
    response["Docker-Content-Digest"] = found.digest
    response["ETag"] = f'"{found.digest}"'
    return response


def put(operation: Operation) -> HttpResponse:
    """201 once the manifest is stored and recorded."""
    reference = operation.reference
    content = operation.request.body
    if len(content) > settings.MANIFEST_MAX_BYTES:
        raise errors.ManifestTooLarge
    manifest = oci.parse_manifest(content, operation.request.headers.get("Content-Type") or "")
    if reference.digest not in (None, manifest.digest):
        raise errors.DigestInvalid(f"The manifest's digest is {manifest.digest}, not {reference.digest}")
    repository = operation.ensured_repository()
    pushed = artifacts.push(repository=repository, manifest=manifest, tag=reference.tag, actor=operation.actor())
    response = HttpResponse(status=201)
    response["Location"] = f"/v2/{quote(operation.repository_name)}/manifests/{pushed.digest}"
    response["Docker-Content-Digest"] = pushed.digest
    if pushed.subject_digest:
        response["OCI-Subject"] = pushed.subject_digest
    return response


def delete(operation: Operation) -> HttpResponse:
    """202: by tag only the tag goes, by digest the manifest with all its tags."""
    reference = operation.reference
    repository = operation.repository
    if reference.tag is not None:
        tag = Tag.objects.live().filter(repository=repository, name=reference.tag).first()
        if tag is None:
            raise errors.ManifestUnknown(f"tag {reference.tag} not found")
        tags.delete(tag=tag, actor=operation.actor())
    else:
        artifact = Artifact.objects.live().filter(repository=repository, manifest=reference.digest).first()
        if artifact is None:
            raise errors.ManifestUnknown(detail=reference.digest)
        artifacts.delete(artifact=artifact, actor=operation.actor())
    return HttpResponse(status=202)
