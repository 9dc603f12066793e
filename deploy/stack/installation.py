"""The program's copy and its libraries, each brought up to the checkout when it differs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.stack.layout import PROJECT, Layout, write
from deploy.stack.requirements import requirements, rooms
from deploy.stack.settings import Unusable

PYTHON = "/usr/bin/python3"
COPIED = (*rooms(), "deploy", "manage.py", "pyproject.toml", "README.md", "LICENSE")
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "*.mo")


def program_fingerprint() -> str:
    """A hash over every file that is copied."""
    digest = hashlib.sha256()
    for path in sorted(_files()):
        digest.update(f"{path.relative_to(PROJECT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def libraries_fingerprint(layout: Layout, extras: Sequence[str]) -> str:
    """A hash over what the libraries depend on; a virtualenv that was named speaks for itself."""
    if layout.venv.is_symlink():
        return hashlib.sha256(str(layout.venv.resolve()).encode()).hexdigest()
    return hashlib.sha256("\n".join([_version(), *requirements(*extras)]).encode()).hexdigest()


def install_program(layout: Layout, fingerprint: str) -> bool:
    """Copy the program when the copy differs; True when it did."""
    mark = layout.app / ".fingerprint"
    if mark.exists() and mark.read_text() == fingerprint:
        return False
    fresh, old = layout.var / "app.new", layout.var / "app.old"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, fresh / name, ignore=_IGNORED)
        elif source.exists():
            shutil.copy2(source, fresh / name)
    _translate(fresh)
    for path in (fresh, *fresh.rglob("*")):
        # Whatever the checkout's modes are, the service user must be able to read, and nothing more.
        path.chmod(0o755 if path.is_dir() or path.suffix == ".sh" else 0o644)
        os.chown(path, 0, 0)
    write(fresh / ".fingerprint", fingerprint, mode=0o644)
    shutil.rmtree(old, ignore_errors=True)
    if layout.app.exists():
        layout.app.rename(old)
    fresh.rename(layout.app)
    shutil.rmtree(old, ignore_errors=True)
    return True


def compile_program(layout: Layout) -> None:
    """Byte code beside the sources, for those who run the program may not write there."""
    subprocess.run([layout.venv / "bin" / "python", "-m", "compileall", "-q", layout.app], check=False, cwd="/")


def use_virtualenv(layout: Layout, named: str | None) -> None:
    """Take WHARF_VENV as the libraries, also from now on; it is never changed."""
    if not named or layout.venv.resolve() == Path(named).resolve():
        return
    if layout.venv.is_symlink():
        layout.venv.unlink()
    else:
        shutil.rmtree(layout.venv, ignore_errors=True)
    layout.venv.symlink_to(Path(named).resolve())


def libraries_are_installed(layout: Layout, fingerprint: str) -> bool:
    """Whether nothing has to be installed."""
    mark = layout.venv / ".fingerprint"
    if layout.venv.is_symlink():
        return layout.venv.exists()
    return mark.exists() and mark.read_text() == fingerprint


def install_libraries(layout: Layout, fingerprint: str, extras: Sequence[str]) -> None:
    """Make the virtualenv, or bring it up to the requirements."""
    if layout.venv.is_symlink():
        layout.venv.unlink()
    log = layout.var / "pip.log"
    pip = [str(layout.venv / "bin" / "python"), "-m", "pip"]
    # Of another Python's virtualenv nothing can be kept.
    fresh = [] if any((layout.venv / "lib").glob(f"python{sys.version_info[0]}.{sys.version_info[1]}")) else ["--clear"]
    with log.open("w") as output:
        for command in (
            [PYTHON, "-m", "venv", *fresh, str(layout.venv)],
            [*pip, "install", "--disable-pip-version-check", *requirements(*extras)],
            [*pip, "check"],
        ):
            if subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False, cwd="/").returncode != 0:
                words = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise Unusable(f"the libraries could not be installed; the whole story is in {log}\n{words}")
    write(layout.venv / ".fingerprint", fingerprint, mode=0o644)


def _translate(folder: Path) -> None:
    """Compile the translations, as `manage.py compilemessages` would."""
    for source in folder.rglob("*.po"):
        result = subprocess.run(
            ["/usr/bin/msgfmt", "--check-format", "-o", str(source.with_suffix(".mo")), str(source)],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise Unusable(f"the translations in {source.relative_to(folder)} are broken:\n{result.stderr}")


def _files() -> Iterator[Path]:
    for name in COPIED:
        path = PROJECT / name
        inside = path.rglob("*") if path.is_dir() else [path]
        yield from (each for each in inside if each.is_file() and each.suffix not in (".pyc", ".mo"))


def _version() -> str:
    return subprocess.run([PYTHON, "--version"], capture_output=True, text=True, check=True).stdout
