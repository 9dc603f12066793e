"""The kill test: programs are killed -9 at random moments while clients push, mount, copy, sign, tag, delete and push
again what is being collected; what was acknowledged must be whole, and a webhook's receiver must hear of all of it.

WHARF_TEST_KILLS says how many (50 at least; `make torture` takes 500, or as many as it is told).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
import requests

from tests.e2e.client import OCI_INDEX, Client, Image, Repository, make_image, make_index
from tests.e2e.platform import Platform, new_platform, remove
from tests.receiver import Receiver, receiving

KILLS = max(50, int(os.environ.get("WHARF_TEST_KILLS", "50")))
VICTIMS = (
    "core", "core-worker", "registry", "nginx", "redis", "postgres", "worker", "event", "bulk", "bulk-worker", "flush",
)  # fmt: skip
PUSHERS = 4
# Garbage collection's, in this test: many collections, and still time for a push between its layers and its manifest.
GRACE_SECONDS = 20
VERIFY_SECONDS = 1800
# Layers that all pushers share: concurrent uploads, links and re-pushes of the same content.
SHARED = [bytes([number]) * 5000 for number in range(3)]


class TooSlow(AssertionError):  # noqa: N818
    """A push took longer than garbage collection's grace, and its layers are gone."""


@dataclass(frozen=True)
class Gone:
    """An image that was deleted, or lost its tag."""

    when: float
    name: str
    image: Image
    tag: str


@dataclass
class Kills:
    """Who was killed how often, and how often at a moment that matters."""

    by_victim: Counter[str] = field(default_factory=Counter)
    in_manifest_put: int = 0
    in_collection: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.by_victim.total()


@dataclass
class Record:
    """What the pushers did, seen from outside. What was copied is called `copies/<tag>`."""

    acknowledged: dict[str, tuple[str, Image]] = field(default_factory=dict)
    attempted: dict[str, tuple[str, Image]] = field(default_factory=dict)
    in_manifest_put: set[int] = field(default_factory=set)
    answered: int = 0
    pushed: dict[int, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """Repository and reference of every manifest that was acknowledged, in each pusher's order."""
    interrupted_puts: int = 0
    deleted: int = 0
    """How many images the platform says to have deleted, or to have taken the tag from."""
    gone: list[Gone] = field(default_factory=list)
    """What may be garbage by now, the oldest first."""
    back: int = 0
    """How much of it was pushed again."""
    again: int = 0
    """How much was pushed again as soon as its deletion was answered."""
    copies: Counter[int] = field(default_factory=Counter)
    """How copies were answered, by status; a mount's 202 made an upload of it."""
    mounts: Counter[int] = field(default_factory=Counter)
    signed: int = 0
    indexed: int = 0
    kills: Kills = field(default_factory=Kills)
    collections: Counter[str] = field(default_factory=Counter)
    unfinished: list[str] = field(default_factory=list)
    """Jobs of all kinds that did not end."""
    failures: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@pytest.fixture(scope="module")
def victim() -> Iterator[Platform]:
    """A platform of its own, which may be left in ruins."""
    running = new_platform(
        WHARF_LOGIN_FAILURES_PER_MINUTE="1000",
        GC_TIME_WINDOW_HOURS=str(GRACE_SECONDS / 3600),
        WHARF_WEBHOOK_ALLOWED_NETWORKS="127.0.0.1/32",
    )
    try:
        running.up()
        yield running
    finally:
        remove(running)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def record(victim: Platform, receiver: Receiver) -> Record:
    victim.make_project("team", victim.admin)
    target = {"type": "http", "address": receiver.url}
    policy = {"name": "all", "enabled": True, "event_types": ["PUSH_ARTIFACT"], "targets": [target]}
    answer = victim.api("POST", "/projects/team/webhook/policies", victim.admin, json=policy)
    assert answer.status_code == 201, answer.text
    return push_and_kill(victim, KILLS)


def push_and_kill(victim: Platform, wanted: int, programs: Sequence[str] = VICTIMS) -> Record:
    """Push, and kill one of the programs so often; then wait until all is well again."""
    victim.make_project("team", victim.admin)
    record, stop = Record(), threading.Event()
    busy = [threading.Thread(target=_push_all, args=(victim, record, stop, number)) for number in range(PUSHERS)]
    busy.append(threading.Thread(target=_collect_all, args=(victim, record, stop)))
    for each in busy:
        each.start()
    _kill_all(victim, record, wanted, programs)
    stop.set()
    for each in busy:
        each.join(120)
    victim.wait_healthy()
    _wait_for_the_jobs(victim, record)
    print(_as_words(record))
    assert record.kills.total >= wanted
    assert record.kills.in_manifest_put >= wanted // 10, "too few kills hit a manifest PUT to prove anything"
    assert _too_seldom(record, wanted) == []
    return record


def _too_seldom(record: Record, wanted: int) -> list[str]:
    """What clients did too seldom to prove anything. A slow machine does less of all between two kills, so the shares
    of those are small; how a copy and a mount are answered is no matter of speed."""
    copies, mounts, some = record.copies, record.mounts, wanted // 4
    happened = {
        "copies": (copies[201], max(some, copies[404])),
        # It is also an upload while no other repository has the layer, or while that one's is being removed.
        "mounted layers": (mounts[201], max(some, mounts[202] // 2)),
        "deleted, or without a tag": (record.deleted, some),
        "pushed again at once": (record.again, wanted // 10),
    }
    return [f"{what}: {count} of {least} at least" for what, (count, least) in happened.items() if count < least]


def _as_words(record: Record) -> str:
    kills = record.kills
    return "\nkill test: " + "\n  ".join(
        (
            f"{kills.total} kills: {_listed(kills.by_victim)}",
            f"{kills.in_manifest_put} of them while a manifest PUT was under way; {record.interrupted_puts} such PUTs "
            "failed",
            f"{kills.in_collection.total()} of them while garbage was collected: {_listed(kills.in_collection)}",
            f"{record.answered} manifests acknowledged, {record.copies[201]} of {record.copies.total()} copies, "
            f"{record.mounts[201]} of {record.mounts.total()} mounted layers, "
            f"{record.signed} signatures, {record.indexed} indexes",
            f"{record.deleted} images deleted or without a tag, {record.again} of them pushed again at once, "
            f"{record.back} when it was time to collect them",
            f"{len(record.acknowledged)} of {len(record.attempted)} pushes are promised at the end",
            f"collections: {_listed(record.collections)}",
            f"failures seen by clients: {_listed(record.failures)}",
        )
    )


def _listed(numbers: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.most_common()) or "none"


def test_nothing_but_clean_errors_was_answered(record: Record) -> None:
    assert record.problems == []


def test_much_was_signed_and_indexed(record: Record) -> None:
    """Ten kills, as elsewhere, are too few to count on that."""
    assert record.signed >= KILLS // 10
    assert record.indexed >= KILLS // 10


def test_many_kills_hit_a_collection_in_its_middle(record: Record) -> None:
    assert record.kills.in_collection.total() >= KILLS // 10
    assert record.back > KILLS // 20


def test_no_job_is_left_running(record: Record) -> None:
    assert not {"Running", "Pending"} & set(record.collections)
    assert record.collections["Success"] > 1
    assert record.unfinished == []


def test_a_receiver_hears_of_every_acknowledged_push_in_order(record: Record, receiver: Receiver) -> None:
    """At least once, and first in the order in which each client was answered."""
    pushed = {key for each in record.pushed.values() for key in each}
    deadline = time.monotonic() + 600
    while missing := pushed - _heard(receiver).keys():
        assert time.monotonic() < deadline, f"nobody was told of {len(missing)} pushes, such as {min(missing)}"
        time.sleep(1)
    heard = _heard(receiver)
    for each in record.pushed.values():
        places = [heard[key] for key in each]
        assert places == sorted(places)
    print(
        f"\nkill test: a webhook's receiver heard of {len(pushed)} pushes, each client's in order, in "
        f"{len(receiver.received)} messages"
    )


def _heard(receiver: Receiver) -> dict[tuple[str, str], int]:
    """Repository and reference of what the receiver heard of → the number of the message that said so first."""
    heard: dict[tuple[str, str], int] = {}
    for number, document in enumerate(receiver.documents):
        told = document["event_data"]
        heard.setdefault((told["repository"]["repo_full_name"], told["resources"][0]["tag"]), number)
    return heard


def test_verify_finds_nothing_that_it_cannot_repair(victim: Platform, record: Record) -> None:
    first = victim.manage("verify", "--repair", seconds=VERIFY_SECONDS)
    *found, last = first.stdout.strip().splitlines()
    kinds = Counter(line.split(": ")[1] for line in found)
    print(f"\nkill test: verify --repair says: {last} ({_listed(kinds)})")
    assert first.returncode == 0, first.stdout + first.stderr
    # Registries that are killed leave torn files; nothing is killed that would let PostgreSQL disagree with itself.
    assert not kinds.keys() & {"quota-differs", "tag-without-artifact", "artifact-without-references"}
    _assert_verified(victim)


def test_every_acknowledged_push_is_pullable_byte_by_byte(victim: Platform, record: Record) -> None:
    size = 0
    assert len(record.acknowledged) > KILLS
    for tag, (name, image) in record.acknowledged.items():
        pulled = repository_for_one_image(victim, name).pull(tag.removeprefix("copies/"))
        assert pulled is not None, f"{name}:{tag} is lost"
        assert (pulled.manifest, pulled.blobs) == (image.manifest, image.blobs)
        size += len(pulled.manifest) + sum(map(len, pulled.blobs.values()))
    copies = sum(tag.startswith("copies/") for tag in record.acknowledged)
    print(
        f"\nkill test: {len(record.acknowledged)} images, {copies} of them copies, are as they were pushed: "
        f"{size} bytes compared"
    )


def test_no_push_is_half_there(victim: Platform, record: Record) -> None:
    unanswered = {tag: push for tag, push in record.attempted.items() if tag not in record.acknowledged}
    there = 0
    for tag, (name, image) in unanswered.items():
        pulled = repository_for_one_image(victim, name).pull(tag)
        if pulled is not None:
            there += 1
            assert (pulled.manifest, pulled.blobs) == (image.manifest, image.blobs)
    print(f"\nkill test: of {len(unanswered)} unacknowledged pushes {there} are wholly there, the others wholly not")


def test_what_failed_can_be_pushed_again(victim: Platform, record: Record) -> None:
    unanswered = [push for tag, push in record.attempted.items() if tag not in record.acknowledged]
    for number, (name, image) in enumerate(unanswered):
        repository = repository_for_one_image(victim, name)
        repository.push(image, f"again-{number}")
        pulled = repository.pull(f"again-{number}")
        assert pulled is not None
        assert pulled.blobs == image.blobs
    _assert_verified(victim)


def test_a_last_collection_leaves_only_what_is_needed(victim: Platform, record: Record) -> None:
    time.sleep(GRACE_SECONDS + 1)
    for wishes in ({"delete_untagged": True, "audit": True}, {"delete_untagged": True, "audit": True, "dry_run": True}):
        run = _start_collection(victim, **wishes)
        _wait_for_the_jobs(victim, record)
    told = json.loads(victim.api("GET", f"/system/gc/{run}", victim.admin).json()["job_parameters"])
    assert [told[name] for name in ("purged_blobs", "purged_manifests", "links", "orphans", "uploads")] == [0] * 5
    _assert_verified(victim)
    test_every_acknowledged_push_is_pullable_byte_by_byte(victim, record)


def repository_for_one_image(platform: Platform, name: str) -> Repository:
    """With a token of its own: one lives for five minutes, and all the images together take longer."""
    return Client(platform.url, platform.admin).repository(name)


def _assert_verified(victim: Platform) -> None:
    """Store and rows agree, every byte of them. After hundreds of kills there is much to be read."""
    found = victim.manage("verify", "--deep", seconds=VERIFY_SECONDS)
    assert found.stdout.strip() == "0 disagreements, 0 repaired, 0 left", found.stdout + found.stderr


# --- those who push ----------------------------------------------------------------------------------------
def _push_all(platform: Platform, record: Record, stop: threading.Event, number: int) -> None:
    chance = random.Random(number)
    count = 0
    while not stop.is_set():
        count += 1
        name, tag = f"team/app{chance.randrange(3)}", f"t{number}-{count}"
        image = make_image(chance.choice(SHARED), os.urandom(chance.randrange(100, 200_000)))
        others = [other for other in ("team/app0", "team/app1", "team/app2") if other != name]
        try:
            _push_once(platform, record, name, image, tag, mounts=others if chance.random() < 0.3 else ())
            if chance.random() < 0.3:
                _copy_once(platform, record, name, image, tag)
            chance.choice((_delete_once, _untag_once, _tag_once, _sign_once, _index_once, _bring_back, _leave))(
                platform, record, name, image, tag
            )
            if chance.random() < 0.1:
                _use_a_repository_briefly(platform, record, f"team/brief{number}", image, f"{tag}-brief")
        except (requests.RequestException, AssertionError) as error:
            _note_failure(record, error)
            time.sleep(0.05)


def _push_once(
    platform: Platform, record: Record, name: str, image: Image, reference: str, *, mounts: Sequence[str] = ()
) -> None:
    """As clients do: what is said to be there already is not uploaded; what others have is asked of them."""
    began = time.monotonic()
    with record.lock:
        record.attempted[reference] = (name, image)
    repository = Client(platform.url, platform.admin, timeout=40).repository(name)
    for digest, content in image.blobs.items():
        if mounts and content in SHARED:
            status = repository.mount(digest, mounts[0]).status_code
            with record.lock:
                record.mounts[status] += 1
        repository.push_blob(content)
    _put(record, repository, image, reference, began)
    with record.lock:
        record.acknowledged[reference] = (name, image)


def _put(record: Record, repository: Repository, image: Image, reference: str, began: float) -> None:
    me = threading.get_ident()
    record.in_manifest_put.add(me)
    try:
        answer = repository.put_manifest(image.manifest, reference, image.media_type)
    except requests.RequestException:
        record.interrupted_puts += 1
        raise
    finally:
        record.in_manifest_put.discard(me)
    if answer.status_code != 201:
        record.interrupted_puts += 1
    # Three quarters of the grace are promised: a HEAD refreshes a quarter of it.
    if answer.status_code == 400 and time.monotonic() - began > GRACE_SECONDS * 3 / 4:
        raise TooSlow
    assert answer.status_code == 201, (answer.status_code, answer.text)
    with record.lock:
        record.answered += 1
        record.pushed[me].append((repository.name, reference))


def _copy_once(platform: Platform, record: Record, name: str, image: Image, tag: str) -> None:
    path = f"/projects/team/repositories/copies/artifacts?from={name}:{tag}"
    answer = platform.api("POST", path, platform.admin)
    with record.lock:
        record.copies[answer.status_code] += 1
    # What it says of a source that is being pushed or deleted at this moment is fair as well.
    assert answer.status_code in (201, 404), (answer.status_code, answer.text)
    if answer.status_code == 201:
        with record.lock:
            record.acknowledged[f"copies/{tag}"] = ("team/copies", image)


def _delete_once(platform: Platform, record: Record, name: str, image: Image, tag: str) -> None:
    """Half of what is being deleted is pushed again at once."""
    _promised_no_more(record, tag)
    path = f"/projects/team/repositories/{name.partition('/')[2]}/artifacts/{tag}"
    answer = platform.api("DELETE", path, platform.admin)
    assert answer.status_code in (200, 404), (answer.status_code, answer.text)
    with record.lock:
        record.deleted += answer.status_code == 200
    if tag[-1] in "02468":
        _push_again(platform, record, name, image, tag)
    else:
        _is_gone(record, name, image, tag)


def _untag_once(platform: Platform, record: Record, name: str, image: Image, tag: str) -> None:
    """Without a tag it is garbage; half of them get another one."""
    _promised_no_more(record, tag)
    answer = Client(platform.url, platform.admin, timeout=40).repository(name).call("DELETE", f"manifests/{tag}")
    assert answer.status_code in (202, 404), (answer.status_code, answer.text)
    with record.lock:
        record.deleted += answer.status_code == 202
    if tag[-1] in "02468":
        _push_again(platform, record, name, image, tag)
    else:
        _is_gone(record, name, image, tag)


def _push_again(platform: Platform, record: Record, name: str, image: Image, tag: str) -> None:
    _push_once(platform, record, name, image, f"{tag}-again")
    with record.lock:
        record.again += 1


def _is_gone(record: Record, name: str, image: Image, tag: str) -> None:
    with record.lock:
        record.gone.append(Gone(time.monotonic(), name, image, tag))


def _bring_back(platform: Platform, record: Record, name: str, image: Image, tag: str) -> None:
    """What became garbage some seconds ago, so that it is being collected at this moment, is pushed again."""
    with record.lock:
        ripe = [each for each in record.gone if time.monotonic() - each.when > GRACE_SECONDS]
        for old in ripe:
            record.gone.remove(old)
    # The others were collected already, most likely.
    for old in ripe[-2:]:
        _push_once(platform, record, old.name, old.image, f"{old.tag}-back")
        with record.lock:
            record.back += 1


def _promised_no_more(record: Record, tag: str) -> None:
    with record.lock:
        record.acknowledged.pop(tag)
        record.attempted.pop(tag)


def _tag_once(platform: Platform, record: Record, name: str, image: Image, tag: str) -> None:
    """One more tag by the manifest alone: nothing of the image is asked for before."""
    repository = Client(platform.url, platform.admin, timeout=40).repository(name)
    _put(record, repository, image, f"{tag}-too", time.monotonic())
    with record.lock:
        record.acknowledged[f"{tag}-too"] = (name, image)


def _sign_once(platform: Platform, record: Record, name: str, image: Image, tag: str) -> None:
    """What hangs on an image has no tag, and stays with it."""
    subject = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest)}
    signature = make_image(os.urandom(100), subject=subject)
    _push_once(platform, record, name, signature, signature.digest)
    with record.lock:
        record.signed += 1


def _index_once(platform: Platform, record: Record, name: str, image: Image, tag: str) -> None:
    """Its parts have no tags; nobody is promised them before the index is acknowledged."""
    began = time.monotonic()
    parts = [make_image(content, os.urandom(1000)) for content in SHARED[:2]]
    repository = Client(platform.url, platform.admin, timeout=40).repository(name)
    for part in parts:
        for content in part.blobs.values():
            repository.push_blob(content)
        _put(record, repository, part, part.digest, began)
    index = Image(make_index(*parts, image), {}, OCI_INDEX)
    _put(record, repository, index, f"{tag}-index", began)
    with record.lock:
        record.acknowledged[f"{tag}-index"] = (name, index)
        record.acknowledged.update({part.digest: (name, part) for part in parts})
        record.indexed += 1


def _use_a_repository_briefly(platform: Platform, record: Record, name: str, image: Image, tag: str) -> None:
    """A repository is deleted with all that is in it, and the same is pushed there again."""
    _push_once(platform, record, name, image, tag)
    with record.lock:
        gone = [reference for reference, (place, _) in record.acknowledged.items() if place == name]
        for reference in gone:
            record.acknowledged.pop(reference)
            record.attempted.pop(reference)
    answer = platform.api("DELETE", f"/projects/team/repositories/{name.partition('/')[2]}", platform.admin)
    assert answer.status_code in (200, 404), (answer.status_code, answer.text)
    with record.lock:
        record.deleted += len(gone) if answer.status_code == 200 else 0
    _push_again(platform, record, name, image, tag)


def _leave(platform: Platform, record: Record, name: str, image: Image, tag: str) -> None:
    return


# --- those who collect --------------------------------------------------------------------------------------
def _collect_all(platform: Platform, record: Record, stop: threading.Event) -> None:
    """Always one collection at work, or waiting for the one before."""
    count = 0
    while not stop.wait(2):
        count += 1
        try:
            # Every other one takes its time, so that it is hit in its middle.
            slowly = {"removals_per_second": 20} if count % 2 else {}
            _start_collection(platform, delete_untagged=True, workers=2, audit=count % 3 == 0, **slowly)
        except (requests.RequestException, AssertionError) as error:
            _note_failure(record, error)


def _start_collection(platform: Platform, **parameters: Any) -> str:
    body = {"schedule": {"type": "Manual"}, "parameters": parameters}
    answer = platform.api("POST", "/system/gc/schedule", platform.admin, json=body)
    assert answer.status_code == 201, (answer.status_code, answer.text)
    return answer.headers["Location"].rpartition("/")[2]


def _wait_for_the_jobs(platform: Platform, record: Record) -> None:
    """What lost its worker is found within minutes, and everything that was ordered ends, one after the other."""
    ended, since = 0, time.monotonic()
    while time.monotonic() < since + 600:
        runs, page = [], 1
        while rows := platform.api("GET", f"/system/gc?page_size=100&page={page}", platform.admin).json():
            runs += rows
            page += 1
        record.collections = Counter(run["job_status"] for run in runs)
        record.unfinished = _unfinished(platform)
        now_ended = len(runs) - record.collections["Running"] - record.collections["Pending"]
        if now_ended > ended:
            ended, since = now_ended, time.monotonic()
        if not {"Running", "Pending"} & set(record.collections) and not record.unfinished:
            return
        time.sleep(1)


def _unfinished(platform: Platform) -> list[str]:
    """Which jobs, of whatever kind, run or wait at this moment."""
    at_work = platform.api("GET", "/jobservice/pools/all/workers", platform.admin).json()
    waiting = platform.api("GET", "/jobservice/queues", platform.admin).json()
    return [row["job_name"] for row in at_work if "job_name" in row] + [
        row["job_type"] for row in waiting if row.get("count")
    ]


def _note_failure(record: Record, error: Exception) -> None:
    """Connections may break and 503 is fair; anything else is a bug."""
    text = str(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        kind = str(error.response.status_code)
    elif isinstance(error, TooSlow):
        kind = "400 after the grace"
    elif isinstance(error, AssertionError):
        found = re.match(r"\((\d+)", text)
        kind = found[1] if found else "assertion"
        if kind == "503" and "is being removed" in text:
            kind = "503 while it is being removed"
    else:
        kind = "connection"
    with record.lock:
        record.failures[kind] += 1
        # An upload whose registry died may be unknown or out of step afterwards.
        # A push that took longer than the grace may find its layers gone.
        fair = ("503", "503 while it is being removed", "connection", "404", "416", "400 after the grace")
        if kind not in fair or (kind != "connection" and "<html" in text):
            record.problems.append(f"{kind}: {text[:300]}")


# --- those who kill -----------------------------------------------------------------------------------------
def _kill_all(platform: Platform, record: Record, wanted: int, programs: Sequence[str]) -> None:
    """Kill at random moments: half of them as soon as a manifest PUT is under way."""
    chance, kills = random.Random(1), record.kills
    while kills.total < wanted:
        victim = chance.choice(programs)
        pid = 0 if victim == "flush" else _pid_of(platform, victim, chance)
        time.sleep(chance.uniform(0.0, 0.8))
        is_collecting = _is_collecting(platform)
        if chance.random() < 0.6:
            _wait_for_manifest_put(record)
        is_putting = bool(record.in_manifest_put)
        if victim == "flush":
            _flush(platform)
        elif not _kill(pid):
            continue
        kills.by_victim[victim] += 1
        kills.in_manifest_put += is_putting
        kills.in_collection[victim] += is_collecting
        # Let it come back, or nobody would ever get as far as a manifest.
        _wait_for_an_acknowledgement(record)


def _is_collecting(platform: Platform) -> bool:
    """Whether a collection is at work at this moment; False as well when nobody can tell."""
    try:
        at_work = requests.get(f"{platform.url}/api/v2.0/jobservice/pools/all/workers", auth=platform.admin, timeout=2)
    except requests.RequestException:
        return False
    return at_work.status_code == 200 and any(row.get("job_name") == "GARBAGE_COLLECTION" for row in at_work.json())


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return False
    return True


def _flush(platform: Platform) -> None:
    """Let Redis forget everything; one that is just being started has nothing."""
    with contextlib.suppress(redis.RedisError):
        redis.Redis(unix_socket_path=str(platform.var / "run" / "redis.sock"), socket_timeout=2).flushall()


def _pid_of(platform: Platform, victim: str, chance: random.Random) -> int:
    pid = platform.pid(victim.partition("-")[0])
    if victim.endswith("-worker") and pid:
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            workers = children.read().split()
        return int(chance.choice(workers)) if workers else pid
    return pid or 2**22 + 1


def _wait_for_manifest_put(record: Record) -> None:
    deadline = time.monotonic() + 3
    while not record.in_manifest_put and time.monotonic() < deadline:
        time.sleep(0.0005)


def _wait_for_an_acknowledgement(record: Record) -> None:
    before = record.answered
    deadline = time.monotonic() + 15
    while record.answered < before + 2 and time.monotonic() < deadline:
        time.sleep(0.02)
