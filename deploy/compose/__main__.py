"""What a container of the image becomes: `configure`, `init`, `core`, a worker, `beat`, `manage …` and so on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from deploy.compose import configuration, rotation, volumes
from deploy.compose.places import APP, SECRETS
from deploy.stack import programs
from deploy.stack import settings as operator
from deploy.stack.settings import Settings, Unusable


def main() -> None:
    """Run one command; an operator's mistake ends in one sentence and exit code 1."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"wharf: the image is told by its first word what to be, one of {', '.join(COMMANDS)}")
    try:
        COMMANDS[sys.argv[1]](settings(os.environ))
    except Unusable as problem:
        sys.exit(f"wharf: {problem}")


def settings(environment: Mapping[str, str]) -> Settings:
    """Those of `make up`, but for a bucket."""
    said = operator.said(environment)
    if "WHARF_STORE" in said:
        raise Unusable(
            "WHARF_STORE is set, but the containers keep their blobs in the volume `store`; leave it out or use make up"
        )
    return operator.parse(said)


def configure(settings: Settings) -> None:
    """Make what is missing of the secrets, write every program's configuration."""
    configuration.prepare(settings)


def init(settings: Settings) -> None:
    """Look whether the volumes belong together, then become `manage.py init`."""
    volumes.check(os.environ["WHARF_DATABASE_URL"])
    _become(settings, [sys.executable, "manage.py", "init", *sys.argv[2:]])


def core(settings: Settings) -> None:
    """Become gunicorn, which takes up a new signing key by itself."""
    command = programs.gunicorn(sys.executable, "0.0.0.0:8000", settings.core_workers, "/tmp")  # noqa: S108
    _watching(settings, "HUP", command)


def worker(settings: Settings) -> None:
    """Become the worker for what somebody waits for."""
    _watching(settings, "TERM", programs.worker(sys.executable, "worker"))


def event(settings: Settings) -> None:
    """Become the worker for what follows a push."""
    _watching(settings, "TERM", programs.worker(sys.executable, "event"))


def bulk(settings: Settings) -> None:
    """Become the worker for what takes long."""
    _watching(settings, "TERM", programs.worker(sys.executable, "bulk"))


def beat(settings: Settings) -> None:
    """Become Celery's clock."""
    _watching(settings, "TERM", programs.beat(sys.executable))


def manage(settings: Settings) -> None:
    """Become manage.py."""
    _become(settings, [sys.executable, "manage.py", *sys.argv[2:]])


COMMANDS: dict[str, Callable[[Settings], None]] = {
    "configure": configure,
    "init": init,
    "core": core,
    "worker": worker,
    "event": event,
    "bulk": bulk,
    "beat": beat,
    "manage": manage,
    "rotate-token-key": rotation.rotate,
}


def _watching(settings: Settings, signal: str, command: list[str]) -> None:
    """Become a program that reads the keys once, and is told when they change."""
    watch = str(APP / "deploy" / "compose" / "watch.sh")
    _become(settings, ["/bin/sh", watch, signal, str(SECRETS / "token"), "", *command])


def _become(settings: Settings, command: list[str]) -> None:
    environment = {**os.environ, "WHARF_EXTERNAL_URL": settings.external_url}
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    main()
