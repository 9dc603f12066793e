"""Webhooks of a running platform: a real push, a real receiver, which goes away and comes back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler

import pytest

from tests.e2e.client import Client, Repository, make_image
from tests.e2e.platform import Platform
from tests.receiver import Received, Receiver, receiving, reply

People = dict[str, tuple[str, str]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def have_told(platform: Platform, person: tuple[str, str], project: str, receiver: Receiver, *event_types: str) -> str:
    """A policy of a new project that tells the receiver of pushes, or of these events; its path."""
    platform.make_project(project, person)
    path = f"/projects/{project}/webhook/policies"
    body = {
        "name": "ci",
        "event_types": event_types or ["PUSH_ARTIFACT", "DELETE_ARTIFACT"],
        "targets": [{"type": "http", "address": f"{receiver.url}/hook", "auth_header": "Bearer Sesame-1"}],
        "enabled": True,
    }
    answer = platform.api("POST", path, person, json=body)
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"].removeprefix("/api/v2.0")


def wait(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def hang(handler: BaseHTTPRequestHandler, _: Received) -> None:
    time.sleep(30)
    reply(handler, 200)


def tags(receiver: Receiver) -> list[str]:
    return [each["event_data"]["resources"][0]["tag"] for each in receiver.documents]


def test_a_push_is_told_in_harbors_words(platform: Platform, people: People, receiver: Receiver) -> None:
    have_told(platform, people["alice"], "told", receiver)
    image = make_image()
    Client(platform.url, people["alice"]).repository("told/web/shop").push(image, "1.0")
    wait(lambda: receiver.received)
    (told,) = receiver.received
    assert told.headers["authorization"] == "Bearer Sesame-1"
    assert told.headers["webhook-signature"].startswith("v1,")
    document = told.document
    assert (document["type"], document["operator"]) == ("PUSH_ARTIFACT", "alice")
    assert document["event_data"]["resources"] == [
        {"digest": image.digest, "tag": "1.0", "resource_url": f"{platform.host}/told/web/shop:1.0"}
    ]
    about = document["event_data"]["repository"]
    assert {key: about[key] for key in ("name", "namespace", "repo_full_name", "repo_type")} == {
        "name": "web/shop",
        "namespace": "told",
        "repo_full_name": "told/web/shop",
        "repo_type": "private",
    }


def test_a_receiver_that_was_away_hears_all_of_it_in_order(
    platform: Platform, people: People, receiver: Receiver
) -> None:
    path = have_told(platform, people["alice"], "away", receiver)
    repository = Client(platform.url, people["alice"]).repository("away/app")
    receiver.close()
    for tag in ("1", "2", "3"):
        repository.push(make_image(), tag)

    def standing() -> list[str]:
        return [run["status"] for run in platform.api("GET", f"{path}/executions", people["alice"]).json()]

    wait(lambda: len(standing()) == 3)
    assert set(standing()) == {"Running"}
    receiver.open()
    repository.push(make_image(), "4")
    wait(lambda: len(receiver.received) == 4)
    assert tags(receiver) == ["1", "2", "3", "4"]
    wait(lambda: set(standing()) == {"Success"})


def test_a_receiver_that_hangs_keeps_nobody_else(platform: Platform, people: People, receiver: Receiver) -> None:
    with receiving() as slow:
        slow.answer = hang
        have_told(platform, people["alice"], "slow", slow)
        have_told(platform, people["alice"], "quick", receiver)
        alice = Client(platform.url, people["alice"])
        for tag in ("1", "2", "3"):
            alice.repository("slow/app").push(make_image(), tag)
        wait(lambda: slow.received)
        alice.repository("quick/app").push(make_image(), "1")
        wait(lambda: receiver.received, seconds=8)
        assert len(slow.received) == 1


def test_a_network_that_nobody_allowed_is_out_of_reach(platform: Platform, people: People) -> None:
    body = {"name": "metadata", "event_types": ["PUSH_ARTIFACT"], "targets": [{"type": "http"}]}
    for host in ("169.254.169.254", "10.0.0.1", "[::1]", f"127.0.0.2:{platform.port}"):
        body["targets"] = [{"type": "http", "address": f"http://{host}/"}]
        answer = platform.api("POST", "/projects/team/webhook/policies", people["alice"], json=body)
        assert answer.status_code == 400, host
        assert "requests may not go to" in answer.text


def test_pulls_arrive_when_they_are_counted_with_their_number(
    platform: Platform, people: People, receiver: Receiver
) -> None:
    have_told(platform, people["alice"], "pulled", receiver, "PULL_ARTIFACT")
    image = make_image()
    repository = Client(platform.url, people["alice"]).repository("pulled/app")
    repository.push(image, "1.0")
    for _ in range(5):
        assert repository.pull("1.0") is not None

    def counted() -> int:
        return sum(int(each["event_data"]["custom_attributes"]["pull_count"]) for each in receiver.documents)

    # The clock counts once a minute: it may do so in between, and then tells twice.
    wait(lambda: counted() >= 5, seconds=150)
    assert counted() == 5
    assert {each["type"] for each in receiver.documents} == {"PULL_ARTIFACT"}
    assert {each["event_data"]["resources"][0]["digest"] for each in receiver.documents} == {image.digest}
    assert set(tags(receiver)) == {"1.0"}


def test_clients_that_are_refused_a_hundred_times_are_told_of_once(
    platform: Platform, people: People, receiver: Receiver
) -> None:
    """By whichever of core's processes."""
    have_told(platform, people["alice"], "full", receiver, "QUOTA_EXCEED", "QUOTA_WARNING")
    limit(platform, "full", 50_000)
    image = make_image(os.urandom(60_000))

    def push(repository: Repository) -> list[int]:
        for content in image.blobs.values():
            repository.push_blob(content)
        return [repository.put_manifest(image.manifest, "large").status_code for _ in range(25)]

    alice = [Client(platform.url, people["alice"]).repository("full/app") for _ in range(4)]
    with ThreadPoolExecutor(len(alice)) as pool:
        assert {status for statuses in pool.map(push, alice) for status in statuses} == {403}
    wait(lambda: receiver.received)
    # What follows comes after it.
    limit(platform, "full", 70_000)
    assert push(alice[0])[0] == 201
    wait(lambda: len(receiver.received) > 1)
    assert [each["type"] for each in receiver.documents] == ["QUOTA_EXCEED", "QUOTA_WARNING"]


def test_of_many_pushes_at_once_that_pass_85_percent_one_warns(
    platform: Platform, people: People, receiver: Receiver
) -> None:
    have_told(platform, people["alice"], "crowded", receiver, "PUSH_ARTIFACT", "QUOTA_WARNING")
    images = [make_image(os.urandom(10_000)) for _ in range(8)]
    # The last of them but one or two passes it.
    limit(platform, "crowded", 90_000)
    alice = [Client(platform.url, people["alice"]).repository(f"crowded/app{number}") for number in range(8)]
    with ThreadPoolExecutor(len(alice)) as pool:
        list(pool.map(Repository.push, alice, images, ["1.0"] * 8))
    wait(lambda: len(receiver.received) == 9)
    assert sorted(each["type"] for each in receiver.documents) == ["PUSH_ARTIFACT"] * 8 + ["QUOTA_WARNING"]


def limit(platform: Platform, project: str, size: int) -> None:
    """Give a project a limit in bytes."""
    number = platform.api("GET", f"/projects/{project}", platform.admin).json()["project_id"]
    (quota,) = platform.api("GET", f"/quotas?reference=project&reference_id={number}", platform.admin).json()
    answer = platform.api("PUT", f"/quotas/{quota['id']}", platform.admin, json={"hard": {"storage": size}})
    assert answer.status_code == 200, answer.text
