"""Uploads: core judges, nginx and the registry move the bytes (deploy/nginx/locations.conf)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from urllib.parse import parse_qsl

from django.http import HttpRequest, HttpResponse

from core import errors, oci
from core.store import files
from projects import links
from projects.models import Repository
from registry import handover
from registry.operation import Operation

_CONTENT_RANGE = re.compile(r"(?:bytes )?(?P<start>\d{1,18})-(?P<end>\d{1,18})(?:/\*|/\d+)?")
# 32 bytes HMAC, then JSON (registry 2.8, handlers/hmac.go).
_HMAC_BYTES = 32
_EMPTY = oci.digest_of(b"")


def start(operation: Operation) -> HttpResponse:
    """Let the registry start an upload, or mount a blob of another repository."""
    repository = operation.ensured_repository()
    query = _query(operation.request)
    mount, source = query.get("mount"), query.get("from")
    if mount is not None and source is not None and _may_mount(operation, repository, mount, source):
        return handover.to("@registry")
    return handover.to("@upload_start")


def pass_on(operation: Operation) -> HttpResponse:
    """Status and cancellation: the registry wants more rights for them than a pushing client has."""
    return handover.as_core(operation.repository_name, "pull", "push", "delete")


def refuse(operation: Operation) -> HttpResponse:
    """Say why `door.judge` said no. When it would say yes by now, the client may simply try again."""
    check(operation)
    if files.uploads_are_multipart():
        # The registry answers an upload that is over with 500, like a store that fails.
        files.check()
        raise errors.UploadUnknown
    raise errors.Unavailable


def check(operation: Operation) -> None:
    """Whether this PUT or PATCH may go to the registry; a PUT's digest is announced."""
    query = _query(operation.request)
    _check_order(operation.request, query)
    if _method(operation.request) != "PUT":
        return
    if "digest" not in query:
        raise errors.DigestInvalid("The last request of an upload needs ?digest=sha256:…")
    digest = oci.parse_digest(query["digest"])
    if digest == _EMPTY and files.uploads_are_multipart():
        raise errors.UploadInvalid("An empty blob cannot be stored here: the store is a bucket, which takes none.")
    repository = operation.ensured_repository()
    links.announce(repository=repository, digest=digest)


def _check_order(request: HttpRequest, query: dict[str, str]) -> None:
    """RangeInvalid when a chunk does not follow what was received: the registry would append it all the same."""
    text = request.headers.get("Content-Range", "")
    if not text:
        return
    match = _CONTENT_RANGE.fullmatch(text)
    if match is None or int(match["end"]) < int(match["start"]):
        raise errors.UploadInvalid("Content-Range must look like <first byte>-<last byte>")
    if int(match["start"]) != _received(query.get("_state", "")):
        raise errors.RangeInvalid


def _received(state: str) -> int:
    """The bytes received so far, from the state that the registry gave the client (and will verify)."""
    try:
        decoded = base64.urlsafe_b64decode(state + "=" * (-len(state) % 4))
        return int(json.loads(decoded[_HMAC_BYTES:])["Offset"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise errors.UploadInvalid(
            "The upload's _state is missing or damaged; use the Location of the last answer"
        ) from error


def _may_mount(operation: Operation, repository: Repository, mount: str, source: str) -> bool:
    """Whether the registry may be asked to mount; if not, the client uploads instead."""
    digest = oci.parse_digest(mount)
    name = str(oci.RepositoryName.parse(source))
    if not operation.token.allows(name, "pull") or not links.touch(repository_name=name, digest=digest):
        return False
    links.announce(repository=repository, digest=digest)
    return True


def _query(request: HttpRequest) -> dict[str, str]:
    """The parameters as nginx passes them to the registry; given twice, somebody would read another one than we do."""
    text = request.headers.get("X-Wharf-Query", request.META.get("QUERY_STRING", ""))
    pairs = parse_qsl(text, keep_blank_values=True)
    given = dict(pairs)
    if len(given) < len(pairs):
        raise errors.BadRequest("A parameter is given twice.")
    return given


def _method(request: HttpRequest) -> str:
    return request.headers.get("X-Wharf-Method") or request.method or ""
