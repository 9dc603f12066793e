"""A platform of the tests' own, started by the same program as `make up`, on a free port in its own folder."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import requests

from deploy.stack import installation
from deploy.stack.layout import Layout

PROJECT = Path(__file__).resolve().parents[2]
PASSWORD = "Story12345"
PROGRAMS = ("postgres", "redis", "registry", "core", "worker", "event", "bulk", "beat", "nginx")


@dataclass
class Platform:
    """A running platform and what a test wants to do with it."""

    var: Path
    port: int
    extra: dict[str, str]
    checkout: Path = PROJECT
    """Whose program `up` brings."""

    @property
    def url(self) -> str:
        return self.extra.get("WHARF_EXTERNAL_URL") or f"http://localhost:{self.port}"

    @property
    def host(self) -> str:
        return self.url.split("://")[1]

    @property
    def admin(self) -> tuple[str, str]:
        return "admin", (self.var / "secrets" / "admin-password").read_text().strip()

    def command(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run `up`, `down`, `status` or `renew-tls`, as make does."""
        return subprocess.run(
            ["bash", str(self.checkout / "deploy" / "bootstrap.sh"), name],
            env=self._environment(), cwd=self.checkout, capture_output=True, text=True, timeout=600,
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("WHARF_", "DJANGO_"))}
        return {**inherited, "WHARF_VAR": str(self.var), "WHARF_PORT": str(self.port), **self.extra}

    def up(self) -> str:
        result = self.command("up")
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def down(self) -> None:
        result = self.command("down")
        assert result.returncode == 0, result.stdout + result.stderr

    def manage(self, *words: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """manage.py inside the platform."""
        return subprocess.run(
            ["bash", str(self.checkout / "deploy" / "manage.sh"), *words],
            env=self._environment(), cwd=self.checkout, capture_output=True, text=True, timeout=seconds,
        )  # fmt: skip

    def start_manage(self, *words: str) -> subprocess.Popen[bytes]:
        """manage.py inside the platform, running; its process is the program itself."""
        return subprocess.Popen(
            ["bash", str(PROJECT / "deploy" / "manage.sh"), *words],
            env=self._environment(), cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def control(self, *words: str) -> str:
        """supervisorctl."""
        program = [str(self.var / "venv" / "bin" / "supervisorctl"), "-c", str(self.var / "etc" / "supervisord.conf")]
        return subprocess.run(
            ["runuser", "-u", "wharf", "--", *program, *words], capture_output=True, text=True, cwd="/"
        ).stdout

    def pid(self, program: str) -> int:
        """The process now running as this program; 0 while it is being restarted."""
        text = self.control("pid", program).strip()
        return int(text) if text.isdecimal() else 0

    def kill(self, program: str, signal_number: int = signal.SIGKILL) -> None:
        pid = self.pid(program)
        if pid:
            os.kill(pid, signal_number)

    def stop(self, program: str) -> None:
        self.control("stop", program)

    def start(self, program: str) -> None:
        self.control("start", program)

    def wait_healthy(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(requests.RequestException, ValueError):
                if self._has_its_nginx() and self._health() == "healthy":
                    return
            time.sleep(0.2)
        raise AssertionError(f"not healthy: {self.control('status')}\n{self.log('core')}")

    def _health(self) -> str:
        return str(requests.get(f"{self.url}/api/v2.0/health", timeout=5).json().get("status"))

    def _has_its_nginx(self) -> bool:
        """Whether no killed nginx's children answer any more: they do until their master's successor has begun."""
        try:
            command = Path(f"/proc/{self.pid('nginx')}/cmdline").read_bytes()
        except FileNotFoundError:
            return False
        # A dead one that the supervisor has not noticed has no words; start.sh clears away what a killed one left.
        return bool(command) and b"start.sh" not in command

    def log(self, program: str) -> str:
        return (self.var / "log" / f"{program}.log").read_text(errors="replace")[-3000:]

    # --- the API ------------------------------------------------------------------------------------------
    def api(self, method: str, path: str, user: tuple[str, str] | None = None, **options: Any) -> requests.Response:
        return requests.request(method, f"{self.url}/api/v2.0{path}", auth=user, timeout=60, **options)

    def make_user(self, name: str) -> tuple[str, str]:
        body = {"username": name, "password": PASSWORD, "email": f"{name}@example.com", "realname": name}
        answer = self.api("POST", "/users", self.admin, json=body)
        assert answer.status_code in (201, 409), answer.text
        return name, PASSWORD

    def make_project(self, name: str, owner: tuple[str, str], *, public: bool = False) -> str:
        body = {"project_name": name, "metadata": {"public": str(public).lower()}}
        answer = self.api("POST", "/projects", owner, json=body)
        assert answer.status_code in (201, 409), answer.text
        return name

    def add_member(self, project: str, owner: tuple[str, str], name: str, role: int) -> None:
        body = {"role_id": role, "member_user": {"username": name}}
        answer = self.api("POST", f"/projects/{project}/members", owner, json=body)
        assert answer.status_code in (201, 409), answer.text

    def make_robot(self, project: str, owner: tuple[str, str], name: str, *actions: str, **more: Any) -> dict[str, Any]:
        access = [{"resource": "repository", "action": action} for action in actions]
        permissions = [{"kind": "project", "namespace": project, "access": access}]
        body = {"name": name, "level": "project", "duration": 30, "permissions": permissions, **more}
        answer = self.api("POST", "/robots", owner, json=body)
        assert answer.status_code == 201, answer.text
        robot: dict[str, Any] = answer.json()
        return robot


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_platform(var: Path | None = None, **extra: str) -> Platform:
    """A platform that is not started yet. Its folder is one that the service user can enter.

    With `WHARF_VENV=""` it installs libraries of its own.
    """
    folder = var or Path(tempfile.mkdtemp(prefix="wharf-e2e-")) / "var"
    folder.parent.chmod(0o755)
    return Platform(var=folder, port=free_port(), extra={"WHARF_VENV": str(_libraries()), **extra})


@cache
def _libraries() -> Path:
    """A virtualenv for all platforms of this process: each one's own took longer to make than all else of `up`."""
    layout = Layout(Path(tempfile.mkdtemp(prefix="wharf-libraries-")), "wharf")
    layout.var.chmod(0o755)
    atexit.register(shutil.rmtree, layout.var, ignore_errors=True)
    installation.install_libraries(layout, "", ["s3"])
    return layout.venv


def remove(platform: Platform) -> None:
    platform.command("down")
    shutil.rmtree(platform.var.parent, ignore_errors=True)
