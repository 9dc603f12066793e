"""What artifacts are, by the manifests that the public specifications and their tools write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core import oci
from projects import manifest_rows
from projects.kinds import accessory_kind, artifact_kind

EMPTY = "application/vnd.oci.empty.v1+json"
IMAGE = "application/vnd.oci.image.config.v1+json"
DOCKER = "application/vnd.docker.container.image.v1+json"
HELM = "application/vnd.cncf.helm.config.v1+json"
WASM = "application/vnd.wasm.config.v1+json"
MODEL = "application/vnd.cncf.model.config.v1+json"
SBOM = "application/vnd.goharbor.harbor.sbom.v1"
NOTATION = "application/vnd.cncf.notary.signature"
COSIGN_LAYER = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
DIGEST = "sha256:" + "0" * 64
NYDUS = {"annotations": {"containerd.io/snapshot/nydus-bootstrap": "true"}}


def descriptor(media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": DIGEST, "size": 2, **more}


def manifest(config: str, layer: str = "application/octet-stream", **more: Any) -> oci.Manifest:
    media_type = more.pop("media_type", oci.OCI_MANIFEST)
    layers = [descriptor(layer, **more.pop("layer_facts", {}))]
    document = {"schemaVersion": 2, "mediaType": media_type, "config": descriptor(config), "layers": layers, **more}
    return oci.parse_manifest(json.dumps(document).encode(), media_type)


def index(media_type: str = oci.OCI_INDEX, **more: Any) -> oci.Manifest:
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": [descriptor(oci.OCI_MANIFEST)], **more}
    return oci.parse_manifest(json.dumps(document).encode(), media_type)


@pytest.mark.parametrize(
    ("pushed", "kind"),
    [
        pytest.param(manifest(DOCKER, media_type=oci.DOCKER_MANIFEST), "IMAGE", id="docker-image"),
        pytest.param(manifest(IMAGE), "IMAGE", id="oci-image"),
        pytest.param(index(), "IMAGE", id="oci-index"),
        pytest.param(index(oci.DOCKER_INDEX), "IMAGE", id="docker-manifest-list"),
        pytest.param(manifest(HELM, "application/vnd.cncf.helm.chart.content.v1.tar+gzip"), "CHART", id="helm-chart"),
        pytest.param(
            index(annotations={"org.opencontainers.artifactType": "application/vnd.cnab.manifest.v1"}),
            "CNAB",
            id="cnab-bundle",
        ),
        pytest.param(index(artifactType="application/vnd.cnab.manifest.v1"), "CNAB", id="cnab-bundle-of-oci-1.1"),
        pytest.param(index(artifactType="application/vnd.example"), "UNKNOWN", id="index-of-something"),
        pytest.param(manifest(WASM, "application/vnd.wasm.content.layer.v1+wasm"), "WASM", id="wasm-to-oci"),
        pytest.param(manifest("application/vnd.wasm.config.v0+json", "application/wasm"), "WASM", id="wasm-of-cncf"),
        pytest.param(
            manifest(IMAGE, annotations={"module.wasm.image/variant": "compat"}), "WASM", id="wasm-compat-image"
        ),
        pytest.param(manifest(IMAGE, annotations={"run.oci.handler": "wasm"}), "WASM", id="wasm-for-crun"),
        pytest.param(manifest(IMAGE, annotations={"run.oci.handler": "kvm"}), "IMAGE", id="image-for-another-handler"),
        pytest.param(manifest(SBOM), "SBOM", id="harbor-sbom"),
        pytest.param(manifest(EMPTY, artifactType=SBOM), "SBOM", id="harbor-sbom-of-oci-1.1"),
        pytest.param(manifest(MODEL, artifactType="application/vnd.cncf.model.manifest.v1+json"), "CNAI", id="model"),
        pytest.param(manifest(MODEL), "CNAI", id="model-without-artifact-type"),
        pytest.param(manifest("application/vnd.cnai.model.config.v1+json"), "CNAI", id="model-of-before"),
        pytest.param(manifest("application/vnd.acme.rocket.config.v1+json"), "ROCKET", id="oras-with-a-word"),
        pytest.param(manifest("application/vnd.acme.big.rocket.config.v1+json"), "BIG.ROCKET", id="two-words"),
        pytest.param(manifest("application/vnd.unknown.config.v1+json"), "UNKNOWN", id="oras-without-one"),
        pytest.param(manifest(EMPTY, artifactType="application/vnd.example+type"), "UNKNOWN", id="generic"),
        pytest.param(manifest("application/json"), "UNKNOWN", id="any-json"),
        pytest.param(
            manifest(f"application/vnd.acme.{'x' * 65}.config.v1+json"), "UNKNOWN", id="word-that-nobody-would-read"
        ),
        pytest.param(manifest(IMAGE, COSIGN_LAYER), "IMAGE", id="cosign-signature-looks-like-an-image"),
    ],
)
def test_kinds(pushed: oci.Manifest, kind: str) -> None:
    assert artifact_kind(pushed) == kind


@pytest.mark.parametrize(
    ("pushed", "tag", "kind"),
    [
        (manifest(IMAGE, COSIGN_LAYER), "sha256-0.sig", "signature.cosign"),
        (manifest(IMAGE, COSIGN_LAYER, subject=descriptor(oci.OCI_MANIFEST)), "", "signature.cosign"),
        (manifest(IMAGE, "application/vnd.dsse.envelope.v1+json"), "sha256-0.att", "subject.accessory"),
        (manifest(EMPTY, artifactType=BUNDLE), "", "signature.cosign"),
        (manifest(EMPTY, artifactType="application/vnd.dev.cosign.artifact.sig.v1+json"), "", "signature.cosign"),
        (manifest(NOTATION, "application/jose+json"), "", "signature.notation"),
        (manifest(EMPTY, artifactType=NOTATION), "", "signature.notation"),
        (manifest(SBOM), "", "sbom.harbor"),
        (manifest(EMPTY, artifactType="application/spdx+json"), "", "subject.accessory"),
        (manifest(IMAGE, layer_facts=NYDUS, subject=descriptor(oci.OCI_MANIFEST)), "", "accelerator.nydus"),
        (manifest(DOCKER, layer_facts=NYDUS, subject=descriptor(oci.OCI_MANIFEST)), "v1-nydus", "accelerator.nydus"),
        (manifest(IMAGE, subject=descriptor(oci.OCI_MANIFEST)), "", "subject.accessory"),
        # An accelerator is an image, and says of what.
        (manifest(HELM, layer_facts=NYDUS, subject=descriptor(oci.OCI_MANIFEST)), "", "subject.accessory"),
        (manifest(IMAGE, layer_facts=NYDUS), f"sha256-{'0' * 64}.att", "subject.accessory"),
    ],
)
def test_accessories(pushed: oci.Manifest, tag: str, kind: str) -> None:
    assert accessory_kind(pushed, tag) == kind


TITLE = "org.opencontainers.image.title"


@pytest.mark.parametrize(
    ("pushed", "config", "told"),
    [
        pytest.param(
            manifest(IMAGE),
            {"os": "linux", "architecture": "arm64", "config": {"Env": ["A=b"]}, "rootfs": {"diff_ids": []}},
            {"os": "linux", "architecture": "arm64", "config": {"Env": ["A=b"]}},
            id="image-without-what-only-machines-read",
        ),
        pytest.param(
            manifest(DOCKER, media_type=oci.DOCKER_MANIFEST),
            {"author": "", "config": {"Labels": {"maintainer": "Alice", "x": "y"}}},
            {"author": "Alice", "config": {"Labels": {"maintainer": "Alice", "x": "y"}}},
            id="author-in-a-label",
        ),
        pytest.param(
            manifest(HELM), {"name": "app", "version": "1.2.3", "appVersion": "4"},
            {"name": "app", "version": "1.2.3", "appVersion": "4"}, id="chart",
        ),
        pytest.param(manifest(MODEL), {"descriptor": {"name": "m"}}, {"descriptor": {"name": "m"}}, id="model"),
        pytest.param(manifest("application/vnd.acme.rocket.config.v1+json"), {"fuel": 3}, {"fuel": 3}, id="any-word"),
        pytest.param(manifest("application/json"), {"fuel": 3}, {}, id="generic"),
        pytest.param(
            manifest(WASM, "application/wasm", layer_facts={"annotations": {TITLE: "a.wasm"}}),
            {"x": 1},
            {"manifest.config.mediaType": WASM, "manifest.layers.mediaType": "application/wasm", TITLE: "a.wasm"},
            id="wasm",
        ),
        pytest.param(
            manifest(IMAGE, annotations={"run.oci.handler": "wasm"}),
            {"os": "wasip1"},
            {"os": "wasip1", "manifest.config.mediaType": IMAGE},
            id="wasm-image",
        ),
        pytest.param(manifest(HELM), ["a list"], {}, id="nonsense"),
        pytest.param(manifest(HELM), json.loads('{"a":' * 101 + "1" + "}" * 101), {}, id="what-nobody-could-show"),
        pytest.param(manifest(HELM), {"name": "a\0b"}, {}, id="what-postgresql-cannot-keep"),
    ],
)  # fmt: skip
def test_what_the_configuration_tells(pushed: oci.Manifest, config: Any, told: dict[str, Any]) -> None:
    asked = manifest_rows.telling_config(pushed)
    assert manifest_rows.told_by(pushed, json.dumps(config).encode() if asked else b"") == told


def test_a_configuration_that_is_too_long_for_lists_is_not_read() -> None:
    long = manifest(HELM)
    assert long.config is not None
    object.__setattr__(long.config, "size", 64 * 1024 + 1)
    assert manifest_rows.telling_config(long) is None


# --- a CNAB bundle's configuration is that of one of its parts ------------------------------------------------------
CNAB = "application/vnd.cnab.manifest.v1"


def bundle(*parts: dict[str, Any], **more: Any) -> oci.Manifest:
    facts = {"manifests": [descriptor(oci.OCI_MANIFEST, **part) for part in parts], "artifactType": CNAB, **more}
    return index(**facts)


def part(kind: str, number: int = 1, **more: Any) -> dict[str, Any]:
    return {"digest": f"sha256:{number:064x}", "annotations": {"io.cnab.manifest.type": kind}, **more}


@pytest.mark.parametrize(
    ("pushed", "number"),
    [
        pytest.param(bundle(part("invocation", 1), part("config", 2)), 2, id="bundle"),
        pytest.param(bundle(part("config", 1), part("config", 2)), 2, id="of-several-the-last"),
        pytest.param(bundle(part("component", 1), {}), None, id="none-says-so"),
        pytest.param(bundle(part("config", 1, size=64 * 1024 + 1)), None, id="too-long"),
        pytest.param(bundle(part("config", 1), artifactType=""), None, id="no-bundle"),
        pytest.param(manifest(EMPTY, artifactType=CNAB), None, id="no-index"),
    ],
)
def test_which_part_tells_of_a_bundle(pushed: oci.Manifest, number: int | None) -> None:
    told = manifest_rows.telling_part(pushed)
    assert (told and told.digest) == (number and f"sha256:{number:064x}")


@pytest.mark.parametrize(
    ("content", "is_read"),
    [
        (manifest("application/vnd.cnab.config.v1+json").content, True),
        (manifest(IMAGE).content, True),
        (index().content, False),
        (b"", False),
        (b"no manifest", False),
    ],
)
def test_the_parts_configuration_is_read(content: bytes, is_read: bool) -> None:
    found = manifest_rows.telling_config(bundle(part("config")), content)
    assert (found is not None) is is_read


def test_a_bundles_configuration_is_told_whole() -> None:
    said = {"name": "helloworld", "version": "0.1.1", "keywords": ["cnab"]}
    assert manifest_rows.told_by(bundle(part("config")), json.dumps(said).encode()) == said
