"""What must be true of Wharf in containers. Each story gets a project and leaves it running or gone, as it says."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import requests

from deploy.stack import trial_tls
from tests.compose.engine import Failed
from tests.compose.stack import LONG_RUNNING, ONE_SHOT, PROJECT, Stack, settings_of

ONLY_DOOR = {"nginx"}


# --- with every compose --------------------------------------------------------------------------------------
def everything_starts_and_an_image_comes_back(stack: Stack) -> None:
    """Sign in, make a project, push, pull; Mallory gets nothing."""
    stack.up()
    stack.make_project("library-of-alice")
    stack.login()
    pushed = stack.push("library-of-alice/app:1")
    assert stack.pull("library-of-alice/app:1") == pushed
    refused = requests.get(f"{stack.url}/v2/library-of-alice/app/manifests/1", timeout=30)
    assert refused.status_code == 401, refused.text


def only_nginx_is_reachable_and_nobody_is_root(stack: Stack) -> None:
    """One published port, no root, no rights, no secret in an environment or a command line."""
    secrets = stack.exec("core", "sh", "-c", "cat $(find /var/lib/wharf/secrets -type f -maxdepth 1)").split()
    assert len(secrets) >= 7
    for service in (*LONG_RUNNING, *ONE_SHOT):
        container = stack.inspect(service)
        published = [port for ports in (container["NetworkSettings"]["Ports"] or {}).values() for port in ports or []]
        assert bool(published) == (service in ONLY_DOOR), f"{service} publishes {published}"
        assert container["Config"]["User"].split(":")[0] not in ("", "0", "root"), service
        assert container["HostConfig"]["CapDrop"] == ["ALL"], service
        assert not container["HostConfig"]["CapAdd"], service
        said = " ".join([*settings_of(container).values(), *container["Args"]])
        assert not [secret for secret in secrets if secret in said], f"{service} was told a secret in the open"
    assert {port["HostPort"] for ports in stack.inspect("nginx")["NetworkSettings"]["Ports"].values() if ports
            for port in ports} == {str(stack.port)}  # fmt: skip
    owners = {stack.exec(service, "id", "-u").strip() for service in ("core", "worker", "event", "bulk", "registry")}
    assert owners == {"10001"}, owners
    mounts = {mount["Destination"]: mount["RW"] for mount in stack.inspect("nginx")["Mounts"]}
    assert mounts == {"/etc/wharf": False, "/var/lib/wharf/registry": False}, mounts
    assert not _networks(stack, "nginx") & _networks(stack, "postgres"), "nginx can reach the database"
    assert _networks(stack, "redis") == {"none"}
    assert _fails(lambda: stack.exec("registry", "ls", "/var/lib/wharf/secrets")), "the registry sees the secrets"


def a_second_up_changes_nothing(stack: Stack) -> None:
    """The same containers, the same processes."""
    before = {name: (stack.containers(name), stack.pid(name)) for name in LONG_RUNNING}
    stack.up()
    assert before == {name: (stack.containers(name), stack.pid(name)) for name in LONG_RUNNING}


def down_takes_everything_along_when_told_to(stack: Stack) -> None:
    """`down -v` leaves no container, no volume, no network."""
    stack.down("-v")
    mine = f"label=com.docker.compose.project={stack.name}"
    assert not stack.volumes()
    assert not stack.engine.docker("ps", "--all", "--quiet", "--filter", mine).split()
    assert not stack.engine.docker("network", "ls", "--quiet", "--filter", mine).split()
    assert not stack.engine.docker("volume", "ls", "--quiet").split(), "anonymous volumes are left"


# --- with one of them ----------------------------------------------------------------------------------------
def unusable_settings_are_told_in_words(stack: Stack) -> None:
    """Nothing is started. The project is gone afterwards."""
    for said, words in (
        ({"WHARF_EXTERNAL_URL": "ftp://somewhere"}, "WHARF_EXTERNAL_URL is 'ftp://somewhere'; it must look like"),
        ({"WHARF_CORE_WORKERS": "many"}, "WHARF_CORE_WORKERS is 'many'; it must be a number"),
        ({"WHARF_STORE": "s3://bucket"}, "WHARF_STORE is set, but the containers keep their blobs in the volume"),
        ({"WHARF_ADMIN_PASSWORD": "weak"}, "WHARF_ADMIN_PASSWORD must be one line of 8 to 128 characters"),
    ):
        stack.settings.update(said)
        assert words in stack.up_refused("configuration")
        for name in said:
            del stack.settings[name]
        assert not stack.containers("core"), "core was started nevertheless"
        stack.down("-v")


def a_killed_init_does_no_harm(stack: Stack) -> None:
    """Killed -9 at moments of chance, `up` again makes it good. The project is up afterwards."""
    moments = random.Random()
    for service in ("configuration", "init", "init"):
        stack.down("-v")
        starting = stack.begin("up", "-d")
        _wait(partial(_runs, stack, service), f"{service} does not start")
        delay = moments.uniform(0.1, 2.0 if service == "init" else 0.6)
        time.sleep(delay)
        _fails(partial(stack.engine.docker, "kill", stack.containers(service)[0]))
        starting.communicate(timeout=300)
        # Not whether the engine took the order: what had just ended by itself may still have seemed to run.
        killed = stack.inspect(service)["State"]["ExitCode"] == 128 + signal.SIGKILL
        if killed:
            assert starting.returncode != 0, f"up went on without {service}"
        print(f"      {service} {'killed' if killed else 'had finished'} after {delay:.2f} s", flush=True)
        stack.up()
        assert stack.api("GET", "/users/current", stack.admin).status_code == 200


def each_program_comes_back_by_itself(stack: Stack) -> None:
    """kill -9 of one after the other, from outside: the restart policy, not compose, brings it back."""
    for service in LONG_RUNNING:
        before = stack.pid(service)
        os.kill(before, signal.SIGKILL)
        _wait(partial(_is_another, stack, service, before), f"{service} stays away")
        _wait(lambda: _health(stack) == "healthy", f"not healthy after {service} was killed", 90)


def jobs_run_and_outlive_their_worker(stack: Stack) -> None:
    """A dry run of garbage collection over the API; and one that is asked for while nobody is there to do it."""
    _collect_dry(stack)
    before = stack.pid("bulk")
    os.kill(before, signal.SIGKILL)
    _collect_dry(stack)
    assert _is_another(stack, "bulk", before), "somebody else did it"
    pools = {pool["worker_pool_id"].partition("@")[0] for pool in _asked(stack, "/jobservice/pools").json()}
    assert pools == {"worker", "event", "bulk"}, pools


def all_come_back_with_the_engine(stack: Stack) -> None:
    """The engine ends and starts again, as when the machine does: all at once, and without the one-shots."""
    pushed = stack.push("library-of-alice/app:reboot")
    stack.engine.restart()
    stack.wait_healthy()
    assert stack.pull("library-of-alice/app:reboot") == pushed


def worker_and_beat_are_well_too(stack: Stack) -> None:
    """Their own health checks say so; they are asked every half minute."""
    for service in ("worker", "event", "bulk", "beat"):
        _wait(partial(_is_well, stack, service), f"{service} is not well", 180)


def two_cores_share_the_work(stack: Stack) -> None:
    """`--scale core=2`: nginx finds both; one goes and its address with it, and no request fails for long."""
    stack.up("--scale", "core=2", "--no-recreate")
    cores = stack.containers("core")
    assert len(cores) == 2
    _wait(lambda: all(_served(stack, core) for core in cores), "nginx does not ask both cores")
    stack.up("--scale", "core=1", "--no-recreate")
    _wait(lambda: _all_answer(stack), "nginx still asks a core that is gone")
    # A new container has a new address when another took the old one meanwhile.
    stack.up("--force-recreate", "--no-deps", "core")
    _wait(lambda: _all_answer(stack), "nginx does not find the new core")


def the_key_of_tokens_is_changed_while_all_goes_on(stack: Stack) -> None:
    """Each step is noticed by the programs themselves; tokens of before and after are good until the last step."""
    stack.push("library-of-alice/app:rotation")
    old = stack.token(stack.admin, "library-of-alice/app")
    registry = stack.pid("registry")
    _step(stack, "prepare")
    _wait(partial(_is_another, stack, "registry", registry), "the registry does not take up the next certificate")
    stack.wait_healthy()
    assert _opens(stack, old)
    _step(stack, "switch")
    _wait(
        lambda: _certificate(stack.token(stack.admin, "library-of-alice/app")) != _certificate(old), "still the old key"
    )
    new = stack.token(stack.admin, "library-of-alice/app")
    assert _opens(stack, old), "a token of before the switch is refused too early"
    assert _opens(stack, new)
    registry = stack.pid("registry")
    _step(stack, "finish")
    _wait(partial(_is_another, stack, "registry", registry), "the registry does not forget the old certificate")
    stack.wait_healthy()
    _wait(lambda: _opens(stack, new) and not _opens(stack, old), "the old token is still good, or the new one is not")


def a_new_external_url_reaches_everybody(stack: Stack) -> None:
    """Said once, it is in the challenge of core and of the registry."""
    stack.settings["WHARF_EXTERNAL_URL"] = f"http://127.0.0.1:{stack.port}"
    stack.up()
    blob = f"{stack.url}/v2/library-of-alice/app/blobs/sha256:{'0' * 64}"
    expected = f'realm="http://127.0.0.1:{stack.port}/service/token"'
    for url in (f"{stack.url}/v2/", blob):
        _wait(partial(_challenges_with, url, expected), f"{url} still challenges with another realm")
    said = stack.exec("registry", "cat", "/etc/wharf/config.yml")
    assert f"realm: http://127.0.0.1:{stack.port}/service/token" in said
    del stack.settings["WHARF_EXTERNAL_URL"]
    stack.up()


def half_a_certificate_is_refused_and_a_whole_one_used(stack: Stack) -> None:
    """HTTPS with an authority of the story's own; plain HTTP is redirected; a renewal touches nginx alone."""
    folder = stack.engine.folder / "tls"
    folder.mkdir()
    trial_tls.make(folder, "localhost")
    stack.settings |= {"WHARF_TLS_CERT": f"{folder}/server.crt", "WHARF_TLS_KEY": f"{folder}/server.key"}
    assert "put COMPOSE_FILE=docker-compose.yml:docker-compose.https.yml into .env" in stack.up_refused("configuration")
    stack.overlays = [PROJECT / "docker-compose.https.yml"]
    stack.settings["WHARF_TLS_PORT"] = str(free_port())
    whole = (folder / "server.crt").read_text()
    (folder / "server.crt").write_text(whole[:300])
    assert "holds half a certificate" in stack.up_refused("configuration")
    (folder / "server.crt").write_text(whole)
    (folder / "server.key").chmod(0o600)
    stack.compose("up", "-d")
    url = f"https://localhost:{stack.settings['WHARF_TLS_PORT']}"
    _wait(partial(_speaks_https, url, folder), f"no HTTPS at {url}", 90)
    answer = requests.get(f"{stack.url}/v2/", allow_redirects=False, timeout=30)
    assert (answer.status_code, answer.headers["Location"]) == (308, f"{url}/v2/")
    answer = requests.get(f"{url}/v2/", verify=str(folder / "ca.crt"), timeout=30)
    assert f'realm="{url}/service/token"' in answer.headers["WWW-Authenticate"]
    assert answer.headers["Strict-Transport-Security"]
    owner = stack.exec("nginx", "stat", "--format", "%u:%g %a", "/etc/wharf/certificate.pem").strip()
    assert owner == "10001:10001 640", owner
    shown = ssl.get_server_certificate(("localhost", int(stack.settings["WHARF_TLS_PORT"])))
    before = {name: stack.pid(name) for name in LONG_RUNNING}
    trial_tls.make(folder, "localhost")
    stack.compose("up", "-d", "configuration")
    _wait(
        lambda: ssl.get_server_certificate(("localhost", int(stack.settings["WHARF_TLS_PORT"]))) != shown,
        "nginx still shows the old certificate",
    )
    assert before == {name: stack.pid(name) for name in LONG_RUNNING}
    for name in ("WHARF_TLS_CERT", "WHARF_TLS_KEY", "WHARF_TLS_PORT"):
        del stack.settings[name]
    stack.overlays = []
    stack.up()


def a_missing_volume_is_named_before_anything_is_changed(stack: Stack) -> None:
    """Each that matters is lost, named, and restored; the others may be lost."""
    pushed = stack.push("library-of-alice/app:kept")
    for name, service, words in (
        ("store", "init", "the database knows of images, but the store is empty: the volume `store` is missing"),
        ("database", "init", "the database is new, but the secrets belong to a platform that had one"),
        ("secrets", "init", "the database refuses the password in the volume `secrets`"),
    ):
        stack.down()
        stack.copy_volume(stack.volume(name), f"{stack.name}-backup")
        stack.remove_volume(name)
        assert words in stack.up_refused(service)
        assert not [each for each in ("core", "worker", "event", "bulk", "beat", "nginx") if _runs(stack, each)]
        stack.down()
        stack.remove_volume(name)
        stack.copy_volume(f"{stack.name}-backup", stack.volume(name))
        stack.engine.docker("volume", "rm", f"{stack.name}-backup")
        stack.up()
        assert stack.pull("library-of-alice/app:kept") == pushed
    stack.down()
    for name in [name for name in stack.volumes() if name.rsplit("_", 1)[1] not in ("store", "database", "secrets")]:
        stack.engine.docker("volume", "rm", name)
    stack.up()
    assert stack.pull("library-of-alice/app:kept") == pushed
    assert "0 left" in stack.exec("core", "python", "-m", "deploy.compose", "manage", "verify", "--deep")


def a_lost_store_can_be_given_up(stack: Stack) -> None:
    """What `init` says to do is what helps; images pushed again are there again."""
    stack.down()
    stack.remove_volume("store")
    said = stack.up_refused("init")
    command = said.split(": docker compose ", 1)[1].split()
    stack.compose(*command)
    stack.up()
    pushed = stack.push("library-of-alice/app:again")
    assert stack.pull("library-of-alice/app:again") == pushed


def a_changed_password_is_named_and_can_be_given_to_the_database(stack: Stack) -> None:
    """The page's own lines repair it."""
    _run_in_configuration(stack, "printf changed > /var/lib/wharf/secrets/database-password")
    assert "the password was changed" in stack.up_refused("init")
    stack.exec("postgres", "psql", "-U", "wharf", stdin=_lines_of_the_page())
    stack.up()
    assert stack.api("GET", "/users/current", stack.admin).status_code == 200


def _lines_of_the_page() -> str:
    return "\\set password `cat /etc/wharf/password`\nALTER ROLE wharf PASSWORD :'password';\n"


# --- what stories ask ----------------------------------------------------------------------------------------
def _fails(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except Failed:
        return True
    return False


def _wait(question: Callable[[], bool], failure: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        if time.monotonic() > deadline:
            raise AssertionError(failure)
        time.sleep(0.1)


def _networks(stack: Stack, service: str) -> set[str]:
    return set(stack.inspect(service)["NetworkSettings"]["Networks"])


def _runs(stack: Stack, service: str) -> bool:
    return bool(stack.containers(service)) and bool(stack.inspect(service)["State"]["Running"])


def _collect_dry(stack: Stack) -> None:
    body = {"schedule": {"type": "Manual"}, "parameters": {"dry_run": True}}
    answer = stack.api("POST", "/system/gc/schedule", stack.admin, json=body)
    assert answer.status_code == 201, answer.text
    run = answer.headers["Location"].removeprefix("/api/v2.0")
    _wait(lambda: _asked(stack, run).json()["job_status"] not in ("Pending", "Running"), f"{run} does not end", 180)
    said = _asked(stack, f"{run}/log").text
    assert _asked(stack, run).json()["job_status"] == "Success", said
    assert "The GC could free up" in said, said


def _asked(stack: Stack, path: str) -> requests.Response:
    return stack.api("GET", path, stack.admin)


def _is_well(stack: Stack, service: str) -> bool:
    return bool(stack.inspect(service)["State"]["Health"]["Status"] == "healthy")


def _is_another(stack: Stack, service: str, before: int) -> bool:
    """Whether the program runs as another process."""
    return stack.pid(service) not in (0, before)


def _challenges_with(url: str, words: str) -> bool:
    return words in requests.get(url, timeout=30).headers.get("WWW-Authenticate", "")


def _speaks_https(url: str, folder: Path) -> bool:
    try:
        answer = requests.get(f"{url}/api/v2.0/health", verify=str(folder / "ca.crt"), timeout=30)
    except requests.RequestException:
        return False
    return bool(answer.json().get("status") == "healthy") if answer.status_code == 200 else False


def _health(stack: Stack) -> str:
    try:
        return str(stack.api("GET", "/health").json().get("status"))
    except (requests.RequestException, ValueError):
        return "no answer"


def _all_answer(stack: Stack) -> bool:
    return all(stack.api("GET", "/ping").status_code == 200 for _ in range(20))


def _served(stack: Stack, core: str) -> bool:
    """Whether nginx holds or makes connections to this core."""
    for _ in range(10):
        stack.api("GET", "/ping")
    said = stack.engine.docker("exec", core, "cat", "/proc/net/tcp")
    # Port 8000, established.
    return bool(re.search(r":1F40 [0-9A-F]+:[0-9A-F]{4} (01|06) ", said))


def _step(stack: Stack, step: str) -> None:
    code = (
        "import os; from deploy.compose import rotation; from deploy.stack import settings; "
        f"rotation.step({step!r}, settings.parse(settings.said(os.environ)))"
    )
    stack.compose("run", "--rm", "--no-deps", "--entrypoint", "python", "configuration", "-c", code)


def _run_in_configuration(stack: Stack, line: str) -> None:
    stack.compose("run", "--rm", "--no-deps", "--entrypoint", "sh", "configuration", "-c", line)


def _opens(stack: Stack, token: str) -> bool:
    """Whether the registry itself takes it: nobody else reads a blob's bytes."""
    manifest = requests.get(
        f"{stack.url}/v2/library-of-alice/app/manifests/rotation",
        headers={"Authorization": f"Bearer {stack.token(stack.admin, 'library-of-alice/app')}"}, timeout=30,
    ).json()  # fmt: skip
    digest = manifest["layers"][0]["digest"]
    url = f"{stack.url}/v2/library-of-alice/app/blobs/{digest}"
    answer = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    return answer.status_code == 200


def _certificate(token: str) -> str:
    return token.split(".", 1)[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


WITH_EVERY_COMPOSE = (
    everything_starts_and_an_image_comes_back,
    only_nginx_is_reachable_and_nobody_is_root,
    a_second_up_changes_nothing,
    down_takes_everything_along_when_told_to,
)
WITH_V1 = (
    *WITH_EVERY_COMPOSE,
    unusable_settings_are_told_in_words,
    a_killed_init_does_no_harm,
    everything_starts_and_an_image_comes_back,
    each_program_comes_back_by_itself,
    jobs_run_and_outlive_their_worker,
    all_come_back_with_the_engine,
    worker_and_beat_are_well_too,
    two_cores_share_the_work,
    the_key_of_tokens_is_changed_while_all_goes_on,
    a_new_external_url_reaches_everybody,
    half_a_certificate_is_refused_and_a_whole_one_used,
    a_missing_volume_is_named_before_anything_is_changed,
    a_lost_store_can_be_given_up,
    a_changed_password_is_named_and_can_be_given_to_the_database,
    down_takes_everything_along_when_told_to,
)
