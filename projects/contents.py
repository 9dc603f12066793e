"""What an artifact's blobs hold, as far as it is shown: read whole into memory, so never much of it."""

from __future__ import annotations

import json
from typing import Any

from core import errors, oci
from core.oci import Descriptor
from core.store import files
from projects.models import Artifact

MOST_BYTES = 10 * 1024 * 1024
_STEP = ("created", "created_by", "author", "comment", "empty_layer")


def manifest_of(artifact: Artifact) -> oci.Manifest:
    """What an artifact's manifest says."""
    return oci.parse_manifest(bytes(artifact.manifest.content), artifact.media_type)


def read(blob: Descriptor) -> bytes:
    """A blob's bytes. Unprocessable when they are too many, NotFound when they are not in the store any more."""
    if blob.size > MOST_BYTES:
        raise errors.Unprocessable(f"{blob.digest} is too large to be shown: it has more than {MOST_BYTES} bytes")
    try:
        with files.open_data(blob.digest) as handle:
            return handle.read(blob.size)
    except FileNotFoundError as error:
        raise errors.NotFound(f"{blob.digest} is not in the store any more; push the artifact again") from error


def build_history(config: bytes) -> list[dict[str, Any]]:
    """The steps that made an image, from its configuration (OCI image spec). Unprocessable when it is none."""
    try:
        document = json.loads(config)
    except (ValueError, RecursionError) as error:
        raise errors.Unprocessable("the image's configuration is no JSON") from error
    steps = document.get("history") if isinstance(document, dict) else None
    if not isinstance(steps, list):
        return []
    return [
        {key: step[key] for key in _STEP if isinstance(step.get(key), str | bool)}
        for step in steps
        if isinstance(step, dict)
    ]
