"""Bringing what runs up to what is configured, so that clients notice as little as possible.

Replicas of core are restarted one after the other: nginx gives the others what it would have given to the one that
is away, and that one answers what it was given (core/serving.py). nginx itself is never restarted for its
configuration, it reads it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from deploy.stack import health, service_user, supervisor
from deploy.stack import layout as layouts
from deploy.stack.layout import Layout
from deploy.stack.programs import background, cores, nginx_command
from deploy.stack.settings import Settings, Unusable

Say = Callable[[str], None]


def roll_out(layout: Layout, settings: Settings, say: Say) -> None:
    """Everything but the stores. Unusable when a replica of core does not come up; then the others still run."""
    if _running(layout, cores(settings)):
        for name in cores(settings):
            _bring_up(layout, [name], say)
            health.wait_for_core(layout, name)
        _bring_up(layout, background(settings), say)
    else:
        _bring_up(layout, [*cores(settings), *background(settings)], say)
    _open_the_door(layout, say)
    # At last, when nginx has forgotten them.
    for name in supervisor.remove_forgotten(layout):
        say(f"stopped {name}")


def _bring_up(layout: Layout, names: Iterable[str], say: Say) -> bool:
    """Start those that do not run, restart those whose program or settings changed; whether there were any."""
    before = _running(layout, names)
    supervisor.update(layout, names)
    waiting = [name for name in names if name not in _running(layout, names)]
    if waiting:
        say(f"{'restarting' if before else 'starting'} {', '.join(waiting)}")
        supervisor.start(layout, waiting)
    return bool(waiting)


def _open_the_door(layout: Layout, say: Say) -> None:
    """nginx, with the configuration of now."""
    mark, wanted = layout.etc / "nginx-read", _door_fingerprint(layout)
    is_fresh = _bring_up(layout, ["nginx"], say)
    if not is_fresh and not (mark.exists() and mark.read_text() == wanted):
        say("nginx reads its new configuration")
        _check_configuration(layout)
        supervisor.signal(layout, "nginx", "HUP")
    layouts.write(mark, wanted)


def _check_configuration(layout: Layout) -> None:
    """Unusable when nginx would refuse it: told to read it, it would go on with the old one, and nobody would hear."""
    # It opens /dev/stdout for its log, which must be something that its user may open.
    quiet = ("/bin/sh", "-c", 'exec "$@" > /dev/null', "nginx")
    result = service_user.attempt(layout, *quiet, *nginx_command(layout), "-t")
    if result.returncode != 0:
        raise Unusable(f"nginx refuses its new configuration and goes on with the old one:\n{result.stderr.strip()}")


def _door_fingerprint(layout: Layout) -> str:
    files = [layout.etc / "nginx.conf", *sorted((layout.app / "deploy" / "nginx").glob("*.conf"))]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def _running(layout: Layout, names: Iterable[str]) -> set[str]:
    states = supervisor.states(layout)
    return {name for name in names if states.get(name) == "RUNNING"}
