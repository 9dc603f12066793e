"""supervisord: its configuration, and talking to it at its socket.

Not through supervisorctl: that lives in the virtualenv, and the platform must be stoppable without one.
"""

from __future__ import annotations

import http.client
import time
import xmlrpc.client
from collections.abc import Iterable
from typing import Any

from deploy.stack import service_user
from deploy.stack.layout import Layout
from deploy.stack.programs import KINDS, STORES, Program, kind
from deploy.stack.settings import Unusable
from deploy.stack.unix_http import UnixConnection

# Longer than any program may take to stop.
PATIENCE = 150
ALREADY_STARTED, NOT_RUNNING, BAD_NAME = 60, 70, 10


def configuration(layout: Layout, programs: list[Program]) -> str:
    """supervisord.conf. In its values `%` is written twice."""
    parts = [
        f"""[supervisord]
nodaemon=false
logfile={layout.log}/supervisord.log
logfile_maxbytes=10MB
pidfile={layout.run}/supervisord.pid
childlogdir={layout.log}
directory=/
umask=077
[unix_http_server]
file={layout.run}/supervisor.sock
chmod=0700
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{layout.run}/supervisor.sock
"""
    ]
    return "".join(parts + [_section(layout, program) for program in programs])


def pid(layout: Layout) -> int | None:
    """Our supervisord's number; None when it is not there."""
    try:
        return int(_server(layout).getPID())
    except (OSError, http.client.HTTPException):
        return None


def is_running(layout: Layout) -> bool:
    """Whether our supervisord answers at its socket."""
    return pid(layout) is not None


def launch(layout: Layout) -> None:
    """Start supervisord as the service user; it starts the stores."""
    program = str(layout.venv / "bin" / "supervisord")
    service_user.run(layout, program, "-c", str(layout.etc / "supervisord.conf"))


def update(layout: Layout, names: Iterable[str]) -> None:
    """Give the named programs their new configuration; those with a changed one are stopped for it."""
    server = _server(layout)
    added, changed, _ = server.reloadConfig()[0]
    for name in {*changed} & {*names}:
        _remove(server, name)
    for name in ({*added} | {*changed}) & {*names}:
        server.addProcessGroup(name)


def remove_forgotten(layout: Layout) -> list[str]:
    """Stop the programs that the configuration no longer has; their names."""
    server = _server(layout)
    removed = sorted(server.reloadConfig()[0][2])
    for name in removed:
        _remove(server, name)
    return removed


def start(layout: Layout, names: Iterable[str], seconds: float = 60) -> None:
    """Start those that do not run and wait for them. Who does not come up is tried again by supervisord."""
    for name in names:
        _settle(_server(layout).startProcess, name, False)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(states(layout).get(name) != "RUNNING" for name in names):
        time.sleep(0.1)


def stop(layout: Layout, names: Iterable[str]) -> None:
    """Stop these programs side by side and wait until the last one has ended."""
    for name in names:
        _settle(_server(layout).stopProcess, name, False)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and "STOPPING" in {states(layout).get(name) for name in names}:
        time.sleep(0.1)


def signal(layout: Layout, name: str, what: str) -> None:
    """Send a program a signal (`HUP`)."""
    _settle(_server(layout).signalProcess, name, what)


def shutdown(layout: Layout) -> None:
    """Ask supervisord to end, with whatever still runs."""
    _server(layout).shutdown()


def states(layout: Layout) -> dict[str, str]:
    """Program → RUNNING, BACKOFF …; empty when supervisord is not there."""
    try:
        return {str(each["name"]): str(each["statename"]) for each in _server(layout).getAllProcessInfo()}
    except (OSError, http.client.HTTPException):
        return {}


def _remove(server: Any, name: str) -> None:
    _settle(server.stopProcessGroup, name)
    server.removeProcessGroup(name)


def _settle(question: Any, *words: Any) -> None:
    """Ask, and be content when it is so already."""
    try:
        question(*words)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode not in (ALREADY_STARTED, NOT_RUNNING, BAD_NAME):
            raise Unusable(f"supervisord says: {fault.faultString}") from fault


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return UnixConnection(self._path, PATIENCE)


def _server(layout: Layout) -> Any:
    transport = _Transport(f"{layout.run}/supervisor.sock")
    return xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport).supervisor


def _section(layout: Layout, program: Program) -> str:
    start = [f"{layout.app}/deploy/start.sh", program.name, str(layout.run), program.socket, program.stop_signal]
    # Unknown to the program, but a change of it makes supervisord restart it.
    environment = {**program.environment, "WHARF_FINGERPRINT": program.fingerprint}
    pairs = ",".join(f'{name}="{value}"' for name, value in environment.items())
    quoted = " ".join(f"'{word}'" for word in [*start, *program.command])
    return f"""[program:{program.name}]
command={_escape(quoted)}
environment={_escape(pairs)}
directory={layout.app}
priority={KINDS.index(kind(program.name)) + 1}
autostart={"true" if program.name in STORES else "false"}
autorestart=true
startsecs=1
startretries=1000000
stopsignal={program.stop_signal}
stopwaitsecs={program.stop_seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile={layout.log}/{program.name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=3
"""


def _escape(value: str) -> str:
    return value.replace("%", "%%")
