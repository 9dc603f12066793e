"""The tests' registry used as somebody used it who had no Wharf: tags and all."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from core.store import client, signing
from projects.models import Repository
from tests import factories
from tests.e2e.client import OCI_INDEX, OCI_MANIFEST, Image, digest_of

STORE = Path(urlsplit(settings.STORE_URL).path) / "docker" / "registry" / "v2"


def push(name: str, image: Image, *tags: str) -> str:
    """Push an image with these tags, or by its digest alone; its digest."""
    for content in image.blobs.values():
        factories.upload(Repository(name=name), content)
    return push_manifest(name, image.manifest, *tags, media_type=image.media_type)


def push_index(name: str, content: bytes, *tags: str) -> str:
    return push_manifest(name, content, *tags, media_type=OCI_INDEX)


def push_manifest(name: str, content: bytes, *tags: str, media_type: str = OCI_MANIFEST) -> str:
    for reference in tags or (digest_of(content),):
        client.put_manifest(repository=name, digest=reference, content=content, media_type=media_type)
    return digest_of(content)


def tags(name: str) -> dict[str, str]:
    """What the registry itself answers: its tags, with the digests of what it serves for them."""
    session = client._session()
    headers = {"Authorization": f"Bearer {signing.sign_for_store(name, 'pull')}"}
    listed = session.get(client._url(f"/v2/{name}/tags/list"), headers=headers)
    names = (listed.json()["tags"] or []) if listed.status_code == 200 else []
    served = {tag: client.get_manifest(repository=name, digest=tag) for tag in names}
    return {tag: digest_of(content) if content is not None else "" for tag, content in served.items()}


def data(digest: str) -> Path:
    encoded = digest.removeprefix("sha256:")
    return STORE / "blobs" / "sha256" / encoded[:2] / encoded / "data"


def link(name: str, digest: str, folder: str) -> Path:
    """A link's file; `folder` is `_layers` or `_manifests/revisions`."""
    return STORE / "repositories" / name / folder / "sha256" / digest.removeprefix("sha256:") / "link"


def tag_link(name: str, tag: str) -> Path:
    return STORE / "repositories" / name / "_manifests" / "tags" / tag / "current" / "link"
