"""supervisord: its configuration, and talking to it."""

from __future__ import annotations

import subprocess

from deploy.stack.layout import Layout
from deploy.stack.programs import STORES, Program
from deploy.stack.settings import Unusable


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
    return "".join(parts + [_section(layout, program, place) for place, program in enumerate(programs)])


def is_running(layout: Layout) -> bool:
    """Whether our supervisord answers on its socket."""
    return control(layout, "pid", check=False).returncode == 0


def start(layout: Layout) -> None:
    """Start supervisord as the service user."""
    result = subprocess.run(
        layout.as_user(str(layout.venv / "bin" / "supervisord"), "-c", str(layout.etc / "supervisord.conf")),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise Unusable(f"supervisord did not start: {result.stdout}{result.stderr}")


def control(layout: Layout, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """supervisorctl; Unusable with its words when it fails and `check` is set."""
    program = [str(layout.venv / "bin" / "supervisorctl"), "-c", str(layout.etc / "supervisord.conf"), *command]
    if not (layout.etc / "supervisord.conf").exists():
        return subprocess.CompletedProcess(program, 1, "", "")
    result = subprocess.run(layout.as_user(*program), capture_output=True, text=True, check=False, cwd="/")
    if check and result.returncode != 0:
        raise Unusable(f"supervisorctl {' '.join(command)} failed: {result.stdout}{result.stderr}")
    return result


def states(layout: Layout) -> dict[str, str]:
    """Program → RUNNING, BACKOFF …; empty when supervisord is not there."""
    lines = control(layout, "status", check=False).stdout.splitlines()
    return {words[0]: words[1] for line in lines if len(words := line.split()) >= 2 and words[1].isupper()}


def _section(layout: Layout, program: Program, place: int) -> str:
    start = [
        f"{layout.app}/deploy/start.sh",
        program.name,
        str(layout.run),
        program.socket or "''",
        program.stop_signal,
    ]
    # Unknown to the program, but a change of it makes supervisord restart it.
    environment = {**program.environment, "WHARF_FINGERPRINT": program.fingerprint}
    pairs = ",".join(f'{name}="{value}"' for name, value in environment.items())
    quoted = " ".join(f"'{word}'" if word and word != "''" else "''" for word in [*start, *program.command])
    return f"""[program:{program.name}]
command={_escape(quoted)}
environment={_escape(pairs)}
directory={layout.app}
priority={place + 1}
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
