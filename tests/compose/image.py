"""The image of deploy/Dockerfile: built by each compose, and looked into."""

from __future__ import annotations

import json

from tests.compose.engine import Engine
from tests.compose.stack import Stack

NAME = "wharf:0.1.0"
# Of no use to who runs the platform, and of much use to who breaks in.
UNWANTED = ("gcc", "cc", "make", "git", "msgfmt", "pip", "pip3")


def build(engine: Engine, command: list[str]) -> str:
    """Build it; its size and that of the base it stands on, in words."""
    Stack(engine, command, "build", 0).compose("build")
    size, base = _bytes(engine, NAME), _bytes(engine, "python:3.11-slim-bookworm")
    return f"{NAME} has {size / 1e6:.0f} MB, {(size - base) / 1e6:.0f} MB of them Wharf and its libraries"


def check(engine: Engine) -> str:
    """Nothing that builds or installs is in it, nor what only the checkout needs."""
    look = f"for tool in {' '.join(UNWANTED)}; do command -v $tool; done; python -m pip --version 2>/dev/null"
    found = _inside(engine, f"{look}; true").split()
    # What is left of pip's commands has no program behind it.
    working = [tool for tool in found if "/pip" not in tool]
    assert not working, f"the image holds {working}"
    kept = set(_inside(engine, "ls -A /opt/wharf/app").split())
    assert not kept & {"tests", "docs", ".git", ".venv", "var", "bench"}, kept
    assert not _inside(engine, "find / -xdev -user wharf -type f"), "files of the platform's user are in the image"
    assert _inside(engine, "find /opt/wharf/app -name '*.mo'"), "the translations are missing"
    return f"in /opt/wharf/app: {' '.join(sorted(kept))}"


def _inside(engine: Engine, line: str) -> str:
    return engine.docker("run", "--rm", "--user", "0", "--network", "none", "--entrypoint", "sh", NAME, "-c", line)


def _bytes(engine: Engine, image: str) -> int:
    return int(json.loads(engine.docker("inspect", image))[0]["Size"])
