"""Where everything lives on the machine."""

from __future__ import annotations

import hashlib
import os
import pwd
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

PROJECT = Path(__file__).resolve().parents[2]
FALLBACK = Path("/var/lib/wharf")
# A Unix socket's path may have 107 characters (man 7 unix); PostgreSQL's is the longest name.
SOCKET_MOST = 107
LONGEST_SOCKET = "/.s.PGSQL.5432.lock"


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
        return Path(os.environ.get("WHARF_VENV") or self.var / "venv")

    @property
    def secrets(self) -> Path:
        return self.var / "secrets"

    @property
    def etc(self) -> Path:
        return self.var / "etc"

    @property
    def log(self) -> Path:
        return self.var / "log"

    @cached_property
    def run(self) -> Path:
        """Sockets and pid files; a short folder elsewhere when the paths would get too long."""
        inside = self.var / "run"
        if len(str(inside) + LONGEST_SOCKET) <= SOCKET_MOST:
            return inside
        return Path("/tmp") / f"wharf-{hashlib.sha256(str(self.var).encode()).hexdigest()[:12]}"  # noqa: S108

    @cached_property
    def postgres_binaries(self) -> Path:
        """The newest PostgreSQL, or the one that made the cluster."""
        made_by = self.var / "postgres" / "PG_VERSION"
        installed = {int(path.parent.name): path for path in Path("/usr/lib/postgresql").glob("*/bin")}
        return installed[int(made_by.read_text()) if made_by.exists() else max(installed)]

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
            **{name: os.environ[name] for name in kept if name in os.environ},
        }

    def make_folders(self) -> None:
        """Make them all, owned by the service user and closed to others."""
        owner = pwd.getpwnam(self.user)
        self.var.mkdir(parents=True, exist_ok=True)
        self.var.chmod(0o755)
        for folder in (self.secrets, self.etc, self.log, self.run, *(self.var / name for name in DATA)):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        os.chown(self.var, owner.pw_uid, owner.pw_gid)

    def as_user(self, *command: str, environment: dict[str, str] | None = None) -> list[str]:
        """A command that runs as the service user with just this environment."""
        pairs = [f"{name}={value}" for name, value in (environment or self.environment()).items()]
        return ["runuser", "-u", self.user, "--", "/usr/bin/env", "-i", *pairs, *command]


DATA = ("postgres", "redis", "registry", "static", "nginx", "celery")


def find(user: str) -> tuple[Layout, str]:
    """The layout in force, and a word on it when it is not where one would expect."""
    said = os.environ.get("WHARF_VAR")
    if said:
        layout, word = Layout(Path(said).resolve(), user), ""
    elif _can_enter(user, PROJECT):
        layout, word = Layout(PROJECT / "var", user), ""
    else:
        layout = Layout(FALLBACK, user)
        word = f"the user {user} cannot enter {PROJECT}, so everything lives in {FALLBACK} (WHARF_VAR: elsewhere)"
    if layout.run.parent != layout.var:
        word += f"{'; ' if word else ''}the path of {layout.var} is too long for sockets, so they are in {layout.run}"
    return layout, word


def _can_enter(user: str, folder: Path) -> bool:
    return subprocess.run(["runuser", "-u", user, "--", "test", "-x", str(folder)], check=False).returncode == 0
