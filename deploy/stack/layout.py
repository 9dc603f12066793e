"""Where everything lives on the machine, and whose it is.

Root owns what is run and what says how (app, venv, etc); the service user owns the data. So whoever took over a
service could neither change its program nor lead root astray the next time that root writes a file here.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from deploy.stack.settings import Unusable

PROJECT = Path(__file__).resolve().parents[2]
FALLBACK = Path("/var/lib/wharf")
# A Unix socket's path may have 107 characters (man 7 unix). The longest name is the one that supervisord takes
# while it opens its socket: its process id is appended.
SOCKET_MOST = 107
LONGEST_SOCKET = "/supervisor.sock.4194304"
# Folders of the service user's, closed to others.
DATA = ("secrets", "log", "postgres", "redis", "registry", "static", "nginx")


@dataclass(frozen=True)
class Layout:
    """Folders and files of one platform."""

    var: Path
    user: str

    @property
    def app(self) -> Path:
        """The copy of the program that runs; the checkout may be unreadable for the service user."""
        return self.var / "app"

    @property
    def venv(self) -> Path:
        """The libraries; a link when WHARF_VENV named a virtualenv."""
        return self.var / "venv"

    @property
    def secrets(self) -> Path:
        return self.var / "secrets"

    @property
    def etc(self) -> Path:
        return self.var / "etc"

    @property
    def certificate(self) -> Path:
        """Private key and chain for nginx: a copy, for the service user may not read the operator's files."""
        return self.etc / "tls.pem"

    @property
    def challenges(self) -> Path:
        """Where a certificate authority's client puts what the authority wants to see."""
        return self.var / "acme"

    @property
    def bucket_key(self) -> Path:
        """Our copy of the bucket's key, for the registry and core; the path is no secret."""
        return self.etc / "store-credentials"

    @property
    def log(self) -> Path:
        return self.var / "log"

    @property
    def postgres(self) -> Path:
        return self.var / "postgres"

    @cached_property
    def run(self) -> Path:
        """Sockets and pid files; a short folder elsewhere when the paths would get too long."""
        inside = self.var / "run"
        if len(str(inside) + LONGEST_SOCKET) <= SOCKET_MOST:
            return inside
        # Not /tmp: there anybody may take the name first.
        return Path("/run") / f"wharf-{hashlib.sha256(str(self.var).encode()).hexdigest()[:12]}"

    def environment(self) -> dict[str, str]:
        """What core, worker, beat and manage.py find in their environment."""
        run = quote(str(self.run), safe="")
        kept = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
        return {
            "PATH": f"{self.venv}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "DJANGO_SETTINGS_MODULE": "core.settings",
            "WHARF_VAR": str(self.var),
            "WHARF_SECRETS": str(self.secrets),
            "WHARF_DATABASE_URL": f"postgres://{self.user}@{run}/wharf",
            "WHARF_REDIS_URL": f"unix://{self.run}/redis.sock?db=0",
            "WHARF_REGISTRY_URL": f"http+unix://{run}%2Fregistry.sock",
            "WHARF_STORE": f"file://{self.var}/registry",
            "WHARF_STORE_CREDENTIALS": str(self.bucket_key),
            **{name: os.environ[name] for name in kept if name in os.environ},
        }

    def make_folders(self) -> None:
        """Make them all, each with its owner."""
        self.var.mkdir(parents=True, exist_ok=True)
        _own(self.var, 0, 0, 0o755)
        self.etc.mkdir(exist_ok=True)
        account = pwd.getpwnam(self.user)
        _own(self.etc, 0, account.pw_gid, 0o750)
        self.challenges.mkdir(exist_ok=True)
        _own(self.challenges, 0, 0, 0o755)
        for folder in (self.run, *(self.var / name for name in DATA)):
            self.make_private(folder)

    def make_private(self, folder: Path) -> None:
        """A folder that only the service user may enter."""
        folder.mkdir(exist_ok=True)
        account = pwd.getpwnam(self.user)
        _own(folder, account.pw_uid, account.pw_gid, 0o700)

    def as_user(self, *command: str) -> list[str]:
        """A command that runs as the service user. The environment is passed beside it: arguments are public."""
        return [*_as(self.user), *command]


def find(user: str | None) -> tuple[Layout, str]:
    """The layout in force, and a word on it when it is not where one would expect."""
    said = os.environ.get("WHARF_VAR")
    name = user or "wharf"
    word = ""
    if said:
        var = Path(said).resolve()
    elif may_run(name, PROJECT):
        var = PROJECT / "var"
    else:
        var = FALLBACK
        word = f"the user {name} cannot enter {PROJECT}, so everything lives in {FALLBACK} (WHARF_VAR: elsewhere)"
    layout = Layout(var, _owner(var, user))
    if layout.run.parent != layout.var:
        word += f"{'; ' if word else ''}the path of {layout.var} is too long for sockets, so they are in {layout.run}"
    return layout, word


def may_run(user: str, path: Path) -> bool:
    """Whether a user can run a program or enter a folder; no for one who does not exist."""
    try:
        command = [*_as(user), "test", "-x", str(path)]
    except KeyError:
        return False
    return subprocess.run(command, check=False, env={"PATH": os.defpath}, cwd="/").returncode == 0


def write(path: Path, text: str, *, group: int = 0, mode: int = 0o600) -> None:
    """A file of root's, wholly or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    _own(temporary, 0, group, mode)
    temporary.replace(path)


def read_private(path: Path) -> str:
    """A file from a folder of the service user's; never one that a link there points to."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle, encoding="utf-8") as file:
        return file.read()


def clean_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Just this, or the least that a program needs."""
    return dict(environment or {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"})


def _owner(var: Path, said: str | None) -> str:
    """Who the data belong to: what is there decides, else what was said."""
    try:
        number = (var / "secrets").stat().st_uid
        # Root's: it was made and not given away yet, or comes from a backup. Nothing here runs as root.
        owner = pwd.getpwuid(number).pw_name if number else said or "wharf"
    except (OSError, KeyError):
        return said or "wharf"
    if said and said != owner:
        raise Unusable(f"WHARF_USER is {said!r}, but {var} belongs to {owner}; choose another WHARF_VAR or that user")
    return owner


def _as(user: str) -> list[str]:
    account = pwd.getpwnam(user)
    return ["/usr/bin/setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups", "--"]


def _own(path: Path, user: int, group: int, mode: int) -> None:
    os.chown(path, user, group)
    path.chmod(mode)
