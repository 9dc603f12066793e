"""A real Docker engine with folders and a socket of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Docker:
    """An engine and a client with its own configuration."""

    folder: Path

    def __call__(self, *words: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.folder),
            "DOCKER_CONFIG": str(self.folder / "config"),
            "DOCKER_HOST": f"unix://{self.folder}/docker.sock",
            "DOCKER_BUILDKIT": "0",
        }
        result = subprocess.run(
            ["/usr/bin/docker", *words], env=environment, capture_output=True, text=True, timeout=300, input=stdin
        )
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def build(self, tag: str, *files: Path) -> None:
        """An image with a layer for each file."""
        context = Path(tempfile.mkdtemp(dir=self.folder))
        lines = ["FROM scratch"]
        for place, file in enumerate(files):
            shutil.copy(file, context / f"part{place}")
            lines.append(f"COPY part{place} /part{place}")
        (context / "Dockerfile").write_text("\n".join(lines) + "\n")
        self("build", "--quiet", "--tag", tag, str(context))

    def login(self, host: str, user: tuple[str, str], check: bool = True) -> subprocess.CompletedProcess[str]:
        return self("login", "--username", user[0], "--password-stdin", host, check=check, stdin=user[1])


def start_docker(prefix: Sequence[str] = ()) -> Iterator[Docker]:
    """The engine for the time of the tests; where it is asked for, a missing engine is a failure.

    `prefix` is a command that becomes the engine, in surroundings of its own.
    """
    asked_for = os.environ.get("CI") == "true" or os.environ.get("WHARF_TEST_DOCKER") == "1"
    if not asked_for:
        pytest.skip("the Docker engine is used when CI=true or WHARF_TEST_DOCKER=1")
    folder = Path(tempfile.mkdtemp(prefix="wharf-docker-"))
    log = (folder / "dockerd.log").open("w")
    # Absolute paths: a relative --exec-root fails after half a minute.
    engine = subprocess.Popen(
        [
            *prefix, "/usr/sbin/dockerd", "--bridge", "none", "--iptables=false", "--ip-masq=false",
            "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"),
            "--pidfile", str(folder / "docker.pid"), "--host", f"unix://{folder}/docker.sock",
        ],
        stdout=log, stderr=subprocess.STDOUT, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder)},
    )  # fmt: skip
    docker = Docker(folder)
    try:
        _wait(docker, engine, folder / "dockerd.log")
        yield docker
    finally:
        engine.terminate()
        engine.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(docker: Docker, engine: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(150):
        if docker("version", check=False).returncode == 0:
            return
        assert engine.poll() is None, log.read_text()[-2000:]
        time.sleep(0.2)
    raise AssertionError(log.read_text()[-2000:])
