"""The programs of the platform: what each runs, and the configuration files they read on this machine."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from deploy import configuration
from deploy.stack import postgres
from deploy.stack.layout import Layout, read_private
from deploy.stack.settings import Settings

# In the order they are started. The first three hold data and are there before the database is migrated.
STORES = ("postgres", "redis", "registry")
KINDS = (*STORES, "core", "worker", "event", "bulk", "beat", "nginx")
# Of each process of core.
THREADS = 16
# Kind of worker → Celery's queues that it serves, and its processes: what takes long, and a webhook's receiver that
# hangs, make nobody wait who looks at a screen.
WORKERS = {"worker": ("upkeep,interactive", 2), "event": ("event", 3), "bulk": ("scheduled,bulk", 2)}
# How long core may go on answering when it is told to stop.
GRACE_SECONDS = 60
# The stock programs start with a clean environment: the registry panics on some variables of the cloud's tools.
BARE = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True)
class Program:
    """One process under the supervisor."""

    name: str
    command: list[str]
    environment: dict[str, str]
    stop_signal: str = "TERM"
    stop_seconds: int = 30
    socket: str = ""
    """Removed before a start: what a killed process left would be in the way."""
    depends_on: list[str] = field(default_factory=list)
    """Texts whose change means a restart."""

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256("\0".join(self.depends_on).encode()).hexdigest()[:16]


def configuration_files(layout: Layout, settings: Settings) -> dict[Path, str]:
    """Path → text of every file that is rendered for this machine."""
    run = layout.run
    return {
        layout.etc / "nginx.conf": configuration.nginx(
            # Never left out for having failed: a socket that nobody listens at says so at once, and while one replica
            # is restarted the other would be left out for what happened before.
            core=[f"unix:{core_socket(layout, name)} max_fails=0" for name in cores(settings)],
            registry=f"unix:{run}/registry.sock",
            listen=_listen(settings.port),
            pid=run / "nginx.pid",
            temporary=layout.var / "nginx",
            included=layout.app / "deploy" / "nginx",
            https=_https(layout, settings),
        ),
        layout.etc / "registry.yml": configuration.registry(
            net="unix",
            address=f"{run}/registry.sock",
            store=settings.bucket or layout.var / "registry",
            external_url=settings.external_url,
            bundle=layout.secrets / "token" / "bundle.pem",
            http_secret=read_private(layout.secrets / "registry-http-secret").strip(),
        ),
        layout.etc / "redis.conf": configuration.redis(
            listen=["port 0", f"unixsocket {run}/redis.sock", "unixsocketperm 700"], folder=layout.var / "redis"
        ),
    }


def cores(settings: Settings) -> list[str]:
    """The names of core's replicas: core, core-2 …"""
    return _replicas("core", settings.core_replicas)


def background(settings: Settings) -> list[str]:
    """The names of those who work by themselves."""
    workers = [name for kind in WORKERS for name in _replicas(kind, settings.worker_replicas)]
    return [*workers, *_replicas("beat", settings.beat_replicas)]


def names(settings: Settings) -> list[str]:
    """The names of all programs, in the order they are started."""
    return [*STORES, *cores(settings), *background(settings), "nginx"]


def kind(name: str) -> str:
    """What a replica is a replica of."""
    return name.partition("-")[0]


def core_socket(layout: Layout, name: str) -> Path:
    """Where a replica of core listens."""
    return layout.run / f"{name}.sock"


def programs(layout: Layout, settings: Settings, code: str) -> list[Program]:
    """All of them. `code` is the fingerprint of the program and its libraries."""
    # What nginx's configuration says it learns without a restart (rollout.py).
    door = Program("nginx", nginx_command(layout), BARE, stop_signal="QUIT")
    return [*_stores(layout, settings), *_application(layout, settings, code), door]


def _stores(layout: Layout, settings: Settings) -> list[Program]:
    texts = {path.name: text for path, text in configuration_files(layout, settings).items()}
    redis, registry = str(layout.etc / "redis.conf"), str(layout.etc / "registry.yml")
    return [
        Program("postgres", postgres.command(layout, _connections(settings)), BARE, stop_signal="INT"),
        Program("redis", ["/usr/bin/redis-server", redis], BARE, socket="redis.sock", depends_on=[texts["redis.conf"]]),
        Program(
            "registry",
            ["/usr/bin/docker-registry", "serve", registry],
            # GOGC: measured, half of the registry's time is its collector's at the default.
            {**BARE, "GOGC": "800", **_for_a_bucket(layout, settings)},
            stop_seconds=70,
            socket="registry.sock",
            depends_on=[texts["registry.yml"], _bundle(layout), _bucket_key(layout, settings)],
        ),
    ]


def _application(layout: Layout, settings: Settings, code: str) -> list[Program]:
    environment = {**layout.environment(), "WHARF_EXTERNAL_URL": settings.external_url, **settings.passed_on}
    python = str(layout.venv / "bin" / "python")
    # They read the keys and the trusted certificates once, at their start.
    certificate = read_private(layout.secrets / "token" / "current.crt")
    encryption = read_private(layout.secrets / "fernet-key")
    changes = [code, _bundle(layout), certificate, encryption, _bucket_key(layout, settings)]
    application = [
        Program(
            name,
            gunicorn(python, f"unix:{core_socket(layout, name)}", settings.core_workers, str(layout.run)),
            environment,
            stop_seconds=GRACE_SECONDS + 15,
            socket=core_socket(layout, name).name,
            depends_on=changes,
        )
        for name in cores(settings)
    ]
    behind = {name: beat(python) if kind(name) == "beat" else worker(python, name) for name in background(settings)}
    return [
        *application,
        *(Program(name, command, environment, depends_on=changes) for name, command in behind.items()),
    ]


def nginx_command(layout: Layout) -> list[str]:
    """nginx as it runs here; with `-t` it looks at its configuration and ends."""
    return ["/usr/sbin/nginx", "-e", "stderr", "-p", str(layout.var / "nginx"), "-c", str(layout.etc / "nginx.conf")]


def _https(layout: Layout, settings: Settings) -> configuration.Https | None:
    if settings.tls is None:
        return None
    return configuration.Https(
        listen=_listen(settings.tls.port),
        certificate=layout.certificate,
        external_url=settings.external_url,
        challenges=layout.challenges,
    )


def _listen(port: int) -> list[str]:
    """The port at every address of the machine."""
    return [str(port), f"[::]:{port} ipv6only=on"] if Path("/proc/net/if_inet6").exists() else [str(port)]


def _bundle(layout: Layout) -> str:
    return read_private(layout.secrets / "token" / "bundle.pem")


def _for_a_bucket(layout: Layout, settings: Settings) -> dict[str, str]:
    """Where the registry finds the bucket's key and whom it trusts. (AWS_CA_BUNDLE would make it panic.)"""
    if not settings.bucket:
        return {}
    trusted = {name: os.environ[name] for name in ("SSL_CERT_FILE",) if name in os.environ}
    return {"AWS_SHARED_CREDENTIALS_FILE": str(layout.bucket_key), **trusted}


def _bucket_key(layout: Layout, settings: Settings) -> str:
    return layout.bucket_key.read_text() if settings.bucket else ""


def _connections(settings: Settings) -> int:
    """How many the database must allow: each thread keeps one; some for its own upkeep, for manage.py and people."""
    # Eight more threads ask for the health of the parts.
    core = settings.core_replicas * settings.core_workers * (THREADS + 8)
    # Each task has a heartbeat beside it, and each worker one.
    workers = settings.worker_replicas * sum(processes * 2 + 2 for _, processes in WORKERS.values())
    # Not so close that one more replica would restart the database.
    return max(300, core + workers + 40)


def _replicas(kind: str, count: int) -> list[str]:
    return [kind, *(f"{kind}-{number}" for number in range(2, count + 1))]


def gunicorn(python: str, bind: str, workers: int, scratch: str) -> list[str]:
    """How core is started, here and in a container. `scratch` is a folder on no slow disk, for heartbeats."""
    return [
        python,
        "-m",
        "gunicorn",
        "core.wsgi:application",
        "--bind",
        bind,
        # The program is read before it listens: nobody is sent to a replica that cannot start.
        "--preload",
        "--worker-class",
        "core.serving.DrainingWorker",
        "--workers",
        str(workers),
        "--threads",
        str(THREADS),
        # Requests wait for the registry behind us at most half a minute; a stuck worker is replaced after two.
        "--timeout",
        "120",
        "--graceful-timeout",
        str(GRACE_SECONDS),
        "--keep-alive",
        "75",
        # nginx has judged how long an address (0: any) and a header may be, and answers in JSON.
        "--limit-request-line",
        "0",
        "--limit-request-field_size",
        str(64 * 1024),
        # Its default lies in the home folder, where two platforms would fight over it.
        "--no-control-socket",
        "--worker-tmp-dir",
        scratch,
    ]


def worker(python: str, name: str) -> list[str]:
    """How a worker is started, one of WORKERS. Celery wants a name of its own for each on a machine."""
    queues, processes = WORKERS[kind(name)]
    own = ["--hostname", f"{name}@%h", "--queues", queues, "--concurrency", str(processes), "--loglevel", "INFO"]
    # Nobody waits for what is done in bulk, and whoever pushes or pulls shall not notice it.
    gently = ["nice", "-n", "10"] if kind(name) == "bulk" else []
    return [*gently, python, "-m", "celery", "-A", "core.celery", "worker", *own]


def beat(python: str) -> list[str]:
    """How a clock is started. It remembers nothing: when something ran last the database knows."""
    own = ["--pidfile", "", "--loglevel", "INFO"]
    return [python, "-m", "celery", "-A", "core.celery", "beat", *own]
