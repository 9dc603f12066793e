"""The store is a bucket: what `make up` says about a wrong one, where its key is not, and what happens in trouble.

The stories of pushing and pulling run on both stores (conftest.py).
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import bucket
from tests.bucket import S3
from tests.e2e.client import Client, Repository, make_image
from tests.e2e.platform import PROGRAMS, Platform, new_platform, remove
from tests.e2e.test_faults import assert_unavailable
from tests.e2e.test_kill import GRACE_SECONDS, push_and_kill, repository_for_one_image

KILLS = 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    running = bucket.start(tmp_path_factory.mktemp("s3"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def own(server: S3) -> Iterator[Platform]:
    """A platform of this module's own, whose bucket may be left in ruins."""
    running = new_platform(
        None,
        **server.settings(),
        WHARF_LOGIN_FAILURES_PER_MINUTE="1000",
        GC_TIME_WINDOW_HOURS=str(GRACE_SECONDS / 3600),
    )
    try:
        running.up()
        running.make_project("team", running.admin)
        yield running
    finally:
        remove(running)


@pytest.fixture
def app(own: Platform, request: pytest.FixtureRequest) -> Repository:
    return Client(own.url, own.admin).repository(f"team/{request.node.name.replace('_', '-')[:60].strip('-')}")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"WHARF_STORE": "s3:/blobs"}, "WHARF_STORE is 's3:/blobs'; it must look like s3://bucket"),
        ({"WHARF_STORE": "s3://blobs", "WHARF_STORE_ENDPOINT": "minio:9000"}, "WHARF_STORE_ENDPOINT is 'minio:9000'"),
        ({"WHARF_STORE": "s3://blobs"}, "WHARF_STORE_CREDENTIALS is ''; it must be the absolute path of a file"),
        ({"WHARF_STORE": "s3://blobs", "WHARF_STORE_CREDENTIALS": "/nowhere/at/all"}, "which cannot be read"),
        ({"WHARF_STORE_REGION": "eu-central-1"}, "WHARF_STORE_REGION is set, but WHARF_STORE names no bucket"),
    ],
)
def test_a_wrong_setting_is_said_before_anything_is_changed(settings: dict[str, str], words: str) -> None:
    platform = new_platform(None, **settings)
    refused = platform.command("up")
    assert refused.returncode != 0
    assert words in refused.stderr
    assert not platform.var.exists()
    shutil.rmtree(platform.var.parent)


def test_a_key_that_everybody_may_read_or_that_is_none_is_refused(server: S3) -> None:
    platform = new_platform(None, **server.settings())
    key = Path(platform.extra["WHARF_STORE_CREDENTIALS"])
    key.chmod(0o644)
    assert f"chmod 600 {key}" in platform.command("up").stderr
    key.chmod(0o600)
    key.write_text("aws_secret_access_key = VerySecret\n")
    refused = platform.command("up").stderr
    assert "it must have a section [default]" in refused
    assert "VerySecret" not in refused
    shutil.rmtree(platform.var.parent)


def test_a_bucket_that_cannot_be_used_leaves_the_platform_as_it_was(own: Platform, server: S3) -> None:
    """Wrong key, missing bucket, nobody there: one sentence each, and what ran goes on."""
    before = {name: own.pid(name) for name in PROGRAMS}
    right = dict(own.extra)
    for wrong, words in (
        ({"WHARF_STORE_CREDENTIALS": str(server.credentials(secret="wrong"))}, "does not fit its aws_access_key_id"),
        ({"WHARF_STORE_CREDENTIALS": str(server.credentials(key="AKIAX"))}, "does not know the aws_access_key_id"),
        ({"WHARF_STORE": "s3://no-such-bucket"}, "has no such bucket as that of s3://no-such-bucket"),
        ({"WHARF_STORE_ENDPOINT": "http://127.0.0.1:1"}, "http://127.0.0.1:1 does not answer"),
    ):
        own.extra.update(wrong)
        refused = own.command("up")
        own.extra.clear()
        own.extra.update(right)
        assert refused.returncode != 0
        assert words in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    assert {name: own.pid(name) for name in PROGRAMS} == before
    own.up()
    assert {name: own.pid(name) for name in PROGRAMS} == before


def test_the_key_is_in_no_command_environment_or_open_file(own: Platform, server: S3) -> None:
    secrets = (server.secret.encode(), server.key.encode())
    for name in PROGRAMS:
        for kind in ("cmdline", "environ"):
            with open(f"/proc/{own.pid(name)}/{kind}", "rb") as public:
                text = public.read()
            assert not any(secret in text for secret in secrets), (name, kind)
    key = own.var / "etc" / "store-credentials"
    assert server.secret in key.read_text()
    assert stat.S_IMODE(key.stat().st_mode) == 0o640
    elsewhere = subprocess.run(
        ["grep", "-rlF", server.secret, str(own.var), "--exclude-dir=app", "--exclude-dir=venv"],
        capture_output=True,
        text=True,
    )
    assert elsewhere.stdout.split() == [str(key)]
    tried = subprocess.run(["runuser", "-u", "nobody", "--", "cat", str(key)], capture_output=True, text=True)
    assert "Permission denied" in tried.stderr


def test_blobs_go_to_the_bucket_and_nowhere_else(own: Platform, app: Repository, server: S3) -> None:
    image = make_image(os.urandom(11_000_000))
    app.push(image, "v1")
    assert app.pull("v1") is not None
    root = f"{bucket.PREFIX}/docker/registry/v2"
    for digest in (image.digest, *image.blobs):
        encoded = digest.removeprefix("sha256:")
        assert f"{root}/blobs/sha256/{encoded[:2]}/{encoded}/data" in server.listing()
    assert not [key for key in server.listing() if "/_manifests/tags/" in key]
    assert list((own.var / "registry").iterdir()) == []


def test_verify_finds_and_mends_damage_in_a_bucket(own: Platform, app: Repository, server: S3) -> None:
    image, lost = make_image(), make_image()
    app.push(image, "v1")
    app.push(lost, "v2")
    assert own.manage("verify", "--deep").stdout.strip() == "0 disagreements, 0 repaired, 0 left"
    root = f"{bucket.PREFIX}/docker/registry/v2"
    layer = next(iter(image.blobs)).removeprefix("sha256:")
    link = f"{root}/repositories/{app.name}/_layers/sha256/{layer}/link"
    encoded = image.digest.removeprefix("sha256:")
    server.put(f"{root}/blobs/sha256/{encoded[:2]}/{encoded}/data", b"cut")
    server.delete(link)
    repaired = own.manage("verify", "--repair")
    assert f"repaired: manifest-damaged: {image.digest}" in repaired.stdout
    assert f"repaired: link-missing: {app.name}@sha256:{layer}" in repaired.stdout
    assert repaired.stdout.strip().endswith("2 disagreements, 2 repaired, 0 left")
    assert app.pull("v1") is not None
    gone = next(iter(lost.blobs)).removeprefix("sha256:")
    content = lost.blobs[f"sha256:{gone}"]
    server.delete(f"{root}/blobs/sha256/{gone[:2]}/{gone}/data")
    found = own.manage("verify")
    assert found.returncode == 1
    assert f"found: blob-missing: sha256:{gone} (needed by {app.name})" in found.stdout
    assert app.get_blob(f"sha256:{gone}").status_code == 404
    server.put(f"{root}/blobs/sha256/{gone[:2]}/{gone}/data", content)
    assert own.manage("verify", "--deep").returncode == 0


def test_a_damaged_manifest_is_mended_by_the_next_push(own: Platform, app: Repository, server: S3) -> None:
    """When an earlier attempt at it is not known to have ended, the bytes are read back."""
    image = make_image()
    app.push(image, "v1")
    encoded = image.digest.removeprefix("sha256:")
    data = f"{bucket.PREFIX}/docker/registry/v2/blobs/sha256/{encoded[:2]}/{encoded}/data"
    server.put(data, b"cut")
    attempt = f"""
import uuid
from django.utils import timezone
from projects.models import Reference, Repository
Reference.objects.create(
    repository=Repository.objects.get(name="{app.name}"), kind="self", digest="{image.digest}", size=1, media_type="x",
    attempt=uuid.uuid4(), expires=timezone.now(),
)"""
    assert own.manage("shell", "-c", attempt).returncode == 0
    assert app.put_manifest(image.manifest, "v2").status_code == 201
    assert server.get(data) == image.manifest
    assert app.pull("v2") is not None


def test_an_empty_blob_is_refused_with_a_reason(app: Repository) -> None:
    """Registry 2.8 cannot end an upload without bytes in a bucket; trying again would not help."""
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    refused = app.finish_upload(app.start_upload(), empty)
    assert refused.status_code == 400
    assert "empty" in refused.json()["errors"][0]["message"]


def test_a_store_of_another_platform_or_without_our_data_is_not_taken(own: Platform, server: S3) -> None:
    stranger = new_platform(None, **server.settings())
    refused = stranger.command("up")
    assert refused.returncode != 0
    assert "belongs to another Wharf" in refused.stderr
    remove(stranger)
    right = own.extra["WHARF_STORE"]
    own.extra["WHARF_STORE"] = f"s3://{bucket.NAME}/an/empty/prefix"
    refused = own.command("up")
    own.extra["WHARF_STORE"] = right
    assert refused.returncode != 0
    assert "copy everything of the old one there first" in refused.stderr
    own.up()


def test_the_data_move_to_a_folder_and_back(own: Platform, app: Repository, server: S3) -> None:
    """As docs/operating.md tells it."""
    image, later = make_image(), make_image()
    app.push(image, "v1")
    own.down()
    folder = own.var / "registry"
    server.download(folder)
    subprocess.run(["chown", "-R", "wharf:", str(folder)], check=True)
    bucket_settings = {name: own.extra[name] for name in server.settings()}
    own.extra.update(dict.fromkeys(bucket_settings, ""))
    own.up()
    assert not (own.var / "etc" / "store-credentials").exists()
    assert app.pull("v1") is not None
    app.push(later, "v2")
    assert own.manage("verify", "--deep").stdout.strip() == "0 disagreements, 0 repaired, 0 left"
    own.down()
    server.upload(folder)
    shutil.rmtree(folder / "docker")
    own.extra.update(bucket_settings)
    own.up()
    assert app.pull("v2") is not None
    assert own.manage("verify", "--deep").stdout.strip() == "0 disagreements, 0 repaired, 0 left"


def test_what_was_acknowledged_survives_kills(own: Platform) -> None:
    record = push_and_kill(own, KILLS, ("registry", "core", "core-worker", "bulk-worker"))
    assert record.problems == []
    assert record.kills.in_collection.total() > 0
    assert record.collections["Success"] > 0
    repaired = own.manage("verify", "--repair")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert own.manage("verify", "--deep").stdout.strip() == "0 disagreements, 0 repaired, 0 left"
    assert len(record.acknowledged) > KILLS
    for tag, (name, image) in record.acknowledged.items():
        pulled = repository_for_one_image(own, name).pull(tag.removeprefix("copies/"))
        assert pulled is not None, f"{name}:{tag} is lost"
        assert (pulled.manifest, pulled.blobs) == (image.manifest, image.blobs)


def test_with_a_dead_bucket_manifests_are_pulled_and_all_else_waits(
    own: Platform, app: Repository, server: S3, tmp_path: Path
) -> None:
    image, waiting = make_image(), make_image()
    app.push(image, "v1")
    for content in waiting.blobs.values():
        app.push_blob(content)
    blob = next(iter(image.blobs))

    def everything_waits() -> None:
        assert app.get_manifest("v1").content == image.manifest
        assert_unavailable(app.get_blob(blob))
        assert_unavailable(app.call("POST", "blobs/uploads/"))
        assert_unavailable(app.put_manifest(waiting.manifest, "v2"))
        assert app.get_manifest("v2").status_code == 404
        health = own.api("GET", "/health").json()
        assert {part["name"]: part["status"] for part in health["components"]}["registry"] == "unhealthy"
        verified = own.manage("verify", "--repair")
        assert verified.returncode == 1
        assert "missing" not in verified.stdout

    server.stop()
    everything_waits()
    assert own.command("status").returncode != 0
    # A server without the bucket knows nothing of our blobs; that is no proof that they are gone.
    empty = bucket.start(tmp_path, server.port, with_bucket=False)
    everything_waits()
    empty.stop()
