"""Garbage collection as an operator meets it: over the API, with its log, while people push."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import bucket
from tests.e2e.client import Client, Image, digest_of, make_image
from tests.e2e.platform import Platform, new_platform, remove
from tests.e2e.test_skopeo import make_real_image, skopeo, write_layout

GRACE_SECONDS = 4


@pytest.fixture(scope="module")
def own() -> Iterator[Platform]:
    running = new_platform(GC_TIME_WINDOW_HOURS=str(GRACE_SECONDS / 3600))
    try:
        running.up()
        running.make_project("team", running.admin)
        yield running
    finally:
        remove(running)


def collect(platform: Platform, **parameters: Any) -> str:
    """Start a collection; its path."""
    body = {"schedule": {"type": "Manual"}, "parameters": parameters}
    answer = platform.api("POST", "/system/gc/schedule", platform.admin, json=body)
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"].removeprefix("/api/v2.0")


def finished(platform: Platform, path: str) -> dict[str, Any]:
    """What the run told when it had ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        run = platform.api("GET", path, platform.admin).json()
        if run["job_status"] not in ("Running", "Pending"):
            assert run["job_status"] == "Success", platform.api("GET", f"{path}/log", platform.admin).text
            told: dict[str, Any] = json.loads(run["job_parameters"])
            return told
        time.sleep(0.2)
    raise AssertionError(f"{path} does not end: {platform.log('bulk')}")


@dataclass
class Place:
    """A platform, and what an operator sees of its store."""

    platform: Platform
    files: Callable[[], dict[str, int]]
    """Path → bytes of all that lies there."""

    def data_bytes(self) -> int:
        """What lies in the store, as `du` counts it."""
        return sum(size for path, size in self.files().items() if path.endswith("/data") and "/blobs/" in path)


@pytest.fixture(scope="module", params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if request.param == "folder":
        platform = request.getfixturevalue("own")
        yield Place(platform, lambda: _files_of(platform.var / "registry"))
        return
    server = bucket.start(tmp_path_factory.mktemp("s3"))
    platform = new_platform(None, **server.settings(), GC_TIME_WINDOW_HOURS=str(GRACE_SECONDS / 3600))
    try:
        platform.up()
        platform.make_project("team", platform.admin)
        yield Place(platform, server.sizes)
    finally:
        remove(platform)
        server.stop()


def _files_of(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def test_what_was_deleted_leaves_the_store_while_somebody_pushes(place: Place, tmp_path: Path) -> None:
    platform, creds = place.platform, ":".join(place.platform.admin)
    app = Client(platform.url, platform.admin).repository("team/app")
    kept = make_image(os.urandom(300_000))
    app.push(kept, "kept")
    for number in range(5):
        app.push(make_image(os.urandom(300_000)), f"old{number}")
        path = f"/projects/team/repositories/app/artifacts/old{number}"
        assert platform.api("DELETE", path, platform.admin).status_code == 200
    target = f"docker://{platform.host}/team/app:skopeo"
    layout = write_layout(tmp_path / "in", [make_real_image()])
    skopeo("copy", "--dest-tls-verify=false", "--dest-creds", creds, layout, target)
    skopeo("delete", "--tls-verify=false", "--creds", creds, target)
    time.sleep(GRACE_SECONDS + 1)
    before = place.data_bytes()

    dry = finished(platform, collect(platform, dry_run=True))
    assert (dry["purged_manifests"], place.data_bytes()) == (6, before)

    stop, pushed = threading.Event(), list[Image]()
    other = Client(platform.url, platform.admin).repository("team/busy")

    def push() -> None:
        while not stop.is_set():
            image = make_image(os.urandom(50_000))
            other.push(image, f"v{len(pushed)}")
            pushed.append(image)

    pusher = threading.Thread(target=push)
    pusher.start()
    run = collect(platform, workers=3)
    told = finished(platform, run)
    stop.set()
    pusher.join(60)

    new = sum(len(content) for image in pushed for content in image.blobs.values())
    new += sum(len(image.manifest) for image in pushed)
    assert told["freed_space"] == dry["freed_space"] == before + new - place.data_bytes()
    assert (told["purged_manifests"], told["purged_blobs"]) == (6, 12)
    assert told["projects"]["team"]["links"] == 18
    log = platform.api("GET", f"{run}/log", platform.admin).text
    for line in ("workers: 3", "12 blobs and 6 manifests are actually deleted", "delete blob from storage: sha256:"):
        assert line in log
    assert pushed
    for number, image in enumerate(pushed):
        pulled = other.pull(f"v{number}")
        assert pulled is not None
        assert pulled.blobs == image.blobs
    pulled = app.pull("kept")
    assert pulled is not None
    assert pulled.blobs == kept.blobs
    assert platform.manage("verify", "--deep").stdout.strip() == "0 disagreements, 0 repaired, 0 left"


def test_an_upload_that_nobody_goes_on_with_leaves_the_store(place: Place) -> None:
    """In a bucket most of it is parts, which no listing shows."""
    app = Client(place.platform.url, place.platform.admin).repository("team/given-up")
    half = app.start_upload()
    assert app.patch(half, os.urandom(7_000_000)).status_code == 202
    time.sleep(GRACE_SECONDS + 1)
    alive = app.patch(app.start_upload(), b"half of a layer, ")
    before = {path for path in place.files() if "/team/given-up/_uploads/" in path}
    assert before
    told = finished(place.platform, collect(place.platform))
    assert told["uploads"] == 1
    assert told["freed_space"] >= 5_000_000
    location = app._absolute(alive.headers["Location"])
    content = b"half of a layer, and the other"
    assert app.finish_upload(location, digest_of(content), content[17:]).status_code == 201
    assert app.get_blob(digest_of(content)).content == content
    assert app.patch(half, b"more").status_code == 404


def test_a_schedule_is_kept_and_replaced_and_removed(own: Platform) -> None:
    def put(**schedule: str) -> int:
        body = {"schedule": schedule, "parameters": {"delete_untagged": True}}
        return own.api("PUT", "/system/gc/schedule", own.admin, json=body).status_code

    assert put(type="Daily") == 200
    assert put(type="Custom", cron="0 30 2 * * 6") == 200
    found = own.api("GET", "/system/gc/schedule", own.admin).json()
    assert (found["schedule"]["type"], found["schedule"]["cron"]) == ("Custom", "0 30 2 * * 6")
    assert found["schedule"]["next_scheduled_time"].endswith("T02:30:00.000Z")
    refused = own.api(
        "PUT", "/system/gc/schedule", own.admin, json={"schedule": {"type": "Custom", "cron": "30 2 * * 6"}}
    )
    assert (refused.status_code, "needs 6" in refused.text) == (400, True)
    assert put(type="None") == 200
    assert own.api("GET", "/system/gc/schedule", own.admin).json() == {}


def test_what_is_scheduled_runs_by_the_clock(own: Platform) -> None:
    body = {"schedule": {"type": "Custom", "cron": "0 * * * * *"}, "parameters": {"dry_run": True}}
    assert own.api("POST", "/system/gc/schedule", own.admin, json=body).status_code == 201
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        rows = own.api("GET", "/system/gc?q=job_kind=SCHEDULE", own.admin).json()
        if rows and rows[0]["job_status"] == "Success":
            break
        time.sleep(1)
    assert [json.loads(row["job_parameters"])["dry_run"] for row in rows] == [True] * len(rows)
    assert rows
    own.api("PUT", "/system/gc/schedule", own.admin, json={"schedule": {"type": "None"}})


def test_the_workers_are_there(own: Platform) -> None:
    pools = own.api("GET", "/jobservice/pools", own.admin).json()
    assert sorted(pool["worker_pool_id"].partition("@")[0] for pool in pools) == ["bulk", "event", "worker"]
    assert sorted(pool["concurrency"] for pool in pools) == [2, 2, 3]
