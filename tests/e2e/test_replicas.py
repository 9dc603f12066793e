"""Three cores, two workers and two beats are one platform, also when the clocks of some of them are ten minutes off.

core and worker have the right time; core-2 is ahead, core-3 behind, worker-2 ahead, beat-2 behind.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from requests_unixsocket.adapters import UnixAdapter

from tests.e2e.client import Client, Repository, make_image
from tests.e2e.platform import PASSWORD, Platform, new_platform, remove

CORES = ("core", "core-2", "core-3")
OFF = {"core-2": "+600", "core-3": "-600", "worker-2": "+600", "beat-2": "-600"}


@pytest.fixture(scope="module")
def replicas() -> Iterator[Platform]:
    running = new_platform(WHARF_CORE_REPLICAS="3", WHARF_WORKER_REPLICAS="2", WHARF_BEAT_REPLICAS="2")
    try:
        running.up()
        for program, seconds in OFF.items():
            _set_clock(running, program, seconds)
        running.control("update")
        for program in OFF:
            running.start(program)
        for name in CORES:
            _wait(partial(_answers, running, name))
        running.make_project("team", running.make_user("alice"))
        yield running
    finally:
        remove(running)


@pytest.fixture
def alice(replicas: Platform) -> tuple[str, str]:
    return "alice", PASSWORD


@pytest.fixture
def app(replicas: Platform, alice: tuple[str, str], request: pytest.FixtureRequest) -> Repository:
    name = request.node.name.split("[")[0].replace("_", "-")[:60].strip("-")
    return Client(replicas.url, alice).repository(f"team/{name}")


def at(platform: Platform, name: str, user: tuple[str, str] | None = None) -> Client:
    """A client of this replica alone, past nginx."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http+unix://", UnixAdapter())  # type: ignore[no-untyped-call]
    session.headers.update({"Host": platform.host, "X-Real-IP": "192.0.2.1"})
    return Client(f"http+unix://{quote(str(platform.var / 'run' / f'{name}.sock'), safe='')}", user, session=session)


def test_their_clocks_are_off_indeed(replicas: Platform) -> None:
    for name in CORES:
        said = at(replicas, name).call("GET", "/api/v2.0/ping").headers["Date"]
        off = datetime.strptime(said, "%a, %d %b %Y %H:%M:%S GMT").timestamp() - time.mktime(time.gmtime())
        assert off == pytest.approx(int(OFF.get(name, 0)), abs=60), name


def test_push_pull_and_delete_across_all(replicas: Platform, app: Repository) -> None:
    """nginx gives each request to the next one; a fresh token each time comes from any of them."""
    for number in range(12):
        image = make_image()
        app.client.tokens.clear()
        app.push(image, f"v{number}")
        app.client.tokens.clear()
        pulled = app.pull(f"v{number}")
        assert pulled is not None
        assert pulled.blobs == image.blobs
        app.client.tokens.clear()
        assert app.call("DELETE", f"manifests/v{number}").status_code == 202
        assert app.get_manifest(f"v{number}").status_code == 404
    assert replicas.manage("verify", "--deep").stdout.strip() == "0 disagreements, 0 repaired, 0 left"


@pytest.mark.parametrize("signer", CORES)
def test_a_token_of_one_is_good_at_all_and_at_the_registry(
    replicas: Platform, app: Repository, alice: tuple[str, str], signer: str
) -> None:
    image = make_image()
    app.push(image, "v1")
    token = at(replicas, signer, alice).token(*app.scopes)
    for name in CORES:
        client = at(replicas, name)
        client.tokens[" ".join(app.scopes)] = token
        assert client.repository(app.name).get_manifest("v1").content == image.manifest, name
    app.client.tokens[" ".join(app.scopes)] = token
    digest, content = next(iter(image.blobs.items()))
    assert app.get_blob(digest).content == content


def test_an_expired_token_is_refused_by_all(replicas: Platform, app: Repository) -> None:
    app.push(make_image(), "v1")
    sign = (
        f"from core.store import signing; print('token', signing.sign(subject='alice', lifetime=-5, access="
        f"[dict(type='repository', name={app.name!r}, actions=['pull'])]))"
    )
    token = replicas.manage("shell", "-c", sign).stdout.split()[-1]
    for name in CORES:
        client = at(replicas, name)
        client.tokens[" ".join(app.scopes)] = token
        answer = client.repository(app.name).get_manifest("v1")
        assert (answer.status_code, "expired" in answer.text) == (401, True), name


def test_pushes_are_in_the_order_in_which_they_were_made(
    replicas: Platform, app: Repository, alice: tuple[str, str]
) -> None:
    order = [*CORES, *reversed(CORES)]
    for number, name in enumerate(order):
        image = make_image()
        for content in image.blobs.values():
            app.push_blob(content)
        answer = at(replicas, name, alice).repository(app.name).put_manifest(image.manifest, f"v{number}")
        assert answer.status_code == 201, (name, answer.text)
    listed = replicas.api(
        "GET", f"/projects/team/repositories/{app.name.partition('/')[2]}/artifacts?sort=push_time", alice
    ).json()
    assert [each["tags"][0]["name"] for each in listed] == [f"v{number}" for number in range(len(order))]


@pytest.mark.parametrize("entered", CORES)
def test_who_signed_in_at_one_is_signed_in_at_all_until_he_signs_out(
    replicas: Platform, alice: tuple[str, str], entered: str
) -> None:
    cookies = _sign_in(replicas, entered, alice)
    for name in CORES:
        assert _who(replicas, name, cookies) == "alice", name
    # Now from the database alone.
    flush = "from core import redis; print(redis.ask(lambda r: r.flushall()))"
    assert replicas.manage("shell", "-c", flush).returncode == 0
    for name in CORES:
        assert _who(replicas, name, cookies) == "alice", name
    left = next(name for name in CORES if name != entered)
    assert (
        _page(replicas, left, "POST", "/sign-out", cookies, _form_token(replicas, entered, cookies)).status_code == 302
    )
    assert [_who(replicas, name, cookies) for name in CORES] == [None] * len(CORES)


def test_a_csrf_token_of_one_is_good_at_the_others(replicas: Platform, alice: tuple[str, str]) -> None:
    cookies = _sign_in(replicas, "core", alice)
    for giver, taker in (("core", "core-2"), ("core-2", "core-3"), ("core-3", "core")):
        given = at(replicas, giver).call("GET", "/api/v2.0/users/current", headers=_cookie(cookies))
        headers = {**_cookie(cookies), "X-Harbor-CSRF-Token": given.headers["X-Harbor-CSRF-Token"]}
        body = {"project_name": f"made-at-{taker}"}
        assert at(replicas, taker).call("POST", "/api/v2.0/projects", headers=headers, json=body).status_code == 201
        without = at(replicas, taker).call("POST", "/api/v2.0/projects", headers=_cookie(cookies), json=body)
        assert without.status_code == 403


def test_failed_logins_are_counted_together(replicas: Platform) -> None:
    name, password = replicas.make_user("unlucky")
    for number in range(10):
        wrong = at(replicas, CORES[number % 3], (name, "Wrong12345"))
        answer = wrong.session.get(f"{wrong.url}/service/token", auth=wrong.user, timeout=30)
        assert answer.status_code == 401
    for core in CORES:
        right = at(replicas, core, (name, password))
        answer = right.session.get(f"{right.url}/service/token", auth=right.user, timeout=30)
        assert answer.status_code == 429, core
        assert 0 < int(answer.headers["Retry-After"]) <= 60


def test_a_changed_password_is_changed_everywhere_at_once(replicas: Platform) -> None:
    name, old = replicas.make_user("changer")
    for core in CORES:
        assert _token_status(replicas, core, (name, old)) == 200
    body = {"old_password": old, "new_password": "Another12345"}
    user_id = replicas.api("GET", "/users/current", (name, old)).json()["user_id"]
    changed = at(replicas, "core-2").session.put(
        f"{at(replicas, 'core-2').url}/api/v2.0/users/{user_id}/password", json=body, auth=(name, old), timeout=30
    )
    assert changed.status_code == 200, changed.text
    assert [_token_status(replicas, core, (name, old)) for core in CORES] == [401] * 3
    assert [_token_status(replicas, core, (name, "Another12345")) for core in CORES] == [200] * 3


def test_a_setting_changed_by_another_process_holds_everywhere(replicas: Platform, alice: tuple[str, str]) -> None:
    def says(name: str, wanted: bool) -> bool:
        client = at(replicas, name)
        answer = client.session.get(f"{client.url}/api/v2.0/systeminfo", auth=alice, timeout=30).json()
        return bool(answer["read_only"]) is wanted

    def change(wanted: bool) -> None:
        words = f"from core import configuration; configuration.change(read_only={wanted})"
        assert replicas.manage("shell", "-c", words).returncode == 0

    try:
        change(True)
        for name in CORES:
            _wait(partial(says, name, True))
    finally:
        change(False)
    for name in CORES:
        _wait(partial(says, name, False))


def test_what_an_admin_configures_at_one_core_holds_at_all(replicas: Platform) -> None:
    def says(name: str, wanted: str) -> bool:
        return bool(at(replicas, name).call("GET", "/api/v2.0/systeminfo").json()["banner_message"] == wanted)

    for one, words in zip(CORES, ("", '{"message": "Closed on Friday"}', ""), strict=True):
        changed = at(replicas, one).session.put(
            f"{at(replicas, one).url}/api/v2.0/configurations",
            json={"banner_message": words},
            auth=replicas.admin,
            timeout=30,
        )
        assert changed.status_code == 200, changed.text
        for name in CORES:
            _wait(partial(says, name, words))


def test_of_twenty_bells_two_workers_make_one_run(replicas: Platform) -> None:
    name = "jobservice.housekeeping.make_partitions"
    before = _handled(replicas), _runs(replicas, name)
    forget = "from jobservice.models import UpkeepRun; UpkeepRun.objects.all().delete(); "
    ring = f"from jobservice.tasks import upkeep; [upkeep.delay({name!r}) for _ in range(20)]"
    rung = replicas.manage("shell", "-c", forget + ring)
    assert rung.returncode == 0, rung.stderr
    _wait(lambda: _handled(replicas) >= before[0] + 20)
    assert _runs(replicas, name) == before[1] + 1


def test_both_beats_ring_and_what_they_ring_for_is_done(replicas: Platform) -> None:
    for beat in ("beat", "beat-2"):
        _wait(partial(_says, replicas, beat, "Sending due task projects.housekeeping.fold_pulls"))
    _wait(lambda: _runs(replicas, "projects.housekeeping.fold_pulls") > 0)


def test_a_killed_core_costs_no_pull(replicas: Platform, app: Repository) -> None:
    """What may be asked twice nginx asks of the next one, and those who are alive are always among them."""
    image = make_image()
    app.push(image, "v1")
    statuses: list[int] = []
    stop = threading.Event()

    def pull() -> None:
        mine = Client(replicas.url, app.client.user, tokens=dict(app.client.tokens)).repository(app.name)
        while not stop.is_set():
            statuses.append(mine.get_manifest("v1").status_code)

    pullers = [threading.Thread(target=pull) for _ in range(3)]
    for puller in pullers:
        puller.start()
    try:
        for name in CORES:
            before = replicas.pid(name)
            replicas.kill(name, signal.SIGKILL)
            _wait(partial(_is_another, replicas, name, before))
    finally:
        stop.set()
        for puller in pullers:
            puller.join(60)
    assert len(statuses) > 50
    assert set(statuses) == {200}


def test_fewer_replicas_are_a_setting_and_cost_no_restart_of_nginx(replicas: Platform, app: Repository) -> None:
    image = make_image()
    app.push(image, "v1")
    nginx = replicas.pid("nginx")
    replicas.extra["WHARF_CORE_REPLICAS"] = "2"
    said = replicas.up()
    assert "stopped core-3" in said
    assert replicas.pid("nginx") == nginx
    assert replicas.pid("core-3") == 0
    assert not (replicas.var / "run" / "core-3.sock").exists()
    assert "core-3" not in replicas.command("status").stdout
    for _ in range(6):
        assert app.get_manifest("v1").status_code == 200


def test_a_configuration_that_nginx_refuses_is_said_and_changes_nothing(replicas: Platform) -> None:
    nginx, path = replicas.pid("nginx"), replicas.var / "app" / "deploy" / "nginx" / "maps.conf"
    good = path.read_text()
    path.write_text(good + "nonsense;\n")
    try:
        refused = replicas.command("up")
    finally:
        path.write_text(good)
    assert refused.returncode != 0
    assert "nginx refuses its new configuration and goes on with the old one" in refused.stderr
    assert 'unknown directive "nonsense"' in refused.stderr
    assert replicas.pid("nginx") == nginx
    replicas.wait_healthy()
    replicas.up()


# --- clocks -------------------------------------------------------------------------------------------------
def _set_clock(platform: Platform, program: str, seconds: str) -> None:
    """Start this program under libfaketime from the next `update` of the supervisor on."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    # Debian's libfaketime spoils time.sleep (a wait for a moment of the uptime, from which it takes the difference).
    mended = platform.var.parent / "sleep" / "sitecustomize.py"
    mended.parent.mkdir(exist_ok=True)
    mended.write_text("import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds)\n")
    said = {
        "LD_PRELOAD": str(library),
        "FAKETIME": seconds,
        # Neither the clock that timeouts are measured by nor the age of files: those no wrong clock changes.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "PYTHONPATH": str(mended.parent),
    }
    pairs = "".join(f'{name}="{value}",' for name, value in said.items())
    path = platform.var / "etc" / "supervisord.conf"
    before, section, after = path.read_text().partition(f"[program:{program}]\n")
    assert section
    path.write_text(before + section + after.replace("environment=", f"environment={pairs}", 1))


# --- signing in ---------------------------------------------------------------------------------------------
def _sign_in(platform: Platform, name: str, user: tuple[str, str]) -> dict[str, str]:
    client = at(platform, name)
    form = client.call("GET", "/sign-in")
    cookies = form.cookies.get_dict()
    fields = {"username": user[0], "password": user[1], "csrfmiddlewaretoken": _token_in(form.text)}
    client.session.cookies.clear()
    answer = client.call("POST", "/sign-in", headers=_cookie(cookies), data=fields)
    assert answer.status_code == 302, answer.text
    return {**cookies, **answer.cookies.get_dict()}


def _page(
    platform: Platform, name: str, method: str, path: str, cookies: dict[str, str], token: str
) -> requests.Response:
    return at(platform, name).call(method, path, headers=_cookie(cookies), data={"csrfmiddlewaretoken": token})


def _form_token(platform: Platform, name: str, cookies: dict[str, str]) -> str:
    return _token_in(at(platform, name).call("GET", "/", headers=_cookie(cookies)).text)


def _token_in(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found
    return found[1]


def _who(platform: Platform, name: str, cookies: dict[str, str]) -> str | None:
    answer = at(platform, name).call("GET", "/api/v2.0/users/current", headers=_cookie(cookies))
    assert answer.status_code in (200, 401), answer.text
    return str(answer.json()["username"]) if answer.status_code == 200 else None


def _cookie(cookies: dict[str, str]) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}


def _token_status(platform: Platform, name: str, user: tuple[str, str]) -> int:
    client = at(platform, name)
    return client.session.get(f"{client.url}/service/token", auth=user, timeout=30).status_code


# --- watching ------------------------------------------------------------------------------------------------
def _answers(platform: Platform, name: str) -> bool:
    try:
        return at(platform, name).call("GET", "/api/v2.0/ping").status_code == 200
    except requests.RequestException:
        return False


def _is_another(platform: Platform, name: str, before: int) -> bool:
    return platform.pid(name) not in (0, before) and _answers(platform, name)


def _says(platform: Platform, program: str, words: str) -> bool:
    return words in _whole_log(platform, program)


def _runs(platform: Platform, name: str) -> int:
    return sum(
        "upkeep_ran" in line and name in line
        for worker in ("worker", "worker-2")
        for line in _whole_log(platform, worker).splitlines()
    )


def _handled(platform: Platform) -> int:
    return sum(
        len(re.findall(r"Task jobservice\.tasks\.upkeep\[.*\] succeeded", _whole_log(platform, worker)))
        for worker in ("worker", "worker-2")
    )


def _whole_log(platform: Platform, program: str) -> str:
    return (platform.var / "log" / f"{program}.log").read_text(errors="replace")


def _wait(question: Callable[[], Any], seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if question():
            return
        time.sleep(0.2)
    raise AssertionError("waited in vain")
