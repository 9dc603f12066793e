"""A real PostgreSQL, Redis and registry for the tests, in a folder of their own, stopped at the end.

Loaded as a pytest plugin (`-p tests.servers`) before Django reads its settings. Each worker of pytest-xdist has servers
of its own, but for the first: it uses those of the process that it comes from, which runs no test then.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg2

from deploy import configuration
from tests.secrets import make_secrets

MARK = "WHARF_TEST_SERVERS"


def start() -> None:
    """Start the servers and point the environment at them; does nothing where they are there already."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    if os.environ.get(MARK) == worker:
        return
    # Short: a Unix socket's path has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="wharf-test-"))
    folder.chmod(0o755)
    os.environ[MARK] = worker
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "static").mkdir()
    make_secrets(folder / "secrets")
    _start_postgres(folder)
    _start_redis(folder)
    _start_registry(folder)
    socket = str(folder).replace("/", "%2F")
    os.environ.update(
        WHARF_VAR=str(folder),
        WHARF_SECRETS=str(folder / "secrets"),
        WHARF_EXTERNAL_URL="http://localhost:8080",
        WHARF_DATABASE_URL=f"postgres://wharf@{socket}/wharf",
        WHARF_REDIS_URL=f"unix://{folder}/redis.sock?db=0",
        WHARF_REGISTRY_URL=f"http+unix://{socket}%2Fregistry.sock",
        WHARF_STORE=f"file://{folder}/registry",
        # Playwright's fixtures run an event loop in the thread that Django's tests use.
        DJANGO_ALLOW_ASYNC_UNSAFE="true",
    )


def _start_postgres(folder: Path) -> None:
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    data = folder / "postgres"
    data.mkdir(mode=0o700)
    prefix: list[str] = []
    if os.geteuid() == 0:
        # initdb and postgres refuse root.
        user = pwd.getpwnam("postgres")
        for path in (data, folder):
            os.chown(path, user.pw_uid, user.pw_gid)
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    _run(
        *prefix,
        str(binaries / "initdb"),
        "-D",
        str(data),
        "-U",
        "wharf",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
    )
    options = ["-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=100"]
    _background(folder / "postgres.log", *prefix, str(binaries / "postgres"), "-D", str(data), *options)
    _wait(lambda: psycopg2.connect(host=str(folder), user="wharf", dbname="postgres").close(), folder / "postgres.log")


def _start_redis(folder: Path) -> None:
    socket = folder / "redis.sock"
    options = [
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--unixsocketperm",
        "777",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    _background(folder / "redis.log", "redis-server", *options)

    def is_there() -> None:
        if not socket.exists():
            raise OSError

    _wait(is_there, folder / "redis.log")


def _start_registry(folder: Path) -> None:
    """Configured as `make up` does it."""
    text = configuration.registry(
        net="unix",
        address=f"{folder}/registry.sock",
        store=folder / "registry",
        external_url="http://localhost:8080",
        bundle=folder / "secrets" / "token" / "bundle.pem",
        http_secret=(folder / "secrets" / "registry-http-secret").read_text().strip(),
    )
    (folder / "registry.yml").write_text(text)
    (folder / "registry").mkdir()
    command = ["docker-registry", "serve", str(folder / "registry.yml")]
    _background(folder / "registry.log", "env", "-i", f"PATH={os.environ['PATH']}", *command)

    def is_there() -> None:
        if not (folder / "registry.sock").exists():
            raise OSError

    _wait(is_there, folder / "registry.log")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _background(log: Path, *command: str) -> None:
    process = subprocess.Popen(command, stdout=log.open("w"), stderr=subprocess.STDOUT, start_new_session=True)

    def stop() -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()

    atexit.register(stop)


def _wait(attempt: Callable[[], None], log: Path) -> None:
    for _ in range(200):
        try:
            attempt()
        except (OSError, psycopg2.OperationalError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"A server for the tests did not start:\n{log.read_text()[-2000:]}")


start()
