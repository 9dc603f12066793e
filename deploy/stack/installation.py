"""The program's copy and its libraries, each brought up to the checkout when it differs."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from deploy.stack.layout import PROJECT, Layout
from deploy.stack.requirements import requirements
from deploy.stack.settings import Unusable

ROOMS = ("core", "jobservice", "rbac", "projects", "registry", "web")
COPIED = (*ROOMS, "deploy", "manage.py", "pyproject.toml", "README.md", "LICENSE")
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "*.mo")


def program_fingerprint() -> str:
    """A hash over every file that is copied."""
    digest = hashlib.sha256()
    for path in sorted(_files()):
        digest.update(f"{path.relative_to(PROJECT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def libraries_fingerprint() -> str:
    version = subprocess.run(["/usr/bin/python3", "--version"], capture_output=True, text=True, check=True).stdout
    return hashlib.sha256("\n".join([version, *requirements()]).encode()).hexdigest()


def install_program(layout: Layout, fingerprint: str) -> bool:
    """Copy the program when the copy differs; True when it did."""
    mark = layout.app / ".fingerprint"
    if mark.exists() and mark.read_text() == fingerprint:
        return False
    fresh = layout.var / "app.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o755)
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, fresh / name, ignore=_IGNORED)
        elif source.exists():
            shutil.copy2(source, fresh / name)
    for path in (fresh, *fresh.rglob("*")):
        # Whatever the checkout's modes are, the service user must be able to read.
        path.chmod(0o755 if path.is_dir() or path.suffix == ".sh" else 0o644)
    subprocess.run(["chown", "-R", f"{layout.user}:", str(fresh)], check=True)
    (fresh / ".fingerprint").write_text(fingerprint)
    shutil.rmtree(layout.app, ignore_errors=True)
    fresh.rename(layout.app)
    return True


def install_libraries(layout: Layout, fingerprint: str) -> bool:
    """Make or update the virtualenv when the requirements differ; True when they did."""
    mark = layout.venv / ".fingerprint"
    if mark.exists() and mark.read_text() == fingerprint:
        return False
    log = layout.log / "pip.log"
    with log.open("w") as output:
        for command in (
            ["/usr/bin/python3", "-m", "venv", str(layout.venv)],
            [str(layout.venv / "bin" / "pip"), "install", "--disable-pip-version-check", *requirements()],
            [str(layout.venv / "bin" / "pip"), "check"],
        ):
            if subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode != 0:
                raise Unusable(f"the libraries could not be installed:\n{_tail(log)}")
    mark.write_text(fingerprint)
    return True


def _files() -> list[Path]:
    found: list[Path] = []
    for name in COPIED:
        path = PROJECT / name
        inside = path.rglob("*") if path.is_dir() else [path]
        found += [each for each in inside if each.is_file() and each.suffix not in (".pyc", ".mo")]
    return found


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
