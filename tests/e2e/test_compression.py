"""What travels compressed, and what must not: sizes, digests and blobs are those of the content itself."""

from __future__ import annotations

import gzip
import json
import os
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import EMPTY, OCI_MANIFEST, Client, Image, Repository, descriptor, digest_of, make_image
from tests.e2e.docker_engine import Docker
from tests.e2e.platform import Platform
from tests.e2e.test_skopeo import make_real_image, skopeo

People = dict[str, tuple[str, str]]
KILOBYTE = 1024


def words(kilobytes: int) -> str:
    """Text that a compressor can do something with."""
    return "".join(f"{os.urandom(4).hex()} and so on, " for _ in range(kilobytes * KILOBYTE // 20))


def large(image: Image, kilobytes: int = 40) -> Image:
    """The same image with a manifest of at least so many bytes."""
    document = {**json.loads(image.manifest), "annotations": {"story": words(kilobytes)}}
    return Image(json.dumps(document).encode(), image.blobs, image.media_type)


def raw(platform: Platform, method: str, path: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    """One request exactly as said: no header added, nothing decompressed."""
    connection = HTTPConnection(platform.host)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer, answer.read()


def bearer(place: Repository) -> str:
    return f"Bearer {place.client.token(*place.scopes)}"


@pytest.fixture
def large_image(app: Repository) -> Image:
    image = large(make_image())
    app.push(image, "v1")
    return image


def test_a_large_manifest_travels_compressed(platform: Platform, app: Repository, large_image: Image) -> None:
    path = f"/v2/{app.name}/manifests/v1"
    answer, body = raw(platform, "GET", path, Authorization=bearer(app), Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert len(body) < len(large_image.manifest) * 0.8
    assert gzip.decompress(body) == large_image.manifest
    assert answer.headers["Docker-Content-Digest"] == large_image.digest
    assert answer.headers["Content-Type"] == OCI_MANIFEST


def test_who_does_not_ask_for_it_gets_the_bytes_as_they_are(
    platform: Platform, app: Repository, large_image: Image
) -> None:
    answer, body = raw(platform, "GET", f"/v2/{app.name}/manifests/v1", Authorization=bearer(app))
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Content-Length"] == str(len(large_image.manifest))
    assert answer.headers["ETag"] == f'"{large_image.digest}"'
    assert body == large_image.manifest


def test_a_head_tells_size_and_digest_of_the_manifest_itself(
    platform: Platform, app: Repository, large_image: Image
) -> None:
    path = f"/v2/{app.name}/manifests/{large_image.digest}"
    answer, body = raw(platform, "HEAD", path, Authorization=bearer(app), Accept_Encoding="gzip")
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Content-Length"] == str(len(large_image.manifest))
    assert answer.headers["Docker-Content-Digest"] == large_image.digest
    assert body == b""


def test_a_compressed_manifests_etag_still_saves_its_next_transfer(
    platform: Platform, app: Repository, large_image: Image
) -> None:
    path = f"/v2/{app.name}/manifests/v1"
    asked = {"Authorization": bearer(app), "Accept_Encoding": "gzip"}
    tag = raw(platform, "GET", path, **asked)[0].headers["ETag"]
    assert tag == f'W/"{large_image.digest}"'
    again, body = raw(platform, "GET", path, **asked, If_None_Match=tag)
    assert (again.status, body) == (304, b"")
    assert again.headers["Docker-Content-Digest"] == large_image.digest


def test_a_small_manifest_is_not_worth_it(platform: Platform, app: Repository) -> None:
    image = large(make_image(), 20)
    app.push(image, "v1")
    path = f"/v2/{app.name}/manifests/v1"
    answer, body = raw(platform, "GET", path, Authorization=bearer(app), Accept_Encoding="gzip")
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Content-Length"] == str(len(image.manifest))
    assert body == image.manifest


def test_a_long_list_of_referrers_travels_compressed(platform: Platform, app: Repository) -> None:
    subject = make_image()
    app.push(subject, "v1")
    empty = b"{}"
    app.push_blob(empty)
    path = f"/v2/{app.name}/referrers/{subject.digest}"
    asked = {"Authorization": bearer(app), "Accept_Encoding": "gzip"}
    for _ in range(8):
        assert "Content-Encoding" not in raw(platform, "GET", path, **asked)[0].headers
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": "application/vnd.example.note",
            "config": descriptor(empty, EMPTY),
            "layers": [descriptor(empty, EMPTY)],
            "subject": descriptor(subject.manifest, OCI_MANIFEST),
            "annotations": {"note": words(4)},
        }
        content = json.dumps(document).encode()
        assert app.put_manifest(content, digest_of(content)).status_code == 201
    answer, body = raw(platform, "GET", path, **asked)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(body))["manifests"]) == 8


def test_answers_of_the_api_and_pages_travel_compressed(platform: Platform, alice: Client, people: People) -> None:
    for number in range(10):
        platform.make_project(f"compressed{number}", people["alice"], public=True)
    for path in ("/api/v2.0/projects", "/sign-in"):
        answer, body = raw(platform, "GET", path, Accept_Encoding="gzip")
        assert answer.headers["Content-Encoding"] == "gzip", path
        assert "Accept-Encoding" in answer.headers.get_all("Vary", [])
        assert len(gzip.decompress(body)) > KILOBYTE
    assert "Content-Encoding" not in raw(platform, "GET", "/api/version", Accept_Encoding="gzip")[0].headers


def test_a_blob_never_changes(platform: Platform, app: Repository) -> None:
    """Not even one that could be compressed well: its bytes, length and ranges are what its digest says."""
    content = json.dumps({"story": words(64)}).encode()
    digest = app.push_blob(content)
    asked: dict[str, Any] = {"Authorization": bearer(app), "Accept_Encoding": "gzip"}
    answer, body = raw(platform, "GET", f"/v2/{app.name}/blobs/{digest}", **asked)
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Content-Length"] == str(len(content))
    assert body == content
    part, body = raw(platform, "GET", f"/v2/{app.name}/blobs/{digest}", **asked, Range="bytes=10-99")
    assert (part.status, body) == (206, content[10:100])


def test_skopeo_copies_an_image_with_a_large_manifest(
    platform: Platform, app: Repository, people: People, tmp_path: Path
) -> None:
    image = large(make_real_image())
    app.push(image, "v1")
    name, password = people["alice"]
    place = f"docker://{platform.host}/{app.name}"
    skopeo("copy", "--src-tls-verify=false", f"--src-creds={name}:{password}", f"{place}:v1", f"dir:{tmp_path}")
    assert (tmp_path / "manifest.json").read_bytes() == image.manifest
    copied = f"{place}@{image.digest}"
    assert image.digest in skopeo("inspect", "--tls-verify=false", f"--creds={name}:{password}", copied).stdout


def test_docker_pulls_an_image_with_a_large_manifest(
    platform: Platform, app: Repository, people: People, docker: Docker
) -> None:
    image = large(make_real_image())
    app.push(image, "v1")
    docker.login(platform.host, people["alice"])
    assert image.digest in docker("pull", f"{platform.host}/{app.name}:v1").stdout
