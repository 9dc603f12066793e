"""What an artifact is, in Harbor's words: decided from the manifest alone."""

from __future__ import annotations

import re

from core import oci

IMAGE = "IMAGE"
_KINDS = {
    "application/vnd.docker.container.image.v1+json": IMAGE,
    "application/vnd.oci.image.config.v1+json": IMAGE,
    "application/vnd.cncf.helm.config.v1+json": "CHART",
    "application/vnd.cnab.manifest.v1": "CNAB",
    "application/vnd.wasm.config.v1+json": "WASM",
    "application/vnd.wasm.config.v0+json": "WASM",
    "application/vnd.goharbor.harbor.sbom.v1": "SBOM",
}
# Harbor takes the word from the media type of anything else: application/vnd.<org>.<word>.config….
_WORD = re.compile(r"application/vnd\.[^.]*\.([^.]*)\.config\.[^.]*\+json")
_SIGNATURES = {
    "application/vnd.cncf.notary.signature": "signature.notation",
    "application/vnd.dev.cosign.artifact.sig.v1+json": "signature.cosign",
    "application/vnd.dev.sigstore.bundle.v0.3+json": "signature.cosign",
    "application/vnd.goharbor.harbor.sbom.v1": "sbom.harbor",
}
_COSIGN_LAYER = "application/vnd.dev.cosign.simplesigning.v1+json"


def artifact_kind(manifest: oci.Manifest) -> str:
    """Harbor's `type` of an artifact."""
    if manifest.is_index:
        return "CNAB" if "org.opencontainers.artifactType" in manifest.annotations else IMAGE
    said = manifest.artifact_type or (manifest.config.media_type if manifest.config else "")
    if said in _KINDS:
        return _KINDS[said]
    match = _WORD.fullmatch(said)
    return match[1].upper() if match else "UNKNOWN"


def accessory_kind(manifest: oci.Manifest, tag: str) -> str:
    """Harbor's accessory type."""
    said = manifest.artifact_type or (manifest.config.media_type if manifest.config else "")
    if said in _SIGNATURES:
        return _SIGNATURES[said]
    is_cosign = any(layer.media_type == _COSIGN_LAYER for layer in manifest.layers)
    return "signature.cosign" if is_cosign and (tag.endswith(".sig") or not tag) else "subject.accessory"
