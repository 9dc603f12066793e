"""A small OCI distribution client for what real clients would not do: wrong, slow, concurrent and raw requests."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

import requests

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
EMPTY = "application/vnd.oci.empty.v1+json"
ACCEPT = ", ".join(
    (
        OCI_MANIFEST,
        OCI_INDEX,
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def descriptor(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}


@dataclass
class Image:
    """An image in memory: its manifest's bytes and its blobs."""

    manifest: bytes
    blobs: dict[str, bytes]
    media_type: str = OCI_MANIFEST

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


def make_image(*layers: bytes, config: bytes | None = None, layer_type: str = OCI_LAYER, **more: Any) -> Image:
    """An OCI image of these layers (random ones when none are given)."""
    contents = layers or (os.urandom(2000), os.urandom(3000))
    configuration = config if config is not None else json.dumps(
        {"architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z", "nonce": os.urandom(8).hex()}
    ).encode()  # fmt: skip
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(configuration, OCI_CONFIG),
        "layers": [descriptor(layer, layer_type) for layer in contents],
        **more,
    }
    blobs = {digest_of(content): content for content in (configuration, *contents)}
    return Image(json.dumps(document).encode(), blobs)


def make_index(*images: Image, **more: Any) -> bytes:
    children = [
        descriptor(image.manifest, image.media_type, platform={"architecture": f"arch{place}", "os": "linux"})
        for place, image in enumerate(images)
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children, **more}).encode()


def make_bundle(said: dict[str, Any]) -> tuple[Image, Image]:
    """The part of a CNAB bundle that holds its configuration, and the bundle, as cnab-to-oci makes them."""
    part = make_image(config=json.dumps(said).encode())
    child = descriptor(part.manifest, part.media_type, annotations={"io.cnab.manifest.type": "config"})
    kind = {"org.opencontainers.artifactType": "application/vnd.cnab.manifest.v1"}
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child], "annotations": kind}
    return part, Image(json.dumps(document).encode(), {}, OCI_INDEX)


@dataclass
class Client:
    """One caller at one registry."""

    url: str
    user: tuple[str, str] | None = None
    timeout: float = 60
    session: requests.Session = field(default_factory=requests.Session)
    tokens: dict[str, str] = field(default_factory=dict)

    def token(self, *scopes: str, fresh: bool = False) -> str:
        key = " ".join(scopes)
        if fresh or key not in self.tokens:
            answer = self.session.get(
                f"{self.url}/service/token",
                params={"service": "harbor-registry", "scope": list(scopes)},
                auth=self.user,
                timeout=self.timeout,
            )
            answer.raise_for_status()
            self.tokens[key] = answer.json()["token"]
        return self.tokens[key]

    def call(
        self,
        method: str,
        path: str,
        *,
        scopes: tuple[str, ...] = (),
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> requests.Response:
        """One request with a token for these scopes (or without one when there are none)."""
        sent = {"Accept": ACCEPT, **(headers or {})}
        if scopes:
            sent["Authorization"] = f"Bearer {self.token(*scopes)}"
        url = path if path.startswith("http") else f"{self.url}{path}"
        return self.session.request(method, url, headers=sent, timeout=self.timeout, allow_redirects=False, **options)

    def repository(self, name: str) -> Repository:
        return Repository(self, name)


@dataclass
class Repository:
    """One repository, for pushing and pulling."""

    client: Client
    name: str

    @property
    def scopes(self) -> tuple[str, ...]:
        return (f"repository:{self.name}:pull,push,delete",)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.client.call(method, f"/v2/{self.name}/{path}", scopes=options.pop("scopes", self.scopes), **options)

    def start_upload(self) -> str:
        answer = self.call("POST", "blobs/uploads/")
        assert answer.status_code == 202, (answer.status_code, answer.text)
        return self._absolute(answer.headers["Location"])

    def finish_upload(self, location: str, digest: str, content: bytes = b"", **options: Any) -> requests.Response:
        headers = {"Content-Type": "application/octet-stream", **options.pop("headers", {})}
        joint = "&" if "?" in location else "?"
        return self.client.call(
            "PUT", f"{location}{joint}digest={digest.replace(':', '%3A')}",
            scopes=self.scopes, data=content, headers=headers, **options,
        )  # fmt: skip

    def mount(self, digest: str, source: str) -> requests.Response:
        """Ask for another repository's blob; 201 when it is here now, 202 when it must be uploaded instead."""
        scopes = (*self.scopes, f"repository:{source}:pull")
        return self.call("POST", f"blobs/uploads/?mount={digest}&from={source}", scopes=scopes)

    def patch(self, location: str, content: bytes, **options: Any) -> requests.Response:
        headers = {"Content-Type": "application/octet-stream", **options.pop("headers", {})}
        return self.client.call("PATCH", location, scopes=self.scopes, data=content, headers=headers, **options)

    def push_blob(self, content: bytes) -> str:
        """Upload a blob, as docker does: only when HEAD does not find it."""
        digest = digest_of(content)
        if self.call("HEAD", f"blobs/{digest}").status_code == 200:
            return digest
        patched = self.patch(self.start_upload(), content)
        assert patched.status_code == 202, (patched.status_code, patched.text)
        answer = self.finish_upload(self._absolute(patched.headers["Location"]), digest)
        assert answer.status_code == 201, (answer.status_code, answer.text)
        return digest

    def put_manifest(self, content: bytes, reference: str, media_type: str = OCI_MANIFEST) -> requests.Response:
        return self.call("PUT", f"manifests/{reference}", data=content, headers={"Content-Type": media_type})

    def push(self, image: Image, reference: str) -> str:
        """Push an image wholly; its digest."""
        for content in image.blobs.values():
            self.push_blob(content)
        answer = self.put_manifest(image.manifest, reference, image.media_type)
        assert answer.status_code == 201, (answer.status_code, answer.text)
        return image.digest

    def get_manifest(self, reference: str) -> requests.Response:
        return self.call("GET", f"manifests/{reference}")

    def get_blob(self, digest: str, **options: Any) -> requests.Response:
        return self.call("GET", f"blobs/{digest}", **options)

    def pull(self, reference: str) -> Image | None:
        """Everything of an image, checked byte by byte; None when there is no such manifest."""
        answer = self.get_manifest(reference)
        if answer.status_code == 404:
            return None
        assert answer.status_code == 200, (answer.status_code, answer.text)
        assert digest_of(answer.content) == answer.headers["Docker-Content-Digest"]
        document = answer.json()
        blobs = {}
        # An index has neither; its parts are pulled one by one.
        for each in [*filter(None, [document.get("config")]), *document.get("layers", [])]:
            blob = self.get_blob(each["digest"])
            assert blob.status_code == 200, (each["digest"], blob.status_code, blob.text[:200])
            assert digest_of(blob.content) == each["digest"]
            blobs[each["digest"]] = blob.content
        return Image(answer.content, blobs, answer.headers["Content-Type"])

    def _absolute(self, location: str) -> str:
        return location if location.startswith("http") else f"{self.client.url}{location}"
