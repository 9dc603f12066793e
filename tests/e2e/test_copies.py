"""Copies through the API, pulled by a real client; and copying while programs are killed -9."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from tests.e2e.client import Client, Image, make_image, make_index
from tests.e2e.platform import Platform, new_platform, remove
from tests.e2e.test_skopeo import make_real_image, skopeo, write_layout

People = dict[str, tuple[str, str]]
KILLS = 12
COPIERS = 3


def copy(platform: Platform, who: tuple[str, str], source: str, target: str) -> requests.Response:
    """`source` is project/repository:tag, `target` project/repository."""
    project, _, rest = target.partition("/")
    path = f"/projects/{project}/repositories/{rest.replace('/', '%252F')}/artifacts"
    return platform.api("POST", path, who, params={"from": source})


def test_a_copy_is_pulled_by_skopeo_when_its_source_and_the_sources_project_are_gone(
    platform: Platform, people: People, tmp_path: Path
) -> None:
    alice, credentials = people["alice"], ":".join(people["alice"])
    number = os.urandom(4).hex()
    origin, goal = (platform.make_project(f"{word}-{number}", alice) for word in ("origin", "goal"))
    images = [make_real_image(), make_real_image()]
    index = make_index(*images)
    layout = write_layout(tmp_path / "in", images, index)
    pushed = f"docker://{platform.host}/{origin}/app:v1"
    skopeo("copy", "--all", "--dest-tls-verify=false", "--dest-creds", credentials, layout, pushed)
    answer = copy(platform, alice, f"{origin}/app:v1", f"{goal}/deep/app")
    assert (answer.status_code, answer.text) == (201, "")
    seen = platform.api("GET", answer.headers["Location"].removeprefix("/api/v2.0"), alice)
    assert seen.json()["digest"] == Image(index, {}).digest
    # With the project its links go out of the registry.
    assert platform.api("DELETE", f"/projects/{origin}/repositories/app", alice).status_code == 200
    assert platform.api("DELETE", f"/projects/{origin}", alice).status_code == 200
    copied = f"docker://{platform.host}/{goal}/deep/app:v1"
    back = f"oci:{tmp_path / 'out'}:it"
    skopeo("copy", "--all", "--src-tls-verify=false", "--src-creds", credentials, copied, back)
    for image in images:
        for digest, content in {image.digest: image.manifest, **image.blobs}.items():
            assert (tmp_path / "out" / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes() == content
    mallory = ":".join(people["mallory"])
    assert skopeo("inspect", "--tls-verify=false", "--creds", mallory, copied, check=False).returncode != 0


def test_a_registry_that_is_down_is_said_and_shows_nothing(platform: Platform, people: People) -> None:
    alice = people["alice"]
    number = os.urandom(4).hex()
    name, image = f"team/origin-{number}", make_image()
    Client(platform.url, alice).repository(name).push(image, "v1")
    platform.stop("registry")
    try:
        answer = copy(platform, alice, f"{name}:v1", f"team/goal-{number}")
    finally:
        platform.start("registry")
        platform.wait_healthy()
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "UNAVAILABLE")
    assert "does not answer" in answer.json()["errors"][0]["message"]
    goal = Client(platform.url, alice).repository(f"team/goal-{number}")
    assert goal.pull("v1") is None
    assert copy(platform, alice, f"{name}:v1", goal.name).status_code == 201
    assert goal.pull("v1") == image


# --- killed in the middle ---------------------------------------------------------------------------------------
@dataclass
class Record:
    """What the copiers did, seen from outside: the target's tag → how it was answered (None: not at all)."""

    answers: dict[str, int | None] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    under_way: set[int] = field(default_factory=set)
    refused: int = 0
    hits: int = 0
    """Kills while a copy was under way."""


@pytest.fixture(scope="module")
def victim() -> Iterator[Platform]:
    """A platform of its own, which may be left in ruins."""
    running = new_platform(WHARF_LOGIN_FAILURES_PER_MINUTE="1000")
    try:
        running.up()
        yield running
    finally:
        remove(running)


def test_what_is_killed_in_the_middle_of_a_copy_is_wholly_there_or_not(victim: Platform) -> None:
    for project in ("from", "to"):
        victim.make_project(project, victim.admin)
    source = Client(victim.url, victim.admin).repository("from/app")
    record = Record()
    for number in range(8):
        image = make_image(*(os.urandom(3000) for _ in range(12)))
        source.push(image, f"v{number}")
        record.images[f"v{number}"] = image
    stop = threading.Event()
    copiers = [threading.Thread(target=_copy_all, args=(victim, record, stop, number)) for number in range(COPIERS)]
    for copier in copiers:
        copier.start()
    kills = _kill(victim, record)
    stop.set()
    for copier in copiers:
        copier.join(120)
    victim.wait_healthy()
    answered = Counter(record.answers.values())
    print(f"\n{sum(kills.values())} kills ({dict(kills)}), {record.hits} hit a copy; answers: {dict(answered)}")
    assert set(answered) <= {201, 502, 503, 504, None}
    assert answered[201] > KILLS
    assert record.hits >= KILLS // 2, "too few kills hit a copy to prove anything"
    assert record.refused > 0
    found = victim.manage("verify", "--repair")
    assert found.returncode == 0, found.stdout + found.stderr
    assert victim.manage("verify", "--deep").stdout.strip() == "0 disagreements, 0 repaired, 0 left"
    absent = []
    for name, status in record.answers.items():
        tag = name.rpartition("-")[2]
        pulled = Client(victim.url, victim.admin).repository(f"to/{name}").pull(tag)
        assert pulled is not None or status != 201, f"{name} is lost"
        assert pulled in (None, record.images[tag])
        if pulled is None:
            absent.append(name)
    for name in absent[:10]:
        tag = name.rpartition("-")[2]
        listed = victim.api("GET", f"/projects/to/repositories/{name}/artifacts", victim.admin)
        assert listed.status_code == 404, listed.text
        assert copy(victim, victim.admin, f"from/app:{tag}", f"to/{name}").status_code == 201
        assert Client(victim.url, victim.admin).repository(f"to/{name}").pull(tag) == record.images[tag]


def _copy_all(platform: Platform, record: Record, stop: threading.Event, number: int) -> None:
    count = 0
    while not stop.is_set():
        count += 1
        tag = f"v{count % 8}"
        name = f"c{number}x{count}-{tag}"
        me = threading.get_ident()
        record.answers[name] = None
        record.under_way.add(me)
        try:
            record.answers[name] = copy(platform, platform.admin, f"from/app:{tag}", f"to/{name}").status_code
        except requests.RequestException:
            pass
        finally:
            record.under_way.discard(me)
        if record.answers[name] != 201:
            record.refused += 1
            time.sleep(0.5)


def _kill(platform: Platform, record: Record) -> Counter[str]:
    """Kill a program or one of core's workers while copies are under way."""
    chance, kills = random.Random(1), Counter[str]()
    while sum(kills.values()) < KILLS:
        name = chance.choice(("core", "worker of core", "registry", "postgres"))
        pid = platform.pid(name.rpartition(" ")[2])
        if name == "worker of core" and pid:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            pid = int(chance.choice(children)) if children else 0
        deadline = time.monotonic() + 5
        while not record.under_way and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.05))
        if not pid:
            continue
        record.hits += bool(record.under_way)
        os.kill(pid, 9)
        kills[name] += 1
        before = list(record.answers.values()).count(201)
        deadline = time.monotonic() + 20
        while list(record.answers.values()).count(201) < before + 3 and time.monotonic() < deadline:
            time.sleep(0.02)
    return kills
