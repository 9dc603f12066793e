"""A thousand images of a bare registry:2 come into Wharf without a push, and a bare registry serves them again."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.bare_registry import BareRegistry, bare_registry
from tests.e2e.client import OCI_INDEX, OCI_MANIFEST, Client, Image, descriptor, digest_of, make_image, make_index
from tests.e2e.platform import Platform, new_platform, remove
from tests.e2e.test_skopeo import make_real_image, skopeo, write_layout

REPOSITORIES = [f"{project}/{name}" for project in ("shop", "bank") for name in ("web", "api", "jobs/nightly", "db")]
IMAGES_EACH = 130


@dataclass
class Old:
    """What the bare registry had, as it told itself before Wharf came."""

    tags: dict[str, dict[str, str]]
    untagged: dict[str, list[str]] = field(default_factory=dict)
    images: int = 0


@pytest.fixture(scope="module")
def moved() -> Iterator[tuple[Platform, Old, str]]:
    """A platform to which the store of a bare registry was moved, what that had, and what adopt said."""
    platform = new_platform()
    folder = platform.var.parent
    try:
        with bare_registry(folder, folder / "old") as registry:
            old = fill(registry, folder)
        platform.up()
        place = platform.var / "registry/docker/registry/v2"
        place.mkdir(parents=True, exist_ok=True)
        for part in ("blobs", "repositories"):
            (folder / "old/docker/registry/v2" / part).rename(place / part)
        hand_over(platform.var / "registry")
        yield platform, old, adopt(platform)
    finally:
        remove(platform)


def fill(registry: BareRegistry, folder: Path) -> Old:
    """Images, multi-arch images, referrers, manifests without a tag, a chart; one of them by skopeo."""
    old = Old({})
    base = os.urandom(2000)
    for name in REPOSITORIES:
        untagged = []
        for number in range(IMAGES_EACH):
            registry.push(name, make_image(base), f"v{number}")
        parts = [make_image(base), make_image(base)]
        untagged += [registry.push(name, part) for part in parts]
        index = make_index(*parts)
        registry.push_manifest(name, index, OCI_INDEX, "multi", "latest")
        subject = descriptor(index, OCI_INDEX)
        sbom = make_image(b"{}", artifactType="application/spdx+json", subject=subject)
        untagged.append(registry.push(name, sbom))
        signature = make_image(b"signed", layer_type="application/vnd.dev.cosign.simplesigning.v1+json")
        registry.push(name, signature, f"{digest_of(index).replace(':', '-')}.sig")
        old.untagged[name] = untagged
        old.images += IMAGES_EACH + len(parts) + 3
    registry.push("shop/chart", make_chart(), "1.0.0")
    source = write_layout(folder / "layout", [make_real_image()])
    skopeo("copy", "--dest-tls-verify=false", source, f"docker://{registry.host}/shop/skopeo:1")
    shutil.rmtree(folder / "layout")
    old.images += 2
    old.tags = {name: registry.tags(name) for name in registry.repositories()}
    return old


def make_chart() -> Image:
    chart = make_image(b"a chart", layer_type="application/vnd.cncf.helm.chart.content.v1.tar+gzip")
    document = json.loads(chart.manifest)
    document["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    return Image(json.dumps(document).encode(), chart.blobs)


def hand_over(store: Path) -> None:
    """chown -R, as the documentation says."""
    shutil.chown(store, "wharf", "wharf")
    for folder, folders, names in os.walk(store):
        for name in (*folders, *names):
            shutil.chown(Path(folder) / name, "wharf", "wharf")


def adopt(platform: Platform, *options: str) -> str:
    result = platform.manage("adopt", *options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def tag_folders(platform: Platform) -> list[Path]:
    return list((platform.var / "registry").glob("**/_manifests/tags/*"))


def test_everything_comes_in_and_goes_back(moved: tuple[Platform, Old, str]) -> None:
    platform, old, said = moved
    print(said.splitlines()[-1])
    number_of_tags = sum(len(tags) for tags in old.tags.values())
    assert old.images >= 1000
    assert f"took over {old.images} manifests and {number_of_tags} tags in {len(old.tags)} repositories" in said
    assert "0 things are left" in said
    assert tag_folders(platform) == []

    # Through the door: every tag, and every manifest by its digest.
    client = Client(platform.url, platform.admin)
    for name, tags in old.tags.items():
        repository = client.repository(name)
        listed = repository.call("GET", "tags/list").json()["tags"]
        assert sorted(listed) == sorted(tags)
        for tag, digest in tags.items():
            assert digest_of(repository.get_manifest(tag).content) == digest
        for digest in old.untagged.get(name, []):
            assert digest_of(repository.get_manifest(digest).content) == digest
        for tag in [tag for tag in tags if tag in ("v0", "v1", "1.0.0", "1")]:
            assert repository.pull(tag) is not None
    verified = platform.manage("verify", "--deep")
    assert verified.returncode == 0, verified.stdout + verified.stderr

    # And back.
    exported = platform.manage("export-tags")
    print(exported.stdout.splitlines()[-1])
    assert exported.returncode == 0, exported.stdout + exported.stderr
    with bare_registry(platform.var.parent, platform.var / "registry") as registry:
        assert {name: registry.tags(name) for name in registry.repositories()} == old.tags
        for name, digests in old.untagged.items():
            for digest in digests:
                assert digest_of(registry.manifest(name, digest)) == digest
        document = json.loads(registry.manifest("shop/web", "v0"))
        for each in (document["config"], *document["layers"]):
            assert digest_of(registry.blob("shop/web", each["digest"])) == each["digest"]


def test_accessories_and_artifacts_are_known_to_the_api(moved: tuple[Platform, Old, str]) -> None:
    platform, old, _ = moved
    answer = platform.api("GET", "/projects/shop/repositories/web/artifacts/multi", platform.admin)
    assert answer.status_code == 200, answer.text
    artifact = answer.json()
    assert artifact["digest"] == old.tags["shop/web"]["multi"]
    assert {tag["name"] for tag in artifact["tags"]} == {"multi", "latest"}
    referrers = (
        Client(platform.url, platform.admin).repository("shop/web").call("GET", f"referrers/{artifact['digest']}")
    )
    assert [each["artifactType"] for each in referrers.json()["manifests"]] == ["application/spdx+json"]
    chart = platform.api("GET", "/projects/shop/repositories/chart/artifacts/1.0.0", platform.admin).json()
    assert chart["type"] == "CHART"
    project = platform.api("GET", "/projects/shop", platform.admin).json()
    assert project["metadata"]["public"] == "false"


def test_what_is_pushed_afterwards_and_then_exported_is_served_bare(moved: tuple[Platform, Old, str]) -> None:
    platform, old, _ = moved
    repository = Client(platform.url, platform.admin).repository("bank/api")
    image = make_image()
    repository.push(image, "new")
    assert repository.put_manifest(image.manifest, "v0").status_code == 201
    assert repository.call("DELETE", "manifests/v1").status_code == 202
    exported = platform.manage("export-tags")
    assert exported.returncode == 0, exported.stdout + exported.stderr
    wanted = {**old.tags["bank/api"], "new": image.digest, "v0": image.digest}
    del wanted["v1"]
    with bare_registry(platform.var.parent, platform.var / "registry") as registry:
        assert registry.tags("bank/api") == wanted
        swapped = make_image()
        registry.push("bank/api", swapped, "v2", "bare")
    # The bare registry wrote as another user.
    hand_over(platform.var / "registry")
    refused = platform.manage("adopt")
    assert refused.returncode != 0
    assert "tag-differs: bank/api:v2" in refused.stdout
    adopt(platform, "--store-wins")
    assert tag_folders(platform) == []
    for tag in ("v2", "bare"):
        assert repository.get_manifest(tag).headers["Docker-Content-Digest"] == swapped.digest
    assert platform.manage("verify").returncode == 0


def test_killed_at_any_moment_it_goes_on(moved: tuple[Platform, Old, str]) -> None:
    platform, _, _ = moved
    with tempfile.TemporaryDirectory() as folder, bare_registry(Path(folder), platform.var / "registry") as registry:
        layer = os.urandom(500)
        wanted = {f"v{number}": registry.push("killed/app", make_image(layer), f"v{number}") for number in range(300)}
    hand_over(platform.var / "registry")
    for _ in range(5):
        running = platform.start_manage("adopt")
        # From before its first statement to after its last.
        time.sleep(random.uniform(0.3, 3))
        running.kill()
        running.wait()
    adopt(platform)
    repository = Client(platform.url, platform.admin).repository("killed/app")
    assert sorted(repository.call("GET", "tags/list").json()["tags"]) == sorted(wanted)
    for tag, digest in wanted.items():
        assert repository.get_manifest(tag).headers["Docker-Content-Digest"] == digest
    assert tag_folders(platform) == []
    verified = platform.manage("verify")
    assert verified.returncode == 0, verified.stdout


def test_files_of_another_user_are_named_with_what_to_do(moved: tuple[Platform, Old, str]) -> None:
    platform, _, _ = moved
    with tempfile.TemporaryDirectory() as folder, bare_registry(Path(folder), platform.var / "registry") as registry:
        registry.push("shop/late", make_image(), "v1")
    late = platform.var / "registry/docker/registry/v2/repositories/shop/late"
    (late / "_manifests").chmod(0o700)
    shutil.chown(late / "_manifests", "root")
    result = platform.manage("adopt")
    assert result.returncode != 0
    assert "chown -R wharf: VAR/registry" in result.stderr
    hand_over(platform.var / "registry")
    adopt(platform)
    repository = Client(platform.url, platform.admin).repository("shop/late")
    assert repository.call("GET", "tags/list").json()["tags"] == ["v1"]
    assert repository.get_manifest("v1").headers["Content-Type"] == OCI_MANIFEST
