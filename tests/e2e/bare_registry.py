"""A stock registry:2 as people run it without us: no tokens, tags in folders; and fast pushes to it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.e2e.client import ACCEPT, Image, digest_of
from tests.e2e.platform import free_port

CONFIGURATION = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {store}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}", relativeurls: true}}
"""


@dataclass
class BareRegistry:
    """A running one."""

    url: str
    session: requests.Session

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def push(self, name: str, image: Image, *tags: str) -> str:
        """Push an image with these tags, or by its digest alone; its digest."""
        for content in image.blobs.values():
            self.push_blob(name, content)
        return self.push_manifest(name, image.manifest, image.media_type, *tags)

    def push_blob(self, name: str, content: bytes) -> None:
        blob = f"{self.url}/v2/{name}/blobs/"
        if self.session.head(f"{blob}{digest_of(content)}").status_code == 200:
            return
        location = self.session.post(f"{blob}uploads/").headers["Location"]
        finished = self.session.put(f"{self.url}{location}&digest={digest_of(content)}", data=content)
        assert finished.status_code == 201, finished.text

    def push_manifest(self, name: str, content: bytes, media_type: str, *tags: str) -> str:
        for reference in tags or (digest_of(content),):
            answer = self.session.put(
                f"{self.url}/v2/{name}/manifests/{reference}", data=content, headers={"Content-Type": media_type}
            )
            assert answer.status_code == 201, answer.text
        return digest_of(content)

    def repositories(self) -> list[str]:
        answer = self.session.get(f"{self.url}/v2/_catalog", params={"n": 1000})
        names: list[str] = answer.json()["repositories"]
        return names

    def tags(self, name: str) -> dict[str, str]:
        """Every tag with the digest of the bytes that are served for it."""
        listed = self.session.get(f"{self.url}/v2/{name}/tags/list").json().get("tags") or []
        return {tag: digest_of(self.manifest(name, tag)) for tag in listed}

    def manifest(self, name: str, reference: str) -> bytes:
        answer = self.session.get(f"{self.url}/v2/{name}/manifests/{reference}", headers={"Accept": ACCEPT})
        assert answer.status_code == 200, (name, reference, answer.text)
        return answer.content

    def blob(self, name: str, digest: str) -> bytes:
        answer = self.session.get(f"{self.url}/v2/{name}/blobs/{digest}")
        assert answer.status_code == 200, (name, digest, answer.text)
        return answer.content


@contextmanager
def bare_registry(folder: Path, store: Path) -> Iterator[BareRegistry]:
    """A registry on this store, with its configuration and log in the folder."""
    port = free_port()
    configuration, log = folder / "bare.yml", folder / "bare.log"
    configuration.write_text(CONFIGURATION.format(store=store, port=port))
    with log.open("w") as output:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(configuration)],
            env={"PATH": "/usr/bin:/bin"},
            stdout=output,
            stderr=output,
        )
    session = requests.Session()
    session.trust_env = False
    try:
        registry = BareRegistry(f"http://127.0.0.1:{port}", session)
        _wait(registry, log)
        yield registry
    finally:
        session.close()
        process.terminate()
        process.wait(30)


def _wait(registry: BareRegistry, log: Path) -> None:
    for _ in range(600):
        try:
            registry.session.get(f"{registry.url}/v2/", timeout=5)
        except requests.RequestException:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the registry did not start: {log.read_text()[-2000:]}")
