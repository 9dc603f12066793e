"""Webhooks of a running platform: a real push, a real receiver, which goes away and comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.e2e.client import Client, make_image
from tests.e2e.platform import Platform
from tests.receiver import Received, Receiver, receiving, reply

People = dict[str, tuple[str, str]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def have_told(platform: Platform, person: tuple[str, str], project: str, receiver: Receiver, **facts: Any) -> str:
    """A policy of a new project that tells the receiver of pushes; its path."""
    platform.make_project(project, person)
    path = f"/projects/{project}/webhook/policies"
    body = {
        "name": "ci",
        "event_types": ["PUSH_ARTIFACT", "DELETE_ARTIFACT"],
        "targets": [{"type": "http", "address": f"{receiver.url}/hook", "auth_header": "Bearer Sesame-1", **facts}],
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
