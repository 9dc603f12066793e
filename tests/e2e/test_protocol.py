"""The OCI distribution protocol, request by request."""

from __future__ import annotations

import json
import os
import threading

import pytest

from tests.e2e.client import (
    EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    Client,
    Repository,
    descriptor,
    digest_of,
    make_image,
    make_index,
)


def make_referrer(subject: bytes, artifact_type: str, **more: object) -> bytes:
    """A manifest without content that refers to another."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": descriptor(b"{}", EMPTY),
        "layers": [descriptor(b"{}", EMPTY)],
        "subject": descriptor(subject, OCI_MANIFEST),
        **more,
    }
    return json.dumps(document).encode()


def test_the_base_asks_for_a_token(anonymous: Client) -> None:
    answer = anonymous.call("GET", "/v2/")
    assert answer.status_code == 401
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer realm="{anonymous.url}/service/token",service="harbor-registry"'
    )
    assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"


def test_a_pushed_image_comes_back_as_it_was(app: Repository) -> None:
    image = make_image()
    app.push(image, "v1")
    for reference in ("v1", image.digest):
        pulled = app.pull(reference)
        assert pulled is not None
        assert (pulled.manifest, pulled.blobs, pulled.media_type) == (image.manifest, image.blobs, image.media_type)


def test_head_says_what_get_would(app: Repository) -> None:
    image = make_image()
    app.push(image, "v1")
    head, get = app.call("HEAD", "manifests/v1"), app.get_manifest("v1")
    assert head.content == b""
    for name in ("Content-Length", "Content-Type", "Docker-Content-Digest", "ETag"):
        assert head.headers[name] == get.headers[name]
    digest, content = next(iter(image.blobs.items()))
    blob = app.call("HEAD", f"blobs/{digest}")
    assert (blob.status_code, blob.headers["Content-Length"]) == (200, str(len(content)))
    assert blob.headers["Docker-Content-Digest"] == digest


def test_an_unchanged_manifest_is_304(app: Repository) -> None:
    image = make_image()
    app.push(image, "v1")
    answer = app.call("GET", "manifests/v1", headers={"If-None-Match": f'"{image.digest}"'})
    assert (answer.status_code, answer.content) == (304, b"")


def test_a_blob_is_served_in_ranges(app: Repository) -> None:
    content = os.urandom(10_000)
    digest = app.push_blob(content)
    part = app.get_blob(digest, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, content[100:200])
    outside = app.get_blob(digest, headers={"Range": "bytes=20000-"})
    assert outside.status_code == 416
    assert outside.json()["errors"][0]["code"] == "RANGE_INVALID"


def test_uploads_in_one_put_in_chunks_and_streamed(app: Repository) -> None:
    whole = os.urandom(5000)
    assert app.finish_upload(app.start_upload(), digest_of(whole), whole).status_code == 201
    chunked = os.urandom(9000)
    location, sent = app.start_upload(), 0
    for part in (chunked[:3000], chunked[3000:7000], chunked[7000:]):
        headers = {"Content-Range": f"{sent}-{sent + len(part) - 1}"}
        sent += len(part)
        answer = app.patch(location, part, headers=headers)
        assert answer.status_code == 202, answer.text
        assert answer.headers["Range"] == f"0-{sent - 1}"
        location = app._absolute(answer.headers["Location"])
    assert app.finish_upload(location, digest_of(chunked)).status_code == 201
    for content in (whole, chunked):
        assert app.get_blob(digest_of(content)).content == content


def test_an_upload_can_be_asked_about_and_cancelled(app: Repository) -> None:
    location = app.start_upload()
    location = app._absolute(app.patch(location, b"x" * 100).headers["Location"])
    asked = app.client.call("GET", location, scopes=app.scopes)
    assert (asked.status_code, asked.headers["Range"]) == (204, "0-99")
    pushing = (f"repository:{app.name}:pull,push",)
    assert app.client.call("DELETE", location, scopes=pushing).status_code == 204
    assert app.client.call("GET", location, scopes=pushing).status_code == 404


def test_a_blob_is_mounted_from_where_one_may_pull(app: Repository, bob: Client, mallory: Client) -> None:
    content = os.urandom(3000)
    digest = app.push_blob(content)
    scopes = ("repository:team/mounted:pull,push", f"repository:{app.name}:pull")
    path = f"/v2/team/mounted/blobs/uploads/?mount={digest}&from={app.name}"
    answer = bob.call("POST", path, scopes=scopes)
    assert (answer.status_code, answer.headers["Docker-Content-Digest"]) == (201, digest)
    assert bob.repository("team/mounted").get_blob(digest).content == content


def test_a_foreign_blob_cannot_be_mounted(app: Repository, mallory: Client, platform: object) -> None:
    """Mallory knows the digest of a layer in Alice's private project, and has a project of his own."""
    digest = app.push_blob(os.urandom(3000))
    body = {"project_name": "mallorys", "metadata": {"public": "false"}}
    platform.api("POST", "/projects", mallory.user, json=body)  # type: ignore[attr-defined]
    scopes = ("repository:mallorys/x:pull,push", f"repository:{app.name}:pull")
    answer = mallory.call("POST", f"/v2/mallorys/x/blobs/uploads/?mount={digest}&from={app.name}", scopes=scopes)
    assert answer.status_code == 202
    assert mallory.repository("mallorys/x").call("HEAD", f"blobs/{digest}").status_code == 404
    assert mallory.repository("mallorys/x").get_blob(digest).status_code == 404


def test_tags_are_listed_by_bytes_in_pages(app: Repository) -> None:
    image = make_image()
    for tag in ("b", "B", "a", "1", "_x", "a-1"):
        app.push(image, tag)
    assert app.call("GET", "tags/list").json() == {"name": app.name, "tags": ["1", "B", "_x", "a", "a-1", "b"]}
    page = app.call("GET", "tags/list?n=2")
    assert page.json()["tags"] == ["1", "B"]
    assert page.headers["Link"] == f'</v2/{app.name}/tags/list?n=2&last=B>; rel="next"'
    following = app.client.call("GET", "/v2/" + page.headers["Link"].split("/v2/")[1].split(">")[0], scopes=app.scopes)
    assert following.json()["tags"] == ["_x", "a"]
    assert app.call("GET", "tags/list?n=0").json()["tags"] == []
    assert app.call("GET", "tags/list?n=99999999999999999999").json()["tags"][-1] == "b"


def test_the_catalog_holds_what_one_may_read(
    app: Repository, mallory: Client, anonymous: Client, alice: Client
) -> None:
    app.push(make_image(), "v1")
    alice.repository("open/catalogued").push(make_image(), "v1")
    scope = ("registry:catalog:*",)
    assert {app.name, "open/catalogued"} <= set(alice.call("GET", "/v2/_catalog", scopes=scope).json()["repositories"])
    for stranger in (mallory, anonymous):
        seen = stranger.call("GET", "/v2/_catalog", scopes=scope).json()["repositories"]
        assert "open/catalogued" in seen
        assert not [name for name in seen if name.startswith("team/")]
    page = alice.call("GET", "/v2/_catalog?n=1", scopes=scope)
    assert len(page.json()["repositories"]) == 1
    assert 'rel="next"' in page.headers["Link"]


def test_referrers_are_listed_and_filtered(app: Repository) -> None:
    image = make_image()
    app.push_blob(b"{}")
    sbom = make_referrer(image.manifest, "application/spdx+json", annotations={"who": "alice"})
    signature = make_referrer(image.manifest, "application/vnd.example.signature")
    # The subject may come after what refers to it.
    put = app.put_manifest(sbom, digest_of(sbom))
    assert (put.status_code, put.headers["OCI-Subject"]) == (201, image.digest)
    app.push(image, "v1")
    assert app.put_manifest(signature, digest_of(signature)).status_code == 201
    answer = app.call("GET", f"referrers/{image.digest}")
    assert answer.headers["Content-Type"] == OCI_INDEX
    assert {each["digest"] for each in answer.json()["manifests"]} == {digest_of(sbom), digest_of(signature)}
    filtered = app.call("GET", f"referrers/{image.digest}?artifactType=application/spdx%2Bjson")
    assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
    assert filtered.json()["manifests"] == [
        {
            "mediaType": OCI_MANIFEST,
            "digest": digest_of(sbom),
            "size": len(sbom),
            "artifactType": "application/spdx+json",
            "annotations": {"who": "alice"},
        }
    ]
    page = app.call("GET", f"referrers/{image.digest}?n=1")
    assert len(page.json()["manifests"]) == 1
    assert 'rel="next"' in page.headers["Link"]


def test_no_referrers_is_an_empty_index(app: Repository) -> None:
    answer = app.call("GET", f"referrers/sha256:{'0' * 64}")
    assert (answer.status_code, answer.json()["manifests"]) == (200, [])


def test_deleting_a_tag_leaves_the_manifest(app: Repository) -> None:
    image = make_image()
    app.push(image, "v1")
    app.push(image, "v2")
    assert app.call("DELETE", "manifests/v1").status_code == 202
    assert app.get_manifest("v1").status_code == 404
    assert app.get_manifest("v2").status_code == 200
    assert app.get_manifest(image.digest).status_code == 200


def test_a_manifest_deleted_and_pushed_again_is_whole(app: Repository) -> None:
    image = make_image()
    for _ in range(5):
        app.push(image, "v1")
        assert app.call("DELETE", f"manifests/{image.digest}").status_code == 202
        assert app.get_manifest("v1").status_code == 404
    app.push(image, "v1")
    pulled = app.pull("v1")
    assert pulled is not None
    assert pulled.blobs == image.blobs


def test_a_part_of_an_index_cannot_be_deleted(app: Repository) -> None:
    image = make_image()
    app.push(image, image.digest)
    index = make_index(image)
    assert app.put_manifest(index, "multi", OCI_INDEX).status_code == 201
    refused = app.call("DELETE", f"manifests/{image.digest}")
    assert refused.status_code == 412
    assert app.get_manifest(image.digest).status_code == 200
    assert app.call("DELETE", f"manifests/{digest_of(index)}").status_code == 202
    assert app.call("DELETE", f"manifests/{image.digest}").status_code == 202


def test_a_blob_that_is_needed_cannot_be_deleted(app: Repository) -> None:
    image = make_image()
    app.push(image, "v1")
    needed, free = next(iter(image.blobs)), app.push_blob(os.urandom(100))
    refused = app.call("DELETE", f"blobs/{needed}")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, "DENIED")
    assert app.call("DELETE", f"blobs/{free}").status_code == 202
    assert app.call("HEAD", f"blobs/{free}").status_code == 404
    assert app.get_blob(free).status_code == 404
    assert app.get_blob(needed).status_code == 200


@pytest.mark.parametrize(
    ("layer_type", "more"),
    [
        ("application/vnd.oci.image.layer.v1.tar+zstd", {}),
        ("application/vnd.wasm.content.layer.v1+wasm", {}),
        ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", {}),
        ("application/vnd.unheard.of", {"data": "aGVsbG8="}),
    ],
)
def test_any_artifact_type_is_stored(app: Repository, layer_type: str, more: dict[str, str]) -> None:
    layer, config = os.urandom(500), os.urandom(20)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(config, "application/vnd.unheard.config+json"),
            "layers": [descriptor(layer, layer_type, **more)],
        }
    ).encode()
    app.push_blob(layer)
    app.push_blob(config)
    assert app.put_manifest(manifest, "v1").status_code == 201
    assert app.get_manifest("v1").content == manifest


def test_a_foreign_layer_need_not_be_here(app: Repository) -> None:
    config = b'{"architecture":"amd64","os":"windows"}'
    foreign = descriptor(
        b"elsewhere", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls=["https://example.com/layer"]
    )
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": descriptor(config, "application/vnd.docker.container.image.v1+json"),
            "layers": [foreign],
        }
    ).encode()
    app.push_blob(config)
    answer = app.put_manifest(manifest, "v1", media_type)
    assert answer.status_code == 201, answer.text
    assert app.get_manifest("v1").content == manifest


def test_two_pushes_of_one_tag_end_in_one_of_them(app: Repository) -> None:
    images = [make_image() for _ in range(4)]
    for image in images:
        for content in image.blobs.values():
            app.push_blob(content)
    statuses: list[int] = []

    def push(image: object) -> None:
        own = Client(app.client.url, app.client.user).repository(app.name)
        statuses.append(own.put_manifest(image.manifest, "contested").status_code)  # type: ignore[attr-defined]

    for _ in range(5):
        threads = [threading.Thread(target=push, args=(image,)) for image in images]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pulled = app.pull("contested")
        assert pulled is not None
        assert pulled.manifest in [image.manifest for image in images]
    assert set(statuses) == {201}


def test_many_pushes_of_one_manifest_all_succeed(app: Repository) -> None:
    image = make_image()
    for content in image.blobs.values():
        app.push_blob(content)
    statuses: list[int] = []

    def push(number: int) -> None:
        own = Client(app.client.url, app.client.user).repository(app.name)
        statuses.append(own.put_manifest(image.manifest, f"v{number}").status_code)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * 8
    assert app.call("GET", "tags/list").json()["tags"] == [f"v{number}" for number in range(8)]
