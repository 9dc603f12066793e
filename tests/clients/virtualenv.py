"""Clients that others wrote, each in a virtualenv of its own, so that nothing of ours helps them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.e2e.platform import PASSWORD, PROJECT, Platform
from tests.e2e.test_skopeo import make_real_image, write_layout


def make(folder: Path, *packages: str) -> Path:
    """A virtualenv with these packages; its Python."""
    subprocess.run(["/usr/bin/python3", "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    install(python, *packages)
    return python


def install(python: Path, *packages: str) -> None:
    """Packages by name, or from a folder."""
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run([*pip, *packages], capture_output=True, text=True, timeout=300)
    assert installed.returncode == 0, installed.stderr


def live(python: Path, script: str, platform: Platform, folder: Path) -> list[str]:
    """Let a client go through its script against a platform; the steps that went as they should, which is all."""
    name, password = platform.admin
    told = {
        "url": platform.url,
        "host": platform.host,
        "admin": name,
        "admin_password": password,
        "password": PASSWORD,
        "image": write_layout(folder, [make_real_image()]),
    }
    # Isolated: no module of this checkout is found.
    command = [str(python), "-I", str(PROJECT / "tests" / "clients" / script)]
    lived = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, timeout=120, cwd="/")
    steps = lived.stdout.splitlines()
    assert lived.returncode == 0, f"after {steps}:\n{lived.stderr}"
    return steps
