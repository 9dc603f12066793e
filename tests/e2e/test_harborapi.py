"""harborapi, the client that others wrote for Harbor, in a virtualenv of its own: it checks every answer's form."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.platform import PASSWORD, PROJECT, Platform
from tests.e2e.test_skopeo import make_real_image, write_layout

HARBORAPI = "harborapi==0.26.2"
STEPS = [
    "system",
    "users",
    "projects",
    "members",
    "robots and push",
    "repositories",
    "artifacts",
    "tags",
    "labels",
    "quotas",
    "audit logs",
    "deletion",
]


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of a virtualenv that has harborapi."""
    folder = tmp_path_factory.mktemp("harborapi")
    subprocess.run(["/usr/bin/python3", "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run([*pip, HARBORAPI], capture_output=True, text=True, timeout=300)
    assert installed.returncode == 0, installed.stderr
    return str(folder / "bin" / "python")


def test_a_project_lives_from_its_first_user_to_its_end(platform: Platform, python: str, tmp_path: Path) -> None:
    name, password = platform.admin
    told = {
        "url": platform.url,
        "host": platform.host,
        "admin": name,
        "admin_password": password,
        "password": PASSWORD,
        "image": write_layout(tmp_path / "image", [make_real_image()]),
    }
    script = PROJECT / "tests" / "e2e" / "harborapi_life.py"
    lived = subprocess.run(
        [python, "-I", str(script)], input=json.dumps(told), capture_output=True, text=True, timeout=120, cwd="/"
    )
    assert lived.returncode == 0, f"after {lived.stdout.splitlines()}:\n{lived.stderr}"
    assert lived.stdout.splitlines() == STEPS
