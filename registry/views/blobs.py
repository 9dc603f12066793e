"""Blobs: whether they are here, and their removal. Their bytes go from the registry to nginx, never through core."""

from __future__ import annotations

from django.http import HttpResponse

from core import errors
from core.oci import RepositoryName
from core.store import files
from core.store.files import Link
from projects import links
from registry import handover
from registry.blob_lookup import look_up
from registry.operation import Operation


def head(operation: Operation) -> HttpResponse:
    """200 with the size when the repository has the blob. A client that may push counts on it afterwards."""
    digest = operation.digest
    size = _size(operation, operation.name, digest) if operation.name and operation.reaches_blob(digest) else None
    if size is None:
        raise errors.BlobUnknown(detail=digest)
    response = HttpResponse(content_type="application/octet-stream")
    response["Content-Length"] = str(size)
    response["Docker-Content-Digest"] = digest
    response["ETag"] = f'"{digest}"'
    response["Accept-Ranges"] = "bytes"
    response["Cache-Control"] = "max-age=31536000"
    return response


def get(operation: Operation) -> HttpResponse:
    """nginx asks the registry first; what comes here the registry refused.

    A tag-scoped guest's token says nothing to the registry, nor does a password: it is fetched with core's own token.
    StoreUnavailable when it failed rather than refused: a client must not take a failing store for a lost blob.
    """
    digest = operation.digest
    if not operation.reaches_blob(digest):
        raise errors.BlobUnknown(detail=digest)
    if operation.is_limited or not operation.is_by_token:
        return handover.as_core(operation.repository_name, "pull")
    if files.linked_size(Link(operation.repository_name, "layer", digest)) is not None:
        raise errors.StoreUnavailable
    raise errors.BlobUnknown(detail=digest)


def delete(operation: Operation) -> HttpResponse:
    """202 when no manifest of the repository needs the blob."""
    digest = operation.digest
    links.delete_blob(repository=operation.repository, digest=digest)
    return HttpResponse(status=202)


def _size(operation: Operation, name: RepositoryName, digest: str) -> int | None:
    may_push = operation.may("push")
    known = look_up(name, digest)
    # Whatever makes a link is announced first: what was never announced is not there, and nobody need be asked.
    if known is None or not operation.is_for(known.project_id) or known.is_being_removed:
        return None
    if known.is_present:
        # When it is claimed for removal in this very moment, it is not here.
        is_kept = not (may_push and known.is_due) or links.touch(repository_name=str(name), digest=digest)
        return known.size if is_kept else None
    repository = operation.repository
    if may_push:
        links.announce(repository=repository, digest=digest)
    return links.sizes(repository=repository, digests=[digest]).get(digest)
