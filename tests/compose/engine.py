"""A Docker engine of the check's own: its folders, socket and addresses; the machine's network is left as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

# Not where another engine on this machine would look for free addresses.
ADDRESSES = "base=10.213.0.0/16,size=24"


class Failed(Exception):  # noqa: N818
    """A command failed; with what it said."""


@dataclass
class Engine:
    """A running dockerd."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        """What makes a client talk to this engine."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "DOCKER_CONFIG": str(self.folder / "config"),
            "DOCKER_HOST": f"unix://{self.folder}/docker.sock",
            # Debian's client has no BuildKit of its own.
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_DOCKER_CLI_BUILD": "0",
        }

    def docker(self, *words: str, stdin: str | None = None) -> str:
        """What `docker …` prints; Failed when it fails."""
        return run(["docker", *words], self.environment, stdin=stdin)

    def restart(self) -> None:
        """End it and start it again, as a reboot does."""
        self.process.terminate()
        self.process.wait(120)
        self.process = _launch(self.folder)
        self.wait()

    def wait(self) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + 60
        while subprocess.run(["docker", "version"], env=self.environment, capture_output=True).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.terminate()
                raise Failed(f"dockerd did not start:\n{(self.folder / 'dockerd.log').read_text()[-2000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End the engine with all its containers and networks, and remove what it stored."""
        try:
            self._remove("container", ["--all"], ["--force", "--volumes"])
            self._remove("network", ["--filter", "type=custom"], [])
        finally:
            self.process.terminate()
            self.process.wait(120)
            self._clear()

    def _remove(self, kind: str, listed: list[str], how: list[str]) -> None:
        names = self.docker(kind, "ls", "--quiet", *listed).split()
        if names:
            self.docker(kind, "rm", *how, *names)

    def _clear(self) -> None:
        # The engine forgets to unmount its handle on the machine's own network namespace.
        for handle in (self.folder / "exec" / "netns").glob("*"):
            subprocess.run(["umount", str(handle)], check=False, capture_output=True)
        shutil.rmtree(self.folder)


def start(folder: Path) -> Engine:
    """An engine with its own folder. No default bridge: networks are those of compose, and builds use the machine's."""
    engine = Engine(folder, _launch(folder))
    try:
        engine.wait()
    except Failed:
        engine.stop()
        raise
    return engine


def _launch(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            "dockerd", "--bridge", "none", "--iptables=false", "--ip-masq=false", "--ip-forward=false",
            "--default-address-pool", ADDRESSES, "--data-root", str(folder / "data"),
            "--exec-root", str(folder / "exec"), "--pidfile", str(folder / "docker.pid"),
            "--host", f"unix://{folder}/docker.sock",
        ],
        stdout=(folder / "dockerd.log").open("a"), stderr=subprocess.STDOUT, start_new_session=True,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )  # fmt: skip


def run(command: list[str], environment: dict[str, str], *, stdin: str | None = None, cwd: Path | None = None) -> str:
    """What a command prints; Failed with its last words when it fails."""
    result = subprocess.run(
        command, env=environment, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=900, check=False
    )
    if result.returncode != 0:
        said = (result.stdout + result.stderr).strip()[-4000:]
        raise Failed(f"{' '.join(command[:6])} … ended with {result.returncode}:\n{said}")
    return result.stdout
