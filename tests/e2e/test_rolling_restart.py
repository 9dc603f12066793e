"""`make up` of a newer program, or with other settings, under load: replicas restart in turn, and nobody notices."""

from __future__ import annotations

import os
import random
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import requests

from tests.e2e.client import Client, Image, Repository, digest_of, make_image
from tests.e2e.platform import PROJECT, Platform, new_platform, remove

CORES = ("core", "core-2")
STAY = ("postgres", "redis", "registry", "nginx")
PUSHERS, STARTERS, CALLERS = 3, 2, 1
# Everybody shares these, so that the same blobs are announced and mounted all the time.
SHARED = [bytes([number]) * 3000 for number in range(3)]


@dataclass
class Record:
    """What the load did and what it was answered."""

    answers: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    pushed: dict[tuple[str, str], Image] = field(default_factory=dict)
    deleted: set[tuple[str, str]] = field(default_factory=set)
    restarts: list[dict[str, int]] = field(default_factory=list)
    answers_during_restarts: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, answer: requests.Response, *statuses: int) -> requests.Response:
        """Note an answer. The load goes on after a bad one: the test wants to count them all."""
        with self.lock:
            self.answers[f"{answer.request.method} {answer.status_code}"] += 1
            if answer.status_code not in statuses:
                self.problems.append(
                    f"{answer.request.method} {answer.request.path_url} {answer.status_code} {answer.text[:200]}"
                )
        return answer


@pytest.fixture(scope="module")
def replicas() -> Iterator[Platform]:
    running = new_platform(
        WHARF_CORE_REPLICAS="2", WHARF_WORKER_REPLICAS="2", WHARF_BEAT_REPLICAS="2", WHARF_TOKEN_EXPIRATION="30"
    )
    try:
        running.up()
        yield running
    finally:
        remove(running)


@pytest.fixture(scope="module")
def record(replicas: Platform) -> Record:
    """Restart both replicas, once for a newer program and once for a setting, while clients do all they can."""
    replicas.make_project("team", replicas.admin)
    record, stop = Record(), threading.Event()
    load = [
        *(threading.Thread(target=_push_pull_delete, args=(replicas, record, stop, n)) for n in range(PUSHERS)),
        *(threading.Thread(target=_start_and_cancel_uploads, args=(replicas, record, stop)) for _ in range(STARTERS)),
        *(threading.Thread(target=_call_the_api, args=(replicas, record, stop, n)) for n in range(CALLERS)),
    ]
    for thread in load:
        thread.start()
    try:
        for change in (_newer_program, _other_setting):
            _restart_under_load(replicas, record, change)
    finally:
        stop.set()
        for thread in load:
            thread.join(120)
    print(f"\nrolling restart: {record.answers.total()} answers, {sum(record.answers_during_restarts)} of them while "
          f"{len(record.restarts) // 2} times both replicas were restarted; {len(record.pushed)} pushes, "
          f"{len(record.deleted)} deleted; {dict(sorted(record.answers.items()))}")  # fmt: skip
    return record


def test_every_replica_was_restarted_and_the_stores_and_nginx_were_not(record: Record) -> None:
    for before, after in zip(record.restarts[::2], record.restarts[1::2], strict=True):
        assert all(after[name] not in (0, before[name]) for name in CORES)
        assert {name: after[name] for name in STAY} == {name: before[name] for name in STAY}


def test_there_was_load_during_each_restart(record: Record) -> None:
    assert min(record.answers_during_restarts) > 100
    assert {"POST 202", "POST 201", "PUT 201", "DELETE 202", "PATCH 202", "GET 200"} <= set(record.answers)


def test_every_request_was_answered_well(record: Record) -> None:
    assert record.problems == []


def test_what_was_acknowledged_is_there_and_what_was_deleted_is_not(replicas: Platform, record: Record) -> None:
    client = Client(replicas.url, replicas.admin)
    for (name, tag), image in record.pushed.items():
        pulled = client.repository(name).pull(tag)
        if (name, tag) in record.deleted:
            assert pulled is None, f"{name}:{tag} is back"
        else:
            assert pulled is not None, f"{name}:{tag} is lost"
            assert (pulled.manifest, pulled.blobs) == (image.manifest, image.blobs)
    assert replicas.manage("verify", "--deep").stdout.strip() == "0 disagreements, 0 repaired, 0 left"


# --- what is changed -----------------------------------------------------------------------------------------
def _newer_program(platform: Platform) -> None:
    """A checkout beside this one whose program says another version, as after `git pull`."""
    version = f"0.1.{time.time_ns()}"
    platform.checkout = platform.var.parent / version
    shutil.copytree(PROJECT, platform.checkout, ignore=shutil.ignore_patterns(".git", ".venv", "var", ".*_cache"))
    settings = platform.checkout / "core" / "settings.py"
    settings.write_text(re.sub(r'VERSION = ".*"', f'VERSION = "{version}"', settings.read_text()))


def _other_setting(platform: Platform) -> None:
    platform.extra["WHARF_TOKEN_EXPIRATION"] = "29"


def _restart_under_load(platform: Platform, record: Record, change: Callable[[Platform], None]) -> None:
    change(platform)
    _wait_for_load(record)
    before = record.answers.total()
    record.restarts.append(_pids(platform))
    platform.up()
    record.restarts.append(_pids(platform))
    record.answers_during_restarts.append(record.answers.total() - before)


def _wait_for_load(record: Record) -> None:
    goal, deadline = record.answers.total() + 100, time.monotonic() + 60
    while record.answers.total() < goal and time.monotonic() < deadline:
        time.sleep(0.05)


def _pids(platform: Platform) -> dict[str, int]:
    return {name: platform.pid(name) for name in (*CORES, *STAY)}


# --- the load ------------------------------------------------------------------------------------------------
def _push_pull_delete(platform: Platform, record: Record, stop: threading.Event, number: int) -> None:
    chance = random.Random(number)
    client = Client(platform.url, platform.admin)
    for count in _until(stop):
        repository = client.repository(f"team/app{chance.randrange(3)}")
        image, tag = make_image(chance.choice(SHARED), os.urandom(2000)), f"t{number}-{count}"
        for content in image.blobs.values():
            _push_blob(repository, record, content)
        if record.expect(repository.put_manifest(image.manifest, tag), 201).status_code == 201:
            record.pushed[repository.name, tag] = image
        got = record.expect(repository.get_manifest(tag), 200)
        if got.content != image.manifest:
            record.problems.append(f"{repository.name}:{tag} was pulled as something else")
        for digest in image.blobs:
            record.expect(repository.get_blob(digest), 200)
        if chance.random() < 0.3:
            record.expect(repository.call("DELETE", f"manifests/{tag}"), 202)
            record.deleted.add((repository.name, tag))
            record.expect(repository.get_manifest(tag), 404)


def _push_blob(repository: Repository, record: Record, content: bytes) -> None:
    digest = digest_of(content)
    if record.expect(repository.call("HEAD", f"blobs/{digest}"), 200, 404).status_code == 200:
        return
    started = record.expect(repository.call("POST", "blobs/uploads/"), 202)
    patched = record.expect(repository.patch(repository._absolute(started.headers["Location"]), content), 202)
    record.expect(repository.finish_upload(repository._absolute(patched.headers["Location"]), digest), 201)


def _start_and_cancel_uploads(platform: Platform, record: Record, stop: threading.Event) -> None:
    """Many POSTs, which nginx may not send a second time."""
    repository = Client(platform.url, platform.admin).repository("team/started")
    for _ in _until(stop):
        started = record.expect(repository.call("POST", "blobs/uploads/"), 202)
        if started.status_code == 202:
            location = repository._absolute(started.headers["Location"])
            record.expect(repository.client.call("DELETE", location, scopes=repository.scopes), 204)


def _call_the_api(platform: Platform, record: Record, stop: threading.Event, number: int) -> None:
    """Projects made and deleted, tokens asked for, a page read; in one session that lives on."""
    for count in _until(stop):
        name = f"p{number}-{count}"
        body = {"project_name": name}
        record.expect(platform.api("POST", "/projects", platform.admin, json=body), 201)
        record.expect(platform.api("GET", f"/projects/{name}", platform.admin), 200)
        record.expect(platform.api("DELETE", f"/projects/{name}", platform.admin), 200)
        token = {"service": "harbor-registry", "scope": "repository:team/app0:pull"}
        record.expect(requests.get(f"{platform.url}/service/token", params=token, auth=platform.admin, timeout=60), 200)
        record.expect(requests.get(f"{platform.url}/sign-in", timeout=60), 200)


def _until(stop: threading.Event) -> Iterator[int]:
    count = 0
    while not stop.is_set():
        count += 1
        yield count
