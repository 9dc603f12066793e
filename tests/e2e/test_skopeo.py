"""skopeo: inspect, copy of single and multi-arch images, list-tags, delete, zstd."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.e2e.client import OCI_INDEX, Image, digest_of, make_image, make_index
from tests.e2e.platform import Platform

People = dict[str, tuple[str, str]]


def skopeo(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(["skopeo", *words], capture_output=True, text=True, timeout=120)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


def make_real_image() -> Image:
    """An image as builders make them: layers are compressed archives, and the configuration tells their history."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("random")
        entry.size = 1000
        archive.addfile(entry, io.BytesIO(os.urandom(1000)))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest_of(buffer.getvalue())]},
        "history": [{"created_by": "a test"}],
    }
    layer = gzip.compress(buffer.getvalue())
    return make_image(
        layer, config=json.dumps(config).encode(), layer_type="application/vnd.oci.image.layer.v1.tar+gzip"
    )


def write_layout(folder: Path, images: list[Image], index: bytes | None = None) -> str:
    """An OCI image layout for skopeo; its reference."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    contents = [content for image in images for content in (image.manifest, *image.blobs.values())]
    top = index or images[0].manifest
    for content in [*contents, top]:
        (blobs / Image(content, {}).digest.removeprefix("sha256:")).write_bytes(content)
    media_type = OCI_INDEX if index else images[0].media_type
    entry = {
        "mediaType": media_type,
        "digest": Image(top, {}).digest,
        "size": len(top),
        "annotations": {"org.opencontainers.image.ref.name": "it"},
    }
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return f"oci:{folder}:it"


@pytest.fixture
def alice_credentials(people: People) -> str:
    return ":".join(people["alice"])


def test_copy_all_of_a_multi_arch_image_there_and_back(
    platform: Platform, alice_credentials: str, tmp_path: Path
) -> None:
    images = [make_real_image(), make_real_image()]
    index = make_index(*images)
    source = write_layout(tmp_path / "in", images, index)
    target = f"docker://{platform.host}/team/multi:1"
    skopeo("copy", "--all", "--dest-tls-verify=false", "--dest-creds", alice_credentials, source, target)
    back = f"oci:{tmp_path / 'out'}:it"
    skopeo("copy", "--all", "--src-tls-verify=false", "--src-creds", alice_credentials, target, back)
    for content in [index, *(image.manifest for image in images)]:
        name = Image(content, {}).digest.removeprefix("sha256:")
        assert (tmp_path / "out" / "blobs" / "sha256" / name).read_bytes() == content


def test_inspect_and_list_tags(platform: Platform, alice_credentials: str, tmp_path: Path) -> None:
    image = make_image()
    target = f"docker://{platform.host}/team/inspected"
    source = write_layout(tmp_path / "in", [image])
    options = ("--preserve-digests", "--dest-tls-verify=false", "--dest-creds", alice_credentials)
    skopeo("copy", *options, source, f"{target}:v1")
    seen = json.loads(skopeo("inspect", "--tls-verify=false", "--creds", alice_credentials, f"{target}:v1").stdout)
    assert seen["Digest"] == image.digest
    assert seen["RepoTags"] == ["v1"]
    listed = json.loads(skopeo("list-tags", "--tls-verify=false", "--creds", alice_credentials, target).stdout)
    assert listed["Tags"] == ["v1"]


def test_delete_takes_the_manifest_with_all_its_tags(
    platform: Platform, alice_credentials: str, tmp_path: Path
) -> None:
    target = f"docker://{platform.host}/team/deleted"
    source = write_layout(tmp_path / "in", [make_real_image()])
    for tag in ("a", "b"):
        skopeo("copy", "--dest-tls-verify=false", "--dest-creds", alice_credentials, source, f"{target}:{tag}")
    skopeo("delete", "--tls-verify=false", "--creds", alice_credentials, f"{target}:a")
    gone = skopeo("inspect", "--tls-verify=false", "--creds", alice_credentials, f"{target}:b", check=False)
    assert "manifest unknown" in gone.stderr


def test_a_strangers_inspect_is_refused(
    platform: Platform, people: People, alice_credentials: str, tmp_path: Path
) -> None:
    target = f"docker://{platform.host}/team/secret:1"
    source = write_layout(tmp_path / "in", [make_real_image()])
    skopeo("copy", "--dest-tls-verify=false", "--dest-creds", alice_credentials, source, target)
    mallory = ":".join(people["mallory"])
    assert "denied" in skopeo("inspect", "--tls-verify=false", "--creds", mallory, target, check=False).stderr
    assert skopeo("inspect", "--tls-verify=false", target, check=False).returncode != 0


def test_schema_1_is_refused_with_words(platform: Platform, alice_credentials: str, tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "in", [make_real_image()])
    refused = skopeo(
        "copy", "--format", "v2s1", "--dest-tls-verify=false", "--dest-creds", alice_credentials, layout,
        f"docker://{platform.host}/team/schema1:1", check=False,
    )  # fmt: skip
    assert refused.returncode != 0
    assert "schema 1 is not supported" in refused.stderr
