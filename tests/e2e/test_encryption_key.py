"""The key of secrets in the database: changed as docs/webhooks.md says, wrong, broken and missing."""

from __future__ import annotations

import base64
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken

from tests.e2e.client import Client, make_image
from tests.e2e.platform import PROJECT, Platform, new_platform, remove
from tests.receiver import Received, Receiver, receiving

HEADER = "Bearer Sesame-of-the-rotation"
# Those whose processes have the key.
READERS = ("core", "core-2", "worker", "event")


@dataclass
class Hook:
    """A platform whose project `team` tells a receiver of pushes, and what its receiver needs to know."""

    platform: Platform
    receiver: Receiver
    policy: int = 0
    secret: str = ""
    pushed: list[str] = field(default_factory=list)

    @property
    def key_file(self) -> Path:
        return self.platform.var / "secrets" / "fernet-key"

    @property
    def path(self) -> str:
        return f"/projects/team/webhook/policies/{self.policy}"

    def body(self, description: str = "") -> dict[str, Any]:
        target = {"type": "http", "address": f"{self.receiver.url}/hook", "auth_header": HEADER}
        told = ["PUSH_ARTIFACT"]
        return {"name": "ci", "description": description, "event_types": told, "targets": [target], "enabled": True}

    def make(self) -> None:
        platform = self.platform
        platform.make_project("team", platform.admin)
        answer = platform.api("POST", "/projects/team/webhook/policies", platform.admin, json=self.body())
        assert answer.status_code == 201, answer.text
        self.policy = int(answer.headers["Location"].rpartition("/")[2])
        self.change_secret()

    def change_secret(self) -> None:
        answer = self.platform.api("POST", f"{self.path}/secret", self.platform.admin)
        assert answer.status_code == 200, answer.text
        self.secret = answer.json()["secret"]

    def push(self) -> None:
        tag = f"v{len(self.pushed)}"
        Client(self.platform.url, self.platform.admin).repository("team/app").push(make_image(b"same"), tag)
        self.pushed.append(tag)

    def arrived(self) -> list[str]:
        """The tags it was told of, in order; what was told twice counts once."""
        told = [each.document["event_data"]["resources"][0]["tag"] for each in self.receiver.received]
        return list(dict.fromkeys(told))

    def works(self) -> None:
        """Everything that was pushed arrives, in order, and the last with what the receiver expects."""
        self.push()
        wait(lambda: len(self.arrived()) >= len(self.pushed))
        assert self.arrived() == self.pushed
        assert self.is_genuine(self.receiver.received[-1])

    def is_genuine(self, received: Received) -> bool:
        shown: dict[str, Any] = {}
        page = (PROJECT / "docs" / "webhooks.md").read_text()
        exec(page.partition("```python\n")[2].partition("```")[0], shown)  # noqa: S102 - our own page
        # It may have arrived a while ago.
        shown["time"] = SimpleNamespace(time=lambda: int(received.headers["webhook-timestamp"]))
        genuine: bool = shown["is_genuine"](self.secret, received.headers, received.body)
        return genuine and received.headers.get("authorization") == HEADER

    def stored(self) -> list[bytes]:
        """What the database has of them."""
        program = (
            "from django.db import connection\n"
            "with connection.cursor() as cursor:\n"
            "    cursor.execute('SELECT secret FROM projects_webhookpolicy UNION ALL "
            "SELECT auth_header FROM projects_webhooktarget')\n"
            "    print(*('@' + text for (text,) in cursor.fetchall()))"
        )
        said = self.platform.manage("shell", "--no-imports", "-c", program).stdout
        return [text.encode() for text in re.findall(r"@(\S+)", said)]

    def pids(self) -> dict[str, int]:
        return {name: self.platform.pid(name) for name in READERS}


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    running = new_platform(WHARF_CORE_REPLICAS="2", WHARF_WEBHOOK_ALLOWED_NETWORKS="127.0.0.1/32")
    with receiving() as receiver:
        try:
            running.up()
            found = Hook(running, receiver)
            found.make()
            yield found
        finally:
            remove(running)


def wait(condition: Callable[[], object], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def new_key() -> str:
    """As the page says."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def opened_by(key: str, texts: list[bytes]) -> list[bool]:
    return [_opens(Fernet(key), text) for text in texts]


def _opens(key: Fernet, text: bytes) -> bool:
    try:
        return bool(key.decrypt(text))
    except InvalidToken:
        return False


@contextmanager
def busy(hook: Hook) -> Iterator[list[str]]:
    """Meanwhile somebody pushes, and somebody saves the policy and reads it again; what they were answered badly."""
    problems: list[str] = []
    end = threading.Event()

    def push() -> None:
        while not end.is_set():
            try:
                hook.push()
            except AssertionError as error:
                problems.append(str(error))

    def save() -> None:
        count = 0
        while not end.is_set():
            count += 1
            for method, facts in (("PUT", {"json": hook.body(f"saved {count} times")}), ("GET", {})):
                answer = hook.platform.api(method, hook.path, hook.platform.admin, **facts)
                if answer.status_code != 200:
                    problems.append(f"{method} {answer.status_code} {answer.text}")

    threads = [threading.Thread(target=each) for each in (push, save)]
    for thread in threads:
        thread.start()
    try:
        yield problems
    finally:
        end.set()
        for thread in threads:
            thread.join(120)


def test_the_key_is_changed_while_everything_goes_on(hook: Hook) -> None:
    hook.works()
    old, new = hook.key_file.read_text().strip(), new_key()
    with busy(hook) as problems:
        for lines in ((old, new), (new, old)):
            before = hook.pids()
            hook.key_file.write_text("\n".join(lines) + "\n")
            hook.platform.up()
            after = hook.pids()
            assert not [name for name in READERS if after[name] in (0, before[name])]
        said = hook.platform.manage("reencrypt")
        hook.key_file.write_text(f"{new}\n")
        hook.platform.up()
    assert problems == []
    assert "projects.WebhookPolicy.secret: 1\n" in said.stdout, said.stdout + said.stderr
    hook.works()
    assert all(hook.is_genuine(each) for each in hook.receiver.received)
    texts = hook.stored()
    assert opened_by(new, texts) == [True, True]
    assert opened_by(old, texts) == [False, False]
    assert hook.key_file.read_text().strip() not in _everything_logged(hook.platform)


def test_under_a_wrong_key_messages_wait_until_the_right_one_is_back(hook: Hook) -> None:
    right, wrong = hook.key_file.read_text(), new_key()
    hook.key_file.write_text(f"{wrong}\n")
    hook.platform.up()
    count = len(hook.arrived())
    hook.push()
    answer = hook.platform.api("GET", hook.path, hook.platform.admin)
    assert answer.status_code == 500
    assert "a key that is not in `fernet-key`" in answer.json()["errors"][0]["message"]
    wait(lambda: "a key that is not in `fernet-key`" in (hook.platform.var / "log" / "event.log").read_text())
    refused = hook.platform.manage("reencrypt")
    assert refused.returncode != 0
    assert "say --forget-lost" in refused.stderr
    assert len(hook.arrived()) == count
    hook.key_file.write_text(f"{wrong}\n{right}")
    hook.platform.up()
    hook.works()
    hook.key_file.write_text(right)
    hook.platform.up()
    hook.works()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda right: right[:20] + "\n", "line 1 is no key, which is 32 bytes in base64, 44 characters"),
        (lambda right: right + right[:20] + "\n", "line 2 is no key"),
        (lambda right: "", "it is empty"),
    ],
    ids=["half a key", "half a line more", "emptied"],
)
def test_a_broken_key_is_refused_before_anything_is_restarted(
    hook: Hook, broken: Callable[[str], str], words: str
) -> None:
    right, before = hook.key_file.read_text(), hook.pids()
    hook.key_file.write_text(broken(right))
    refused = hook.platform.command("up")
    hook.key_file.write_text(right)
    assert refused.returncode == 1
    assert re.search(rf"wharf: The secret \S+/fernet-key cannot be used: {words}", refused.stderr)
    assert right[:20] not in refused.stdout + refused.stderr
    hook.works()
    assert hook.pids() == before


def test_a_key_that_is_missing_is_not_replaced_by_another_one(hook: Hook) -> None:
    before, aside = hook.pids(), hook.key_file.with_name("aside")
    hook.key_file.rename(aside)
    refused = hook.platform.command("up")
    was_made = hook.key_file.exists()
    aside.rename(hook.key_file)
    assert refused.returncode == 1
    assert re.search(r"wharf: \S+/fernet-key is missing, .*; put it back from your backup", refused.stderr)
    assert not was_made
    hook.platform.up()
    assert hook.pids() == before
    hook.works()


def _everything_logged(platform: Platform) -> str:
    return "".join(path.read_text(errors="replace") for path in (platform.var / "log").iterdir() if path.is_file())
