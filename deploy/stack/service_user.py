"""Running one command as the service user, with just the environment it needs."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from deploy.stack.layout import Layout, clean_environment
from deploy.stack.settings import Unusable


def run(layout: Layout, *command: str, environment: Mapping[str, str] | None = None, cwd: Path = Path("/")) -> str:
    """What the command printed; Unusable with its last words when it fails."""
    result = attempt(layout, *command, environment=environment, cwd=cwd)
    if result.returncode != 0:
        words = (result.stdout + result.stderr).strip().splitlines()
        raise Unusable(f"{Path(command[0]).name} {' '.join(command[1:3])} failed:\n" + "\n".join(words[-15:]))
    return result.stdout


def attempt(
    layout: Layout, *command: str, environment: Mapping[str, str] | None = None, cwd: Path = Path("/")
) -> subprocess.CompletedProcess[str]:
    """The command's result, good or bad."""
    return subprocess.run(
        layout.as_user(*command),
        env=clean_environment(environment),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
