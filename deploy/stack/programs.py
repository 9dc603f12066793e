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
APPLICATION = ("core", "worker", "beat", "nginx")
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
            core=[f"unix:{run}/core.sock"],
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


def programs(layout: Layout, settings: Settings, code: str) -> list[Program]:
    """All seven. `code` is the fingerprint of the program and its libraries."""
    return [*_stores(layout, settings), *_application(layout, settings, code), _nginx(layout, settings)]


def _stores(layout: Layout, settings: Settings) -> list[Program]:
    texts = {path.name: text for path, text in configuration_files(layout, settings).items()}
    redis, registry = str(layout.etc / "redis.conf"), str(layout.etc / "registry.yml")
    return [
        Program("postgres", postgres.command(layout), BARE, stop_signal="INT"),
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
    served = gunicorn(python, f"unix:{layout.run}/core.sock", settings.core_workers, str(layout.run))
    # They read the signing key, the trusted certificates and the bucket's key once, at their start.
    certificate = read_private(layout.secrets / "token" / "current.crt")
    changes = [code, _bundle(layout), certificate, _bucket_key(layout, settings)]
    return [
        Program("core", served, environment, socket="core.sock", depends_on=changes),
        Program("worker", worker(python), environment, depends_on=changes),
        Program("beat", beat(python, f"{layout.var}/celery/schedule"), environment, depends_on=changes),
    ]


def _nginx(layout: Layout, settings: Settings) -> Program:
    own = layout.etc / "nginx.conf"
    shared = [path.read_text() for path in sorted((configuration.TEMPLATES / "nginx").glob("*.conf"))]
    return Program(
        "nginx",
        ["/usr/sbin/nginx", "-e", "stderr", "-p", str(layout.var / "nginx"), "-c", str(own)],
        BARE,
        stop_signal="QUIT",
        depends_on=[configuration_files(layout, settings)[own], *shared],
    )


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


def gunicorn(python: str, bind: str, workers: int, scratch: str) -> list[str]:
    """How core is started, here and in a container. `scratch` is a folder on no slow disk, for heartbeats."""
    return [
        python,
        "-m",
        "gunicorn",
        "core.wsgi:application",
        "--bind",
        bind,
        "--worker-class",
        "core.lingering.Worker",
        "--workers",
        str(workers),
        "--threads",
        "16",
        # Requests wait for the registry behind us at most half a minute; a stuck worker is replaced after two.
        "--timeout",
        "120",
        "--graceful-timeout",
        "30",
        "--keep-alive",
        "75",
        # Its default lies in the home folder, where two platforms would fight over it.
        "--no-control-socket",
        "--worker-tmp-dir",
        scratch,
    ]


def worker(python: str) -> list[str]:
    """How the worker is started."""
    return [python, "-m", "celery", "-A", "core.celery", "worker", "--concurrency", "2", "--loglevel", "INFO"]


def beat(python: str, schedule: str) -> list[str]:
    """How the clock is started; `schedule` is the file that it notes in what it has sent."""
    own = ["--schedule", schedule, "--pidfile", ""]
    return [python, "-m", "celery", "-A", "core.celery", "beat", *own, "--loglevel", "INFO"]
