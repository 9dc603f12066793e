"""A part of the platform is dead, hangs or is full: clients get 503 in JSON or go on, and nothing is half recorded."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.e2e.client import Client, Repository, digest_of, make_image
from tests.e2e.platform import PROGRAMS, Platform, new_platform, remove

People = dict[str, tuple[str, str]]


@contextmanager
def dead(platform: Platform, program: str) -> Iterator[None]:
    """While inside, the program does not run."""
    platform.stop(program)
    try:
        yield
    finally:
        platform.start(program)
        platform.wait_healthy()


@contextmanager
def frozen(platform: Platform, program: str) -> Iterator[None]:
    """While inside, the program accepts connections and answers nothing."""
    pid = platform.pid(program)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        platform.wait_healthy()


def assert_unavailable(answer: requests.Response) -> None:
    assert answer.status_code == 503, (answer.status_code, answer.text)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json()["errors"][0]["code"] == "UNAVAILABLE"
    assert int(answer.headers["Retry-After"]) > 0


def test_with_a_dead_registry_manifests_are_pulled_and_pushes_wait(platform: Platform, app: Repository) -> None:
    image = make_image()
    app.push(image, "v1")
    fresh = make_image()
    for content in fresh.blobs.values():
        app.push_blob(content)
    with dead(platform, "registry"):
        assert app.get_manifest("v1").content == image.manifest
        assert app.call("HEAD", f"blobs/{next(iter(image.blobs))}").status_code == 200
        assert_unavailable(app.get_blob(next(iter(image.blobs))))
        assert_unavailable(app.call("POST", "blobs/uploads/"))
        assert_unavailable(app.put_manifest(fresh.manifest, "v2"))
    assert app.get_manifest("v2").status_code == 404
    app.push(fresh, "v2")
    assert app.pull("v2") is not None


def test_with_a_dead_postgres_everything_says_so_and_comes_back(platform: Platform, app: Repository) -> None:
    image = make_image()
    app.push(image, "v1")
    with dead(platform, "postgres"):
        assert_unavailable(app.get_manifest("v1"))
        assert_unavailable(app.put_manifest(image.manifest, "v2"))
        assert_unavailable(app.call("GET", "tags/list"))
        assert_unavailable(platform.api("GET", "/projects"))
        token = requests.get(f"{platform.url}/service/token", auth=app.client.user, timeout=30)
        assert_unavailable(token)
        # Blobs need no database while the token lives.
        digest, content = next(iter(image.blobs.items()))
        assert app.get_blob(digest).content == content
    for _ in range(40):
        # Every thread of core has a connection that died.
        assert app.get_manifest("v1").status_code == 200


def test_with_a_dead_redis_everything_goes_on(platform: Platform, app: Repository, people: People) -> None:
    with dead(platform, "redis"):
        image = make_image()
        Client(platform.url, people["bob"]).repository(app.name).push(image, "v1")
        assert app.pull("v1") is not None
        assert platform.api("GET", "/projects", people["alice"]).status_code == 200
        assert "Sign out" in _sign_in_on_the_page(platform, people["alice"])
        statuses = {
            requests.get(f"{platform.url}/service/token", auth=("bob", "wrong"), timeout=30).status_code
            for _ in range(25)
        }
        assert statuses == {401, 429}, "login limits must fall back to the process"
    # Bob's address is limited in the processes' memory now; that window ends within a minute and is his alone.
    assert app.pull("v1") is not None


def test_pulls_that_redis_could_not_count_are_recorded_as_a_gap(platform: Platform, app: Repository) -> None:
    app.push(make_image(), "v1")
    count_gaps = ("shell", "-c", "from projects.models import PullGap; print('gaps', PullGap.objects.count())")
    fold = ("shell", "-c", "from projects import pulls; print('folded', pulls.fold())")
    assert platform.manage(*fold).returncode == 0
    before = platform.manage(*count_gaps).stdout.strip().splitlines()[-1]
    with dead(platform, "redis"):
        for _ in range(20):
            assert app.get_manifest("v1").status_code == 200
    for _ in range(60):
        app.get_manifest("v1")
    folded = platform.manage(*fold)
    assert folded.returncode == 0, folded.stderr
    after = platform.manage(*count_gaps).stdout.strip().splitlines()[-1]
    assert int(after.split()[1]) > int(before.split()[1])


def test_pulls_are_counted(platform: Platform, app: Repository, people: People) -> None:
    app.push(make_image(), "v1")
    for _ in range(3):
        app.get_manifest("v1")
    app.call("HEAD", "manifests/v1")
    assert platform.manage("shell", "-c", "from projects import pulls; pulls.fold()").returncode == 0
    name = app.name.partition("/")[2]
    repository = platform.api("GET", f"/projects/team/repositories/{name}", people["alice"]).json()
    assert repository["pull_count"] == 3
    artifact = platform.api("GET", f"/projects/team/repositories/{name}/artifacts/v1", people["alice"]).json()
    assert artifact["pull_time"] > artifact["push_time"][:19]
    assert artifact["tags"][0]["pull_time"] == artifact["pull_time"]


def test_a_hanging_redis_costs_seconds_not_answers(platform: Platform, app: Repository) -> None:
    app.push(make_image(), "v1")
    with frozen(platform, "redis"):
        began = time.monotonic()
        for _ in range(5):
            assert app.get_manifest("v1").status_code == 200
        app.push(make_image(), "v2")
        assert time.monotonic() - began < 40


def test_a_full_disk_is_503_and_leaves_nothing_half(people: People) -> None:
    running = new_platform()
    store = running.var / "registry"
    store.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(store)], check=True)
    try:
        running.up()
        running.make_project("team", running.admin)
        app = Client(running.url, running.admin).repository("team/app")
        small = make_image()
        app.push(small, "before")
        waiting = make_image(os.urandom(1000))
        for content in waiting.blobs.values():
            app.push_blob(content)
        _fill(store / "filler")
        assert_unavailable(_upload(app, os.urandom(3_000_000)))
        assert_unavailable(app.put_manifest(waiting.manifest, "during"))
        assert app.get_manifest("during").status_code == 404
        assert app.pull("before") is not None
        (store / "filler").unlink()
        app.push(waiting, "after")
        assert app.pull("after") is not None
        verified = running.manage("verify", "--repair")
        assert verified.returncode == 0, verified.stdout
    finally:
        running.command("down")
        subprocess.run(["umount", str(store)], check=True)
        remove(running)


def test_no_other_user_and_no_other_host_gets_around_the_proxy(platform: Platform, people: People) -> None:
    """The sockets are closed to other users, and nobody but nginx listens on a port."""
    for name in ("registry.sock", "redis.sock", "core.sock", ".s.PGSQL.5432", "supervisor.sock"):
        path = platform.var / "run" / name
        assert path.exists()
        connect = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
        tried = subprocess.run(
            ["runuser", "-u", "nobody", "--", "/usr/bin/python3", "-c", connect], capture_output=True, text=True
        )
        assert "PermissionError" in tried.stderr, name
    for name in ("secrets/admin-password", "secrets/token/current.key", "registry", "postgres", "redis", "etc"):
        tried = subprocess.run(
            ["runuser", "-u", "nobody", "--", "ls", "-R", str(platform.var / name)], capture_output=True, text=True
        )
        assert "Permission denied" in tried.stderr, name
    ours = _process_tree({platform.pid(program) for program in PROGRAMS})
    listening = {port for pid, port in _listening_ports() if pid in ours}
    assert listening == {platform.port}


def test_nothing_runs_as_root(platform: Platform, people: People) -> None:
    pids = _process_tree({platform.pid(program) for program in PROGRAMS})
    assert len(pids) > len(PROGRAMS)
    assert all(os.stat(f"/proc/{pid}").st_uid != 0 for pid in pids)


def _sign_in_on_the_page(platform: Platform, user: tuple[str, str]) -> str:
    """The page that a browser sees after signing in."""
    browser = requests.Session()
    form = browser.get(f"{platform.url}/sign-in", timeout=30).text
    token = form.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    fields = {"username": user[0], "password": user[1], "csrfmiddlewaretoken": token}
    headers = {"Referer": f"{platform.url}/sign-in"}
    return browser.post(f"{platform.url}/sign-in", data=fields, headers=headers, timeout=30).text


def _upload(app: Repository, content: bytes) -> requests.Response:
    """The first answer that is not what an upload hopes for, or the last."""
    answer = app.call("POST", "blobs/uploads/")
    if answer.status_code == 202:
        answer = app.patch(app._absolute(answer.headers["Location"]), content)
    if answer.status_code == 202:
        answer = app.finish_upload(app._absolute(answer.headers["Location"]), digest_of(content))
    return answer


def _fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def _process_tree(roots: set[int]) -> set[int]:
    found, waiting = set(), list(roots)
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as children:
                waiting += [int(child) for child in children.read().split()]
    return found


def _listening_ports() -> list[tuple[int, int]]:
    """(pid, port) of every TCP socket that listens."""
    by_inode = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            for line in list(lines)[1:]:
                words = line.split()
                if words[3] == "0A":
                    by_inode[f"socket:[{words[9]}]"] = int(words[1].rsplit(":", 1)[1], 16)
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            for handle in os.listdir(f"/proc/{pid}/fd"):
                target = os.readlink(f"/proc/{pid}/fd/{handle}")
                if target in by_inode:
                    found.append((int(pid), by_inode[target]))
        except OSError:
            continue
    return found
