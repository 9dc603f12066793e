"""A core that is told to stop answers everybody whom it let in."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gunicorn.workers import gthread

PROJECT = Path(__file__).resolve().parents[2]
REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Two workers of our kind that say hello, listening at `socket` in the folder."""
    command = [
        sys.executable, "-m", "gunicorn", "wsgiref.simple_server:demo_app", "--bind", f"unix:{tmp_path}/socket",
        "--worker-class", "core.serving.DrainingWorker", "--workers", "2", "--threads", "4", "--no-control-socket",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.DEVNULL) as master:
        while not (len(_workers(master)) == 2 and (tmp_path / "socket").exists()):
            assert master.poll() is None
            time.sleep(0.05)
        # Both have begun to serve when each has answered; whoever is free takes a connection.
        for _ in range(20):
            with _connect(tmp_path) as client:
                client.sendall(REQUEST)
                assert client.recv(15) == b"HTTP/1.1 200 OK"
        yield master
        master.kill()


def test_who_waits_at_the_door_when_it_closes_is_answered(gunicorn: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Connected by the kernel, accepted by nobody yet: the client has sent a POST that nginx may not send again."""
    workers = _workers(gunicorn)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    clients = [_connect(tmp_path) for _ in range(12)]
    for client in clients:
        client.sendall(REQUEST)
    gunicorn.send_signal(signal.SIGTERM)
    while (tmp_path / "socket").exists():
        time.sleep(0.05)
    # The workers are told after the socket is gone.
    time.sleep(0.5)
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    assert [client.recv(15) for client in clients] == [b"HTTP/1.1 200 OK"] * len(clients)
    for client in clients:
        client.close()
    assert gunicorn.wait(30) == 0


def test_nginx_closes_idle_connections_before_a_stopping_core_does() -> None:
    text = (PROJECT / "deploy" / "nginx" / "nginx.conf").read_text()
    upstream = re.search(r"upstream core \{(.*?)\}\n", text.replace("@{core}", ""), re.S)
    assert upstream
    timeout = re.search(r"keepalive_timeout (\d+)s;", upstream[1])
    assert timeout
    assert int(timeout[1]) < gthread.STOP_KEEPALIVE_LINGER


def _connect(folder: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(str(folder / "socket"))
    return client


def _workers(master: subprocess.Popen[bytes]) -> list[int]:
    children = Path(f"/proc/{master.pid}/task/{master.pid}/children")
    return [int(pid) for pid in children.read_text().split()] if children.exists() else []
