"""make up, down and status: what they promise."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import time
from collections.abc import Iterator

import pytest

from tests.e2e.client import Client, make_image
from tests.e2e.platform import PROGRAMS, Platform, new_platform, remove


@pytest.fixture(scope="module")
def own() -> Iterator[Platform]:
    running = new_platform(WHARF_ADMIN_PASSWORD="Preset12345", WHARF_VENV="")
    try:
        running.up()
        yield running
    finally:
        remove(running)


def pids(platform: Platform) -> dict[str, int]:
    return {program: platform.pid(program) for program in PROGRAMS}


def test_up_says_where_it_is_and_where_the_password_lies(own: Platform) -> None:
    said = own.up()
    assert own.url in said
    assert f"{own.var}/secrets/admin-password" in said
    assert "Preset12345" not in said
    password = own.var / "secrets" / "admin-password"
    assert password.read_text().strip() == "Preset12345"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert own.api("GET", "/users/current", own.admin).json()["username"] == "admin"


def test_a_second_up_takes_seconds_and_changes_nothing(own: Platform) -> None:
    before, began = pids(own), time.monotonic()
    own.up()
    assert time.monotonic() - began < 15
    assert pids(own) == before


def test_status_tells_what_runs(own: Platform) -> None:
    good = own.command("status")
    assert good.returncode == 0, good.stdout
    assert all(program in good.stdout for program in PROGRAMS)
    own.stop("worker")
    bad = own.command("status")
    own.start("worker")
    assert bad.returncode != 0
    assert "stopped" in bad.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_killed_program_comes_back_by_itself(own: Platform, program: str) -> None:
    before = own.pid(program)
    own.kill(program)
    deadline = time.monotonic() + 30
    while own.pid(program) in (0, before) and time.monotonic() < deadline:
        time.sleep(0.1)
    own.wait_healthy()
    assert own.pid(program) not in (0, before)


def test_data_survive_down_and_up_and_a_killed_supervisor(own: Platform) -> None:
    own.make_project("team", own.admin)
    app = Client(own.url, own.admin).repository("team/kept")
    image = make_image()
    app.push(image, "v1")
    own.down()
    assert own.command("status").returncode != 0
    assert own.command("down").returncode == 0
    own.up()
    assert app.pull("v1") is not None
    # As after a power cut: nothing was told to stop, and every pid file and socket is still there.
    supervisor = int(own.control("pid").strip())
    running = pids(own)
    os.kill(supervisor, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(os.path.exists(f"/proc/{pid}") for pid in running.values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    own.up()
    pulled = app.pull("v1")
    assert pulled is not None
    assert pulled.blobs == image.blobs


def test_a_newer_checkout_restarts_the_program_but_not_the_stores(own: Platform) -> None:
    before = pids(own)
    # The running copy differs from the checkout, as it does after `git pull`.
    (own.var / "app" / ".fingerprint").write_text("an older one")
    (own.var / "etc" / "prepared-for").write_text("an older one")
    marker = own.var / "app" / "core" / "of_an_older_version.py"
    marker.write_text("")
    own.up()
    assert not marker.exists()
    after = pids(own)
    assert {name for name in PROGRAMS if before[name] == after[name]} >= {"postgres", "redis", "registry"}


def test_changed_settings_take_effect_and_are_remembered(own: Platform) -> None:
    before = own.pid("postgres")
    own.extra["WHARF_TOKEN_EXPIRATION"] = "7"
    own.up()
    del own.extra["WHARF_TOKEN_EXPIRATION"]
    own.up()
    answer = Client(own.url, own.admin).call("GET", "/service/token")
    assert answer.json()["expires_in"] == 420
    assert own.pid("postgres") == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"WHARF_PORT": "http"}, "WHARF_PORT is 'http'; it must be a number from 1 to 65535"),
        ({"WHARF_EXTERNAL_URL": "registry.example.com"}, "it must look like http"),
        ({"WHARF_CORE_WORKERS": "0"}, "WHARF_CORE_WORKERS is '0'"),
        ({"WHARF_TLS_CERT": "/nowhere.crt"}, "HTTPS needs both WHARF_TLS_CERT and WHARF_TLS_KEY"),
        ({"WHARF_TLS_CERT": "/nowhere.crt", "WHARF_TLS_KEY": "/nowhere.key"}, "/nowhere.crt does not exist"),
    ],
)
def test_a_wrong_setting_is_one_clear_sentence(settings: dict[str, str], words: str) -> None:
    platform = new_platform()
    platform.extra.update(settings)
    refused = platform.command("up")
    assert refused.returncode != 0
    assert words in refused.stderr
    assert not platform.var.exists()
    shutil.rmtree(platform.var.parent)


def test_a_port_in_use_is_said_before_anything_is_changed() -> None:
    platform = new_platform()
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", platform.port))
        taken.listen()
        refused = platform.command("up")
    assert refused.returncode != 0
    assert f"port {platform.port} cannot be used" in refused.stderr
    assert not platform.var.exists()
    shutil.rmtree(platform.var.parent)


def test_rotation_of_the_signing_key_refuses_no_good_token(own: Platform) -> None:
    """Two certificates are trusted between `prepare` and `finish`."""
    import subprocess

    app = Client(own.url, own.admin).repository("team/rotated")
    image = make_image()
    app.push(image, "v1")
    keys = ["runuser", "-u", "wharf", "--", str(own.var / "venv/bin/python"), str(own.var / "app/deploy/keys.py")]
    old = app.client.token(*app.scopes)
    for step in ("prepare", "switch"):
        subprocess.run([*keys, step, str(own.var / "secrets")], check=True, cwd="/")
        own.up()
        assert app.pull("v1") is not None, step
    new = app.client.token(*app.scopes, fresh=True)
    assert old.split(".")[0] != new.split(".")[0]
    assert app.pull("v1") is not None
    subprocess.run([*keys, "finish", str(own.var / "secrets")], check=True, cwd="/")
    own.up()
    assert app.pull("v1") is not None
    app.client.tokens[" ".join(app.scopes)] = old
    assert app.get_manifest("v1").status_code == 401
    assert app.get_blob(next(iter(image.blobs))).status_code == 401
