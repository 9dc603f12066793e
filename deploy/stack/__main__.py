"""`python3 -m deploy.stack up|down|status|logs|rotate-token-key|manage …`, as root."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.stack import installation, supervisor
from deploy.stack import layout as layouts
from deploy.stack import settings as operator
from deploy.stack.layout import Layout
from deploy.stack.programs import APPLICATION, STORES, configuration_files, programs
from deploy.stack.settings import Settings, Unusable

HEALTHY_WITHIN = 90
# Tokens live five minutes by default and the registry forgives another one.
LEEWAY = 60


def main() -> None:
    """Run one command; an operator's mistake ends in one sentence and exit code 1."""
    user = os.environ.get("WHARF_USER", "wharf")
    layout, word = layouts.find(user)
    commands = {
        "up": up,
        "down": down,
        "status": status,
        "logs": logs,
        "manage": manage,
        "rotate-token-key": rotate_token_key,
    }
    try:
        if word and sys.argv[1] == "up":
            say(word)
        commands[sys.argv[1]](layout)
    except Unusable as problem:
        sys.exit(f"wharf: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)


def up(layout: Layout) -> None:
    """Bring everything up to this checkout and these settings; changes nothing that is so already."""
    said = operator.remembered(layout.etc)
    settings = operator.parse(said)
    if not supervisor.is_running(layout):
        _check_port(settings.port)
    layout.make_folders()
    code = installation.program_fingerprint()
    libraries = installation.libraries_fingerprint()
    if installation.install_program(layout, code):
        say(f"copied the program to {layout.app}")
    if not (layout.venv / ".fingerprint").exists():
        say("installing the Python libraries (about half a minute)")
    installation.install_libraries(layout, libraries)
    preset = {name: os.environ[name] for name in ("WHARF_ADMIN_PASSWORD",) if name in os.environ}
    _keys(layout, "init", extra=preset)
    _make_cluster(layout)
    _write_configuration(layout, settings, code + libraries)
    operator.remember(layout.etc, said)
    _start_stores(layout)
    _prepare_database(layout, settings, code + libraries)
    _start_application(layout)
    _wait_until_healthy(layout, settings)
    _tell(layout, settings)


def down(layout: Layout) -> None:
    """Stop exactly what `up` started."""
    if not supervisor.is_running(layout):
        say("nothing is running")
        return
    pid = int(supervisor.control(layout, "pid").stdout)
    say("stopping " + ", ".join(reversed((*STORES, *APPLICATION))))
    # First the doors, then who works behind them, the stores at last.
    for name in ("nginx", "core", "beat", "worker", *reversed(STORES)):
        supervisor.control(layout, "stop", name, check=False)
    supervisor.control(layout, "shutdown", check=False)
    deadline = time.monotonic() + 120
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            raise Unusable(f"supervisord (pid {pid}) does not stop; see {layout.log}/supervisord.log")
        time.sleep(0.1)
    say("stopped; the data stay in " + str(layout.var))


def status(layout: Layout) -> None:
    """Every program's state and the platform's health; exit code 1 when something is off."""
    states = supervisor.states(layout)
    if not states:
        sys.exit("wharf: nothing is running; start it with make up")
    for name in (*STORES, *APPLICATION):
        say(f"{name:10} {states.get(name, 'MISSING').lower()}")
    settings = operator.parse(operator.remembered(layout.etc))
    health = _health(settings)
    for component in health.get("components", []):
        say(f"{component['name']:10} {component['status']} (asked through {settings.external_url})")
    if set(states.values()) != {"RUNNING"} or health.get("status") != "healthy":
        sys.exit(1)


def logs(layout: Layout) -> None:
    """Follow all logs, or PROGRAM's alone."""
    chosen = os.environ.get("PROGRAM")
    files = [layout.log / f"{chosen}.log"] if chosen else sorted(layout.log.glob("*.log"))
    if not files or not files[0].exists():
        sys.exit(f"wharf: there is no log {files[0] if files else layout.log}")
    os.execvp("tail", ["tail", "-n", "20", "-F", *map(str, files)])


def manage(layout: Layout) -> None:
    """manage.py with the platform's own environment; the arguments are passed on."""
    settings = operator.parse(operator.remembered(layout.etc))
    environment = {**layout.environment(), "WHARF_EXTERNAL_URL": settings.external_url, **settings.passed_on}
    program = [str(layout.venv / "bin" / "python"), str(layout.app / "manage.py"), *sys.argv[2:]]
    os.chdir(layout.app)
    command = layout.as_user(*program, environment=environment)
    os.execvp(command[0], command)


def rotate_token_key(layout: Layout) -> None:
    """A new key for signing tokens, without a moment in which a good token is refused."""
    settings = operator.parse(operator.remembered(layout.etc))
    lifetime = int(settings.passed_on.get("WHARF_TOKEN_EXPIRATION", "5")) * 60
    expiry = lifetime + LEEWAY
    for step, word, wait in (
        ("prepare", "the registry learns the next certificate", 0),
        ("switch", f"the next key signs; waiting {expiry} s for the old tokens to expire", expiry),
        ("finish", "the old certificate is trusted no more", 0),
    ):
        say(word)
        _keys(layout, step)
        _write_configuration(layout, settings, _code(layout))
        supervisor.control(layout, "update")
        supervisor.control(layout, "start", *APPLICATION, check=False)
        _wait_until_healthy(layout, settings)
        time.sleep(wait)


def say(sentence: str) -> None:
    print(f"  {sentence}", flush=True)


# --- steps of up -------------------------------------------------------------------------------------------
def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - the port is asked for, nothing is served
        except OSError as error:
            raise Unusable(f"port {port} cannot be used ({error.strerror}); choose another with WHARF_PORT") from error


def _keys(layout: Layout, step: str, extra: dict[str, str] | None = None) -> None:
    python, program = str(layout.venv / "bin" / "python"), str(layout.app / "deploy" / "keys.py")
    _run_as_user(layout, python, program, step, str(layout.secrets), extra=extra)


def _make_cluster(layout: Layout) -> None:
    if (layout.var / "postgres" / "PG_VERSION").exists():
        return
    say("making a PostgreSQL cluster")
    fresh = layout.var / "postgres.new"
    _run_as_user(layout, "/usr/bin/rm", "-rf", str(fresh))
    _run_as_user(
        layout,
        str(layout.postgres_binaries / "initdb"),
        "-D",
        str(fresh),
        "-U",
        layout.user,
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "--data-checksums",
        "-A",
        "peer",
    )
    # Renamed at the end: an initdb that was interrupted leaves no half cluster behind.
    (layout.var / "postgres").rmdir()
    fresh.rename(layout.var / "postgres")


def _write_configuration(layout: Layout, settings: Settings, code: str) -> None:
    files = configuration_files(layout, settings)
    files[layout.etc / "supervisord.conf"] = supervisor.configuration(layout, programs(layout, settings, code))
    for path, text in files.items():
        temporary = path.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_text(text)
        subprocess.run(["chown", f"{layout.user}:", str(temporary)], check=True)
        temporary.replace(path)


def _start_stores(layout: Layout) -> None:
    if supervisor.is_running(layout):
        supervisor.control(layout, "update", *STORES)
        for name in STORES:
            supervisor.control(layout, "start", name, check=False)
    else:
        say("starting " + ", ".join(STORES))
        supervisor.start(layout)
    ready = str(layout.postgres_binaries / "pg_isready")
    _wait(
        30,
        lambda: _quietly(layout, ready, "-h", str(layout.run)),
        f"PostgreSQL did not start; see {layout.log}/postgres.log",
    )


def _prepare_database(layout: Layout, settings: Settings, code: str) -> None:
    mark = layout.etc / "prepared-for"
    if mark.exists() and mark.read_text() == code:
        return
    psql = [str(layout.postgres_binaries / "psql"), "-h", str(layout.run), "-d", "postgres", "-tA"]
    if not _output(layout, *psql, "-c", "SELECT 1 FROM pg_database WHERE datname = 'wharf'").strip():
        _run_as_user(layout, *psql, "-c", "CREATE DATABASE wharf")
    say("bringing the database and the pages up to this version")
    extra = {"WHARF_EXTERNAL_URL": settings.external_url}
    python, manage = str(layout.venv / "bin" / "python"), str(layout.app / "manage.py")
    _run_as_user(layout, python, manage, "init", "--verbosity", "0", extra=extra)
    _run_as_user(layout, python, manage, "collectstatic", "--noinput", "--verbosity", "0", extra=extra)
    if (layout.app / "web" / "locale").exists():
        _run_as_user(layout, python, manage, "compilemessages", "--verbosity", "0", extra=extra)
    mark.write_text(code)


def _start_application(layout: Layout) -> None:
    before = supervisor.states(layout)
    supervisor.control(layout, "update", *APPLICATION)
    waiting = [name for name in APPLICATION if supervisor.states(layout).get(name) != "RUNNING"]
    if waiting:
        verb = "starting" if before.get("core") != "RUNNING" else "restarting"
        say(f"{verb} {', '.join(waiting)}")
        supervisor.control(layout, "start", *waiting, check=False)


def _wait_until_healthy(layout: Layout, settings: Settings) -> None:
    deadline = time.monotonic() + HEALTHY_WITHIN
    health: dict[str, Any] = {}
    while time.monotonic() < deadline:
        health = _health(settings)
        if health.get("status") == "healthy":
            return
        time.sleep(0.3)
    states = {name: state for name, state in supervisor.states(layout).items() if state != "RUNNING"}
    logs = "\n".join(f"--- {name}\n{_tail(layout.log / f'{name}.log')}" for name in states or ["core"])
    raise Unusable(f"the platform is not healthy after {HEALTHY_WITHIN} s: {states or health}\n{logs}")


def _health(settings: Settings) -> dict[str, Any]:
    url = f"http://127.0.0.1:{settings.port}/api/v2.0/health"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            document = json.load(answer)
    except (OSError, ValueError, urllib.error.URLError) as error:
        return {"status": f"no answer at {url}: {error}"}
    return document if isinstance(document, dict) else {}


def _tell(layout: Layout, settings: Settings) -> None:
    host = settings.external_url.split("://", 1)[1]
    print(
        f"\nWharf is up: {settings.external_url}\n"
        f"  sign in as     admin, with the password in {layout.secrets}/admin-password\n"
        f"  from docker    docker login {host}\n"
        f"  look           make status, make logs        stop: make down\n"
    )


# --- running things ----------------------------------------------------------------------------------------
def _run_as_user(layout: Layout, *command: str, extra: dict[str, str] | None = None) -> None:
    environment = {**layout.environment(), **(extra or {})}
    cwd = layout.app if layout.app.exists() else Path("/")
    result = subprocess.run(
        layout.as_user(*command, environment=environment), capture_output=True, text=True, check=False, cwd=cwd
    )
    if result.returncode != 0:
        words = (result.stdout + result.stderr).strip().splitlines()
        raise Unusable(
            f"{Path(command[0]).name} {command[1] if command[1:] else ''} failed:\n" + "\n".join(words[-15:])
        )


def _output(layout: Layout, *command: str) -> str:
    return subprocess.run(layout.as_user(*command), capture_output=True, text=True, check=False, cwd="/").stdout


def _quietly(layout: Layout, *command: str) -> bool:
    return subprocess.run(layout.as_user(*command), capture_output=True, check=False, cwd="/").returncode == 0


def _wait(seconds: float, question: Callable[[], bool], failure: str) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        if time.monotonic() > deadline:
            raise Unusable(failure)
        time.sleep(0.1)


def _code(layout: Layout) -> str:
    return (layout.etc / "prepared-for").read_text()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else ""


if __name__ == "__main__":
    main()
