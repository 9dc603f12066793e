"""`make compose-check`: build the images, then tell every story with docker-compose 1.29 and with compose v2.

Base images are stand-ins of Debian's packages. Everything runs in an engine and a folder of its own, which are gone
afterwards, also after a failure; the exit code is 0 when every story came true.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tests.compose import engine as engines
from tests.compose import image, releases, standins, stories
from tests.compose.engine import Engine, Failed
from tests.compose.stack import LONG_RUNNING, ONE_SHOT, Stack

TOOLS = ("dockerd", "docker", "docker-compose", "debootstrap", "go")
# The engine's data and a Debian tree need some 5 GB for a while.
NEEDED_BYTES = 8 << 30


def main() -> int:
    """0 when every story came true."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        sys.exit(f"wharf: make compose-check needs {', '.join(missing)} on the PATH")
    # Not /tmp, which may be in memory.
    folder = Path(tempfile.mkdtemp(prefix="wharf-compose-", dir="/var/tmp"))
    if shutil.disk_usage(folder).free < NEEDED_BYTES:
        sys.exit(f"wharf: make compose-check needs {NEEDED_BYTES >> 30} GB free in /var/tmp")
    begun = time.monotonic()
    engine = engines.start(folder)
    try:
        failed = _check(engine)
    finally:
        engine.stop()
    print(f"compose-check: {'failed' if failed else 'all came true'} after {time.monotonic() - begun:.0f} s")
    return int(failed)


def _check(engine: Engine) -> bool:
    """True when something failed."""
    old, new = releases.OLD, releases.new(engine.folder)
    print("--- images")
    for word, step in (
        ("base images made of Debian's packages", lambda: _lines(standins.make(engine))),
        ("compose v2, built with Go", lambda: releases.make_new(engine.folder)),
        ("deploy/Dockerfile built by v1", lambda: image.build(engine, old)),
        ("deploy/Dockerfile built by v2", lambda: image.build(engine, new)),
        ("what the image holds", lambda: image.check(engine)),
    ):
        if not _comes_true(word, step):
            return True
    return not (
        _all_come_true(Stack(engine, new, "wharf-v2", stories.free_port()), stories.WITH_EVERY_COMPOSE)
        and _all_come_true(Stack(engine, old, "wharf-v1", stories.free_port()), stories.WITH_V1)
    )


def _all_come_true(stack: Stack, told: Sequence[Callable[[Stack], None]]) -> bool:
    print(f"--- {releases.version(stack.command, stack.engine.environment)}")
    for story in told:
        if not _comes_true(story.__name__.replace("_", " "), partial(story, stack)):
            print("\n".join(f"--- {each}\n{_log(stack, each)}" for each in (*ONE_SHOT, *LONG_RUNNING)))
            return False
    return True


def _comes_true(word: str, step: Callable[[], str | None]) -> bool:
    begun = time.monotonic()
    try:
        said = step()
    except (Failed, AssertionError, OSError, ValueError, LookupError):
        traceback.print_exc(file=sys.stdout)
        print(f"FAILED {time.monotonic() - begun:5.1f} s  {word}", flush=True)
        return False
    print(f"  ok   {time.monotonic() - begun:5.1f} s  {word}", flush=True)
    for line in (said or "").splitlines():
        print(f"                  {line}", flush=True)
    return True


def _lines(versions: dict[str, str]) -> str:
    return "\n".join(f"{name} stands on {package}" for name, package in versions.items())


def _log(stack: Stack, service: str) -> str:
    try:
        return stack.log(service)
    except (Failed, LookupError) as error:
        return f"no log: {error}"


if __name__ == "__main__":
    sys.exit(main())
