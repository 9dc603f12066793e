"""Base images made of Debian's packages, under the names that docker-compose.yml and deploy/Dockerfile ask for.

No image need be pulled for the check. Versions are Debian's; `make` returns them, so that the check's output says what
was really tried.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.compose.engine import Engine, run

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
BASE = "wharf-standin/base"
# Stage of standins.Dockerfile → the package whose version tells what it stands in with.
PACKAGES = {"python": "python3", "postgres": "postgresql", "redis": "redis-server", "nginx": "nginx-light",
            "registry": "docker-registry"}  # fmt: skip
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def named_images() -> dict[str, str]:
    """Stage → the image that the project's own files name, such as `redis:7.2-bookworm`."""
    texts = [(PROJECT / name).read_text() for name in ("docker-compose.yml", "deploy/Dockerfile")]
    named = re.findall(r"^(?:\s+image: |FROM )([a-z]+):([\w.-]+)", "\n".join(texts), re.MULTILINE)
    return {name: f"{name}:{tag}" for name, tag in named if name in PACKAGES}


def make(engine: Engine) -> dict[str, str]:
    """Build them all; the image's name → the package and version inside."""
    context = engine.folder / "standins"
    _debootstrap(engine, context)
    for name in ("standins.Dockerfile", "postgres-entrypoint.sh"):
        shutil.copy(HERE / name, context)
    shutil.copy(BUNDLE, context / "ca-certificates.crt")
    pip = Path("/etc/pip.conf")
    (context / "pip.conf").write_text(pip.read_text() if pip.exists() else "")
    versions = {}
    for stage, image in named_images().items():
        file = str(context / "standins.Dockerfile")
        engine.docker("build", "--network", "host", "--target", stage, "--tag", image, "--file", file, str(context))
        show = ["run", "--rm", "--network", "none", "--entrypoint", "dpkg-query", image, "-W", PACKAGES[stage]]
        versions[image] = " ".join(engine.docker(*show).split())
    return versions


def _debootstrap(engine: Engine, context: Path) -> None:
    """A minimal Debian with the machine's package sources, imported as an image."""
    root = context / "root"
    context.mkdir()
    suite = _release("VERSION_CODENAME")
    run(["debootstrap", "--variant=minbase", suite, str(root), _mirror()], engine.environment)
    for source in Path("/etc/apt/sources.list.d").glob("*.sources"):
        shutil.copy(source, root / "etc/apt/sources.list.d")
    (root / "etc/apt/sources.list").unlink(missing_ok=True)
    (root / "etc/apt/apt.conf.d/99machine").write_text(_apt_settings(engine.environment))
    # Packages must not start their services while they are installed.
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    for leftover in (root / "var/cache/apt/archives").glob("*.deb"):
        leftover.unlink()
    archive = context / "root.tar"
    run(["tar", "-C", str(root), "-cf", str(archive), "."], engine.environment)
    engine.docker("import", str(archive), BASE)
    shutil.rmtree(root)
    archive.unlink()


def _mirror() -> str:
    sources = "\n".join(path.read_text() for path in Path("/etc/apt/sources.list.d").glob("*.sources"))
    found = re.search(r"^URIs:\s*(\S+)", sources, re.MULTILINE)
    return found[1] if found else "http://deb.debian.org/debian"


def _apt_settings(environment: dict[str, str]) -> str:
    """How this machine's apt gets to its mirrors; nothing of its hooks."""
    lines = run(["apt-config", "dump"], environment).splitlines()
    return "\n".join(line for line in lines if line.startswith("Acquire::") and '""' not in line) + "\n"


def _release(name: str) -> str:
    found = re.search(rf"^{name}=\"?([^\"\n]+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    return found[1] if found else "bookworm"
