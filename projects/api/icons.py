"""/icons: the picture that an artifact brings along, as in Harbor."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors, oci
from core.api.operations import operation
from core.api.resource import Resource
from projects import contents, reach
from projects.api import answers
from projects.models import Artifact, Reference
from rbac.access import Actor
from rbac.authentication import actor_of
from rbac.permissions import EVERYBODY

# Harbor's annotation of the layer that is the icon.
ANNOTATION = "io.goharbor.artifact.v1alpha1.icon"
MOST_BYTES = 256 * 1024
# It goes out as it came in, so only what browsers show and never run. An SVG may hold scripts.
_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
_ASKED = 20


class Icons(Resource):
    """Whoever may see an artifact may see its icon; for others there is none."""

    resource = EVERYBODY

    @operation("Read the picture that an artifact brings along", gives=answers.Icon)
    def retrieve(self, request: Request, digest: str) -> Response:
        layer = _visible(oci.parse_digest(digest), actor_of(request))
        if layer is None:
            raise errors.NotFound(f"the icon {digest} not found")
        if layer.size > MOST_BYTES:
            raise errors.NotFound(f"the icon {digest} has more than {MOST_BYTES} bytes and is not shown")
        content = contents.read(oci.Descriptor(layer.media_type, layer.digest, layer.size))
        kind = next((kind for start, kind in _TYPES.items() if content.startswith(start)), None)
        if kind is None:
            raise errors.NotFound(f"the icon {digest} is neither PNG, JPEG nor GIF and is not shown")
        return Response({"content-type": kind, "content": base64.b64encode(content).decode()})


def add_icons(rows: Sequence[Artifact]) -> None:
    """Give each row the digest of its icon."""
    digests = dict(_layers().filter(artifact__in=rows).order_by("-position").values_list("artifact_id", "digest"))
    for row in rows:
        vars(row)["my_icon"] = digests.get(row.pk)


def _layers() -> QuerySet[Reference]:
    return Reference.objects.live().filter(
        kind=Reference.Kind.LAYER, descriptor__annotations__has_key=ANNOTATION, artifact__deleted__isnull=True
    )


def _visible(digest: str, actor: Actor) -> Reference | None:
    layers = _layers().filter(digest=digest, repository__in=reach.readable_repositories(actor))
    for layer in layers.select_related("artifact", "repository__project")[:_ASKED]:
        within = reach.of(actor, layer.repository.project)
        if layer.artifact and within.has_manifest(layer.repository, layer.artifact.digest):
            return layer
    return None
