"""What is looked at before anything is changed. Each question has one clear sentence for a no."""

from __future__ import annotations

import re
import shutil
import socket
import stat
import time
from pathlib import Path

from deploy import bucket
from deploy.stack.layout import DATA, Layout, may_run
from deploy.stack.settings import Settings, Unusable

# Libraries, a fresh cluster and its write-ahead log take half of it.
FIRST_BYTES = 1 << 30
LATER_BYTES = 64 << 20
# A disk of its own, folders that an operator may have mounted one at, and `make trial-tls`, before the first start.
EXPECTED = {"lost+found", "trial-tls", *DATA}
_PLAIN_PATH = re.compile(r"[\w./+@=~-]+")
_PRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def check_folder(layout: Layout) -> None:
    """The data's folder can be written in configuration files, is ours alone, and its user gets there."""
    var = layout.var
    if not _PLAIN_PATH.fullmatch(str(var)):
        raise Unusable(f"the path {str(var)!r} has characters that nginx or PostgreSQL misread; set WHARF_VAR")
    nearest = next(folder for folder in (var, *var.parents) if folder.exists())
    if not nearest.is_dir():
        raise Unusable(f"{nearest} is not a folder; WHARF_VAR must name one")
    if nearest == var and not (var / "etc").exists() and {path.name for path in var.iterdir()} - EXPECTED:
        raise Unusable(f"{var} holds files that are not Wharf's; WHARF_VAR must name a folder of its own")
    if not may_run(layout.user, nearest):
        raise Unusable(f"the user {layout.user} cannot enter {nearest}; set WHARF_VAR to a folder it can reach")


def check_virtualenv(layout: Layout, named: str | None, settings: Settings) -> None:
    """What WHARF_VENV names is one with all that is needed, and its user gets there."""
    if named and not may_run(layout.user, Path(named) / "bin" / "supervisord"):
        raise Unusable(
            f"WHARF_VENV is {named!r}; it must be a virtualenv with the libraries of pyproject.toml that the user "
            f"{layout.user} can reach"
        )
    given = Path(named) if named else layout.venv
    if (named or given.is_symlink()) and settings.bucket and not any(given.glob("lib/python3*/site-packages/s3fs")):
        raise Unusable(
            f"the virtualenv {given.resolve()} has no s3fs, which a store in a bucket needs; install it there"
        )


def check_space(layout: Layout) -> None:
    """There is room for what `up` writes."""
    nearest = next(folder for folder in (layout.var, *layout.var.parents) if folder.exists())
    needed = LATER_BYTES if (layout.postgres / "PG_VERSION").exists() else FIRST_BYTES
    free = shutil.disk_usage(nearest).free
    if free < needed:
        raise Unusable(f"only {free >> 20} MiB are free at {nearest}; {needed >> 20} MiB are needed to start")


def check_encryption_key(layout: Layout) -> None:
    """The key of what is encrypted in the database is there; another one would be of no use to it."""
    key = layout.secrets / "fernet-key"
    # An older program encrypted nothing.
    is_used = (layout.postgres / "PG_VERSION").exists() and (layout.app / "core" / "fields.py").exists()
    if is_used and not key.exists():
        raise Unusable(
            f"{key} is missing, the key of what is encrypted in the database; put it back from your backup. If it is "
            "lost for good, docs/webhooks.md says how to go on without it"
        )


def bucket_key(path: Path) -> str:
    """The bucket's key out of the operator's file, as a file that programs can read."""
    try:
        if path.stat().st_mode & stat.S_IROTH:
            raise Unusable(f"everybody may read {path}, which holds the bucket's key; chmod 600 {path}")
        return bucket.credentials(path.read_text())
    except (OSError, UnicodeError) as error:
        raise Unusable(f"WHARF_STORE_CREDENTIALS names {path}, which cannot be read: {error}") from error
    except ValueError as error:
        raise Unusable(f"WHARF_STORE_CREDENTIALS names {path}; {error}") from error


def check_port(port: int, setting: str, user: str) -> None:
    """The port may be opened by the service user and nobody else has it. `setting` is what chooses it."""
    least = int(_PRIVILEGED.read_text()) if _PRIVILEGED.exists() else 1024
    if port < least:
        raise Unusable(
            f"port {port} may be opened by root alone, and nginx runs as {user}; choose one from {least} up with "
            f"{setting}, or allow it: sysctl net.ipv4.ip_unprivileged_port_start={port}"
        )
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - nothing is served
        if family == socket.AF_INET or Path("/proc/net/if_inet6").exists():
            _try_to_bind(family, address, port, setting)


def _try_to_bind(family: socket.AddressFamily, address: str, port: int, setting: str) -> None:
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Our own nginx may be just about to end, when its supervisor was killed.
        deadline = time.monotonic() + 3
        while (error := _refusal(probe, address, port)) and time.monotonic() < deadline:
            time.sleep(0.2)
        if error:
            raise Unusable(f"port {port} cannot be used ({error.strerror}); choose another with {setting}")


def _refusal(probe: socket.socket, address: str, port: int) -> OSError | None:
    try:
        probe.bind((address, port))
    except OSError as error:
        return error
    return None
