"""What artifacts tell about themselves, read from the store; what it means is decided in `manifest_rows`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core import oci
from core.store import files
from projects import manifest_rows


def read(manifests: Sequence[oci.Manifest]) -> dict[str, dict[str, Any]]:
    """Digest → what the artifact tells. Configurations, and parts that have one for the whole, are in the store."""
    parts = {manifest.digest: manifest_rows.telling_part(manifest) for manifest in manifests}
    inner = _contents(parts)
    configs = {each.digest: manifest_rows.telling_config(each, inner.get(each.digest, b"")) for each in manifests}
    outer = _contents(configs)
    return {each.digest: manifest_rows.told_by(each, outer.get(each.digest, b"")) for each in manifests}


def _contents(wanted: dict[str, oci.Descriptor | None]) -> dict[str, bytes]:
    """Key → the bytes of its blob, of those that have one."""
    found = files.contents({blob.digest for blob in wanted.values() if blob})
    return {key: found[blob.digest] or b"" for key, blob in wanted.items() if blob}
