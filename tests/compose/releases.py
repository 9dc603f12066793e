"""The two composes that people have: docker-compose 1.29 of Debian, and v2, built by the ordinary Go client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.compose.engine import run

OLD = ["docker-compose"]
V2 = "github.com/docker/compose/v2"
V2_VERSION = "v2.40.3"


def new(folder: Path) -> list[str]:
    """The command of v2, once it is made."""
    return [str(folder / "compose-v2")]


def make_new(folder: Path) -> None:
    """Build v2. Its go.mod excludes modules, which `go install` refuses; so it is built in a copy of its source."""
    machine = dict(os.environ)
    told = json.loads(run(["go", "mod", "download", "-json", f"{V2}@{V2_VERSION}"], machine, cwd=folder))
    source = folder / "compose-source"
    shutil.copytree(told["Dir"], source)
    subprocess.run(["chmod", "--recursive", "u+w", str(source)], check=True)
    flags = f"-s -w -X {V2}/internal.Version={V2_VERSION}"
    run(["go", "build", "-trimpath", "-ldflags", flags, "-o", *new(folder), "./cmd"], machine, cwd=source)
    shutil.rmtree(source)


def version(command: list[str], environment: dict[str, str]) -> str:
    """What it calls itself."""
    return f"docker compose {run([*command, 'version', '--short'], environment).strip()}"
