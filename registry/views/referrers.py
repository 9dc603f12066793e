"""What refers to a manifest by `subject` (OCI distribution spec 1.1, "Listing Referrers")."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpResponse

from core import oci
from projects.models import Artifact
from registry.operation import Operation
from registry.views import paging

# An answer must stay below the 4 MiB that clients accept of a manifest.
PAGE = 500


def index(operation: Operation) -> HttpResponse:
    """An image index of the referrers, oldest digest first; empty when there is none."""
    digest = oci.parse_digest(operation.rest["digest"])
    size = min(PAGE, paging.page_size(operation.request, default=PAGE))
    wanted = operation.request.GET.get("artifactType")
    rows = Artifact.objects.live().filter(
        repository__name=operation.repository_name,
        repository__project__deleted__isnull=True,
        repository__project_id=operation.token.claims.get("projects", {}).get(_project(operation), 0),
        subject_digest=digest,
        manifest_id__gt=operation.request.GET.get("last", "").replace("\0", ""),
    )
    if not operation.reaches(oci.Reference(digest=digest)):
        rows = rows.none()
    if wanted is not None:
        rows = rows.filter(artifact_type=wanted.replace("\0", ""))
    found = list(rows.select_related("manifest").defer("manifest__content").order_by("manifest_id")[: size + 1])
    body = {"schemaVersion": 2, "mediaType": oci.OCI_INDEX, "manifests": [_descriptor(row) for row in found[:size]]}
    # Clients compare the content type for equality, so no charset.
    response = HttpResponse(json.dumps(body), content_type=oci.OCI_INDEX)
    if wanted is not None:
        response["OCI-Filters-Applied"] = "artifactType"
    if len(found) > size > 0:
        paging.add_link(response, operation.request, size=size, last=found[size - 1].digest)
    return response


def _descriptor(artifact: Artifact) -> dict[str, Any]:
    described = {
        "mediaType": artifact.media_type,
        "digest": artifact.digest,
        "size": artifact.manifest.size,
        "artifactType": artifact.artifact_type,
        "annotations": artifact.annotations,
    }
    return {key: value for key, value in described.items() if value}


def _project(operation: Operation) -> str:
    return operation.name.project if operation.name else ""
