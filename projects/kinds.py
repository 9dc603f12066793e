"""What an artifact is, in Harbor's words: decided from the manifest alone."""

from __future__ import annotations

import re
from enum import StrEnum

from core import oci


class Kind(StrEnum):
    """The types that Harbor has a word of its own for."""

    IMAGE = "IMAGE"
    CHART = "CHART"
    CNAB = "CNAB"
    WASM = "WASM"
    SBOM = "SBOM"
    CNAI = "CNAI"
    """A model for AI, packed as the CNCF's ModelPack says."""
    UNKNOWN = "UNKNOWN"


KIND_MOST = 64
_KINDS = {
    "application/vnd.docker.container.image.v1+json": Kind.IMAGE,
    "application/vnd.oci.image.config.v1+json": Kind.IMAGE,
    "application/vnd.cncf.helm.config.v1+json": Kind.CHART,
    "application/vnd.cnab.manifest.v1": Kind.CNAB,
    "application/vnd.wasm.config.v1+json": Kind.WASM,
    "application/vnd.wasm.config.v0+json": Kind.WASM,
    "application/vnd.goharbor.harbor.sbom.v1": Kind.SBOM,
    "application/vnd.cncf.model.manifest.v1+json": Kind.CNAI,
    "application/vnd.cncf.model.config.v1+json": Kind.CNAI,
    # What the specification's media types were called before.
    "application/vnd.cnai.model.manifest.v1+json": Kind.CNAI,
    "application/vnd.cnai.model.config.v1+json": Kind.CNAI,
}
# Harbor takes the word from the media type of anything else: application/vnd.<org>.<word>.config….
_WORD = re.compile(r"application/vnd\.[^.]*\.(.*)\.config\.[^.]*\+json")
# WebAssembly in what looks like an image (the "compat" variant of the image specification of Solo.io, and crun's).
_WASM_ANNOTATIONS = (("module.wasm.image/variant", "compat"), ("run.oci.handler", "wasm"))
# CNAB's indexes say what they are in an annotation, for OCI's had no place for it then.
_INDEX_TYPE = "org.opencontainers.artifactType"
_SIGNATURES = {
    "application/vnd.cncf.notary.signature": "signature.notation",
    "application/vnd.dev.cosign.artifact.sig.v1+json": "signature.cosign",
    "application/vnd.dev.sigstore.bundle.v0.3+json": "signature.cosign",
    "application/vnd.goharbor.harbor.sbom.v1": "sbom.harbor",
}
# On the last layer of an image that Nydus made of another one, to load it lazily.
_NYDUS = "containerd.io/snapshot/nydus-bootstrap"
_COSIGN_LAYER = "application/vnd.dev.cosign.simplesigning.v1+json"


def artifact_kind(manifest: oci.Manifest) -> str:
    """Harbor's `type` of an artifact."""
    if manifest.is_index:
        said = manifest.annotations.get(_INDEX_TYPE) or manifest.artifact_type
        return _kind(said) if said else Kind.IMAGE.value
    if any(manifest.annotations.get(key) == value for key, value in _WASM_ANNOTATIONS):
        return Kind.WASM.value
    return _kind(manifest.artifact_type or (manifest.config.media_type if manifest.config else ""))


def _kind(media_type: str) -> str:
    if media_type in _KINDS:
        return _KINDS[media_type].value
    match = _WORD.fullmatch(media_type)
    return match[1].upper() if match and len(match[1]) <= KIND_MOST else Kind.UNKNOWN.value


def accessory_kind(manifest: oci.Manifest, tag: str) -> str:
    """Harbor's accessory type."""
    said = manifest.artifact_type or (manifest.config.media_type if manifest.config else "")
    if said in _SIGNATURES:
        return _SIGNATURES[said]
    if _KINDS.get(said) == Kind.IMAGE and manifest.subject and _is_made_by_nydus(manifest):
        return "accelerator.nydus"
    is_cosign = any(layer.media_type == _COSIGN_LAYER for layer in manifest.layers)
    return "signature.cosign" if is_cosign and (tag.endswith(".sig") or not tag) else "subject.accessory"


def _is_made_by_nydus(manifest: oci.Manifest) -> bool:
    return bool(manifest.layers) and _NYDUS in manifest.layers[-1].annotations
