"""The two servers that are compared: a bare stock registry at its defaults, and Wharf as `make up` starts it.

And a Wharf that holds so much that lists have something to do, one whose worker knows another kind of job, and one
whose store is filled beside it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlencode

import requests

from bench import images, stores
from bench.client import Client
from bench.images import Image
from tests.e2e.platform import PASSWORD, PROGRAMS, Platform, free_port, new_platform, remove

MARK = "@@"
# The configuration that the image registry:2 brings along, but for the address and, where it is wanted, deletion.
_DEFAULTS = """
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: {store}
  delete:
    enabled: {deletes}
http:
  addr: 127.0.0.1:{port}
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
"""


@dataclass(frozen=True)
class Target:
    """A running server, and what a client needs to use it."""

    name: str
    url: str
    repository: str
    programs: dict[str, int]
    """Program → process id."""
    accounts: dict[str, str] = field(default_factory=dict)
    """`robot` and `user` → their Authorization header; a server without any wants no tokens."""

    def headers(self, client: Client, actions: str, account: str = "user") -> dict[str, str]:
        """What a request for this repository must carry: a fresh token, where tokens are wanted."""
        if not self.accounts:
            return {}
        answer = client.ask("GET", self.token_path(actions), self.credentials(account))
        return {"Authorization": f"Bearer {json.loads(answer.body)['token']}"}

    def push(self, client: Client, image: Image) -> None:
        """A whole image, under a tag of its own, with a fresh token."""
        headers = self.headers(client, "pull,push")
        images.push(client, self.repository, headers, image, f"pushed-{image.digest[7:19]}")

    def of(self, repository: str) -> Target:
        """The same server, for another repository."""
        return replace(self, repository=repository)

    def credentials(self, account: str) -> dict[str, str]:
        return {"Authorization": self.accounts[account]}

    def token_path(self, actions: str) -> str:
        scope = f"repository:{self.repository}:{actions}"
        return "/service/token?" + urlencode({"service": "harbor-registry", "scope": scope})


@contextmanager
def bare_registry(store: Path | None = None, *, deletes: bool = False) -> Iterator[Target]:
    """A stock registry alone, in a folder of its own, for as long as the block runs; or with a store that is there."""
    folder, port = Path(tempfile.mkdtemp(prefix="wharf-bench-")), free_port()
    _configure(folder, store or folder / "data", port, deletes=deletes)
    command = ["docker-registry", "serve", str(folder / "config.yml")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env={"PATH": "/usr/bin"}, stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/v2/")
        yield Target("bare registry", f"http://127.0.0.1:{port}", "bench/app", {"registry": process.pid})
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


def collect_offline(store: Path) -> float:
    """Let the stock registry collect the garbage of a store that nobody serves, untagged images too: seconds."""
    with tempfile.TemporaryDirectory(prefix="wharf-bench-") as folder:
        _configure(Path(folder), store, free_port(), deletes=True)
        command = ["docker-registry", "garbage-collect", "--delete-untagged", f"{folder}/config.yml"]
        began = time.monotonic()
        # It names everything that it keeps and removes, on both outputs.
        silent = subprocess.DEVNULL
        subprocess.run(command, env={"PATH": "/usr/bin"}, stdout=silent, stderr=silent, check=True)
        return time.monotonic() - began


def _configure(folder: Path, store: Path, port: int, *, deletes: bool) -> None:
    text = _DEFAULTS.format(store=store, port=port, deletes=str(deletes).lower())
    (folder / "config.yml").write_text(text)


@contextmanager
def wharf(var: Path | None) -> Iterator[Target]:
    """A platform of the benchmark's own; with `var` its folder stays there for the next run."""
    with _platform(var) as platform:
        owner = platform.make_user("bench")
        platform.make_project("bench", owner)
        robot = platform.make_robot("bench", owner, f"bench{time.time_ns()}", "pull", "push")
        accounts = {"user": _basic(*owner), "robot": _basic(robot["name"], robot["secret"])}
        programs = {name: platform.pid(name) for name in PROGRAMS}
        yield Target("Wharf", f"http://127.0.0.1:{platform.port}", "bench/app", programs, accounts)


@dataclass(frozen=True)
class Working:
    """A Wharf whose worker knows more kinds of jobs than a real one's."""

    platform: Platform
    programs: dict[str, int]
    """Of those that jobs are done by: program → process id."""


_WORK = """
from core.celery import app
from deploy.stack.programs import WORKERS
queues, processes = WORKERS["event"]
app.worker_main(["worker", "--hostname", "event@%h", "--queues", queues, "--concurrency", str(processes)])
"""


@contextmanager
def working(var: Path | None, kinds: str) -> Iterator[Working]:
    """A platform of its own, for as long as the block runs; `var` as of `wharf`. `kinds` is a program that registers
    jobs; the worker that runs it has the queues and processes of the platform's `event`, which is stopped."""
    with _platform(var) as platform:
        platform.stop("event")
        worker = platform.start_manage("shell", "--no-imports", "-c", kinds + _WORK)
        try:
            _wait_for_worker(platform)
            others = {name: platform.pid(name) for name in ("postgres", "redis")}
            yield Working(platform, {"event": worker.pid, **others})
        finally:
            worker.terminate()
            worker.wait(60)


def _wait_for_worker(platform: Platform) -> None:
    for _ in range(150):
        pools = platform.api("GET", "/jobservice/pools", platform.admin).json()
        if any(pool["worker_pool_id"].startswith("event@") for pool in pools):
            return
        time.sleep(0.2)
    raise RuntimeError("the worker does not start")


@dataclass(frozen=True)
class Crowded:
    """A Wharf that holds the large demo."""

    url: str
    project: int
    """The id of the project that has the crowds."""
    accounts: dict[str, str]
    """`admin` and `member` → their Authorization header; the member is a plain user in a tenth of all projects."""
    seeded: str
    """What seed_demo said at its end."""

    def credentials(self, account: str) -> dict[str, str]:
        return {"Authorization": self.accounts[account]}


@contextmanager
def crowded(var: Path | None) -> Iterator[Crowded]:
    """A platform of its own with the large demo, for as long as the block runs; `var` as of `wharf`."""
    with _platform(var) as platform:
        seeded = platform.manage("seed_demo", "--size", "large", seconds=3600)
        if seeded.returncode:
            raise RuntimeError(f"seed_demo: {seeded.stdout[-500:]}{seeded.stderr[-500:]}")
        (member,) = platform.api("GET", "/users?q=username=alice", platform.admin).json()
        changed = platform.api(
            "PUT", f"/users/{member['user_id']}/password", platform.admin, json={"new_password": PASSWORD}
        )
        changed.raise_for_status()
        project = platform.api("GET", "/projects/shop", platform.admin).json()["project_id"]
        accounts = {"admin": _basic(*platform.admin), "member": _basic("alice", PASSWORD)}
        said = seeded.stdout.strip().splitlines()[-1]
        yield Crowded(f"http://127.0.0.1:{platform.port}", project, accounts, said)


@dataclass(frozen=True)
class Stocked:
    """A Wharf whose store is filled beside it."""

    target: Target
    platform: Platform

    @property
    def store(self) -> Path:
        return self.platform.var / "registry"

    def adopt(self, other: Path) -> None:
        """Take over what is in another store."""
        stores.add(other, self.store)
        subprocess.run(["/usr/bin/chown", "-R", f"--reference={self.store}", str(self.store / "docker")], check=True)
        self.manage("adopt")

    def manage(self, *words: str) -> None:
        """manage.py; RuntimeError when it fails."""
        done = self.platform.manage(*words, seconds=3600)
        if done.returncode:
            raise RuntimeError(f"manage.py {words[0]}: {done.stdout[-500:]}{done.stderr[-500:]}")


@contextmanager
def stocked(var: Path | None) -> Iterator[Stocked]:
    """A platform of its own, for as long as the block runs; `var` as of `wharf`."""
    with _platform(var) as platform:
        platform.make_project("bench", platform.admin)
        programs = {name: platform.pid(name) for name in PROGRAMS}
        accounts = {"user": _basic(*platform.admin)}
        yield Stocked(Target("Wharf", f"http://127.0.0.1:{platform.port}", "bench/app", programs, accounts), platform)


@contextmanager
def calling(var: Path | None) -> Iterator[Platform]:
    """A platform of its own whose webhooks may call this machine, while the block runs; `var` as of `wharf`."""
    with _platform(var, WHARF_WEBHOOK_ALLOWED_NETWORKS="127.0.0.1/32") as platform:
        yield platform


@contextmanager
def _platform(var: Path | None, **settings: str) -> Iterator[Platform]:
    if var:
        var.parent.mkdir(parents=True, exist_ok=True)
    platform = new_platform(var, **settings)
    try:
        platform.up()
        yield platform
    finally:
        platform.down() if var else remove(platform)


def seconds_told(platform: Platform, program: str) -> float:
    """What a program that is run by the platform's manage.sh prints after MARK."""
    done = platform.manage("shell", "--no-imports", "-c", program)
    _, mark, seconds = done.stdout.rpartition(MARK)
    if not mark:
        raise RuntimeError(f"the benchmark's program failed: {done.stdout[-500:]}{done.stderr[-500:]}")
    return float(seconds)


def _basic(name: str, secret: str) -> str:
    return "Basic " + b64encode(f"{name}:{secret}".encode()).decode()


def _wait_for(url: str) -> None:
    for _ in range(100):
        try:
            requests.get(url, timeout=5)
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"nothing answers at {url}")
