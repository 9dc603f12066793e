"""One project of compose's: started, asked, broken and removed by the stories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.compose.engine import Engine, Failed, run

PROJECT = Path(__file__).resolve().parents[2]
LONG_RUNNING = ("postgres", "redis", "registry", "core", "worker", "event", "bulk", "beat", "nginx")
ONE_SHOT = ("configuration", "init")


@dataclass
class Stack:
    """A project by name; `command` is the compose that runs it."""

    engine: Engine
    command: list[str]
    name: str
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    overlays: list[Path] = field(default_factory=list)

    # --- compose ------------------------------------------------------------------------------------------
    def compose(self, *words: str, stdin: str | None = None) -> str:
        """What `docker compose …` prints; Failed when it fails."""
        return run([*self._words(), *words], self.engine.environment, stdin=stdin, cwd=PROJECT)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """The same in the background."""
        return subprocess.Popen(
            [*self._words(), *words], env=self.engine.environment, cwd=PROJECT, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def up(self, *words: str) -> None:
        """Everything started and healthy."""
        self.compose("up", "-d", *words)
        self.wait_healthy()

    def up_refused(self, service: str) -> str:
        """What a one-shot service says while it keeps the rest from starting."""
        try:
            self.compose("up", "-d")
        except Failed:
            code = self.inspect(service)["State"]["ExitCode"]
            assert code == 1, f"{service} ended with {code}"
            said = self.log(service)
            assert "Traceback" not in said, said
            return said.strip().splitlines()[-1]
        raise AssertionError(f"up went on although {service} should have stopped it:\n{self.log(service)}")

    def down(self, *words: str) -> None:
        self.compose("down", "--timeout", "20", *words)

    def _words(self) -> list[str]:
        files = [PROJECT / "docker-compose.yml", *self.overlays, PROJECT / "tests" / "compose" / "build.yml"]
        chosen = [word for file in files for word in ("--file", str(file))]
        # Settings as an operator says them.
        said = self.engine.folder / f"{self.name}.env"
        settings = {"WHARF_PORT": str(self.port), **self.settings}
        said.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return [*self.command, "--project-name", self.name, "--env-file", str(said), *chosen]

    # --- containers and volumes ---------------------------------------------------------------------------
    def containers(self, service: str) -> list[str]:
        """Ids, stopped ones too; those of `run` not."""
        label = f"label=com.docker.compose.project={self.name}"
        mine = ["--filter", label, "--filter", f"label=com.docker.compose.service={service}"]
        return self.engine.docker("ps", "--all", "--quiet", "--no-trunc", *mine).split()

    def inspect(self, service: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.engine.docker("inspect", *self.containers(service)))
        return found[0]

    def pid(self, service: str) -> int:
        """Of the program itself, seen from outside."""
        return int(self.inspect(service)["State"]["Pid"])

    def log(self, service: str) -> str:
        words = ["docker", "logs", "--tail", "20", *(self.containers(service) or ["missing"])[:1]]
        result = subprocess.run(words, env=self.engine.environment, capture_output=True, text=True, check=False)
        return result.stdout + result.stderr

    def exec(self, service: str, *words: str, stdin: str | None = None) -> str:
        """A command in a running container."""
        return self.engine.docker("exec", "--interactive", self.containers(service)[0], *words, stdin=stdin or "")

    def volume(self, name: str) -> str:
        return f"{self.name}_{name}"

    def remove_volume(self, name: str) -> None:
        """Lose it, as a careless hand does. The project is down."""
        self.engine.docker("volume", "rm", self.volume(name))

    def copy_volume(self, source: str, target: str) -> None:
        """A backup, or its way back."""
        mounts = ["-v", f"{source}:/from:ro", "-v", f"{target}:/to:nocopy"]
        copy = ["--user", "0:0", "--network", "none", "--entrypoint", "cp", "wharf:0.1.0", "-a", "/from/.", "/to/"]
        self.engine.docker("run", "--rm", *mounts, *copy)

    def volumes(self) -> list[str]:
        mine = f"label=com.docker.compose.project={self.name}"
        return self.engine.docker("volume", "ls", "--quiet", "--filter", mine).split()

    # --- the platform -------------------------------------------------------------------------------------
    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    @property
    def admin(self) -> tuple[str, str]:
        return "admin", self.exec("core", "cat", "/var/lib/wharf/secrets/admin-password").strip()

    def wait_healthy(self, seconds: float = 120) -> None:
        """Every container that has a health check says so, and so does the platform."""
        deadline = time.monotonic() + seconds
        while (unwell := self._unwell()) and time.monotonic() < deadline:
            time.sleep(0.5)
        if unwell:
            raise AssertionError(f"{unwell}\n" + "\n".join(self.log(name) for name in (*ONE_SHOT, "core", "nginx")))

    def _unwell(self) -> str:
        states = {name: self._state(name) for name in ("postgres", "redis", "registry", "core", "nginx")}
        off = {name: state for name, state in states.items() if state != "healthy"}
        if off:
            return str(off)
        try:
            answer: dict[str, Any] = requests.get(f"{self.url}/api/v2.0/health", timeout=5).json()
        except (requests.RequestException, ValueError) as error:
            return repr(error)
        return "" if answer.get("status") == "healthy" else str(answer)

    def _state(self, service: str) -> str:
        found = self.containers(service)
        if not found:
            return "missing"
        shown = json.loads(self.engine.docker("inspect", *found))
        states = {each["State"].get("Health", {}).get("Status", each["State"]["Status"]) for each in shown}
        return states.pop() if len(states) == 1 else str(states)

    def api(self, method: str, path: str, user: tuple[str, str] | None = None, **options: Any) -> requests.Response:
        return requests.request(method, f"{self.url}/api/v2.0{path}", auth=user, timeout=60, **options)

    def make_project(self, name: str) -> None:
        answer = self.api("POST", "/projects", self.admin, json={"project_name": name})
        assert answer.status_code == 201, answer.text

    def token(self, user: tuple[str, str], repository: str, actions: str = "pull") -> str:
        query = {"service": "harbor-registry", "scope": f"repository:{repository}:{actions}"}
        answer = requests.get(f"{self.url}/service/token", params=query, auth=user, timeout=60)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def login(self) -> None:
        name, password = self.admin
        self.engine.docker("login", "--username", name, "--password-stdin", self.host, stdin=password)

    def push(self, repository: str) -> str:
        """Push an image that nobody has yet, and forget it; its digest."""
        context = Path(tempfile.mkdtemp(dir=self.engine.folder))
        (context / "content").write_bytes(os.urandom(3 << 20))
        (context / "Dockerfile").write_text("FROM scratch\nCOPY content /content\n")
        reference = f"{self.host}/{repository}"
        self.engine.docker("build", "--quiet", "--tag", reference, str(context))
        shutil.rmtree(context)
        said = self.engine.docker("push", reference)
        self.engine.docker("rmi", reference)
        return said.rsplit("digest: ", 1)[1].split()[0]

    def pull(self, repository: str) -> str:
        """Pull it; its digest."""
        reference = f"{self.host}/{repository}"
        said = self.engine.docker("pull", reference)
        self.engine.docker("rmi", reference)
        return said.rsplit("Digest: ", 1)[1].split()[0]


def settings_of(container: Mapping[str, Any]) -> dict[str, str]:
    """The environment that a container was started with."""
    # A setting that nobody said has a name and no `=`.
    return {name: value for name, _, value in (pair.partition("=") for pair in container["Config"]["Env"])}
