"""Core's worker stays with a connection after an answer; nobody may have to wait for that."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

THREADS = 2


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The application that the worker serves here."""
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    path = str(tmp_path / "core.sock")
    command = [sys.executable, "-m", "gunicorn", "tests.core.test_lingering:hello", "--bind", f"unix:{path}"]
    options = ["--worker-class", "core.lingering.Worker", "--threads", str(THREADS), "--no-control-socket"]
    process = subprocess.Popen([*command, *options, "--keep-alive", "75"])
    try:
        wait_for(lambda: Path(path).exists())
        yield process, path
    finally:
        process.terminate()
        process.wait(30)


def wait_for(question: Callable[[], bool]) -> None:
    for _ in range(600):
        if question():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within half a minute")


def connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(path)
    return connection


def ask(connection: socket.socket) -> bytes:
    send(connection)
    return receive(connection)


def send(connection: socket.socket) -> None:
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


def receive(connection: socket.socket) -> bytes:
    answer = b""
    while not answer.endswith(b"hello"):
        received = connection.recv(4096)
        assert received, answer
        answer += received
    return answer


def test_more_connections_than_threads_are_all_answered(server: tuple[subprocess.Popen[bytes], str]) -> None:
    connections = [connect(server[1]) for _ in range(THREADS * 5)]
    for _ in range(3):
        for connection in connections:
            send(connection)
        for connection in connections:
            assert receive(connection).startswith(b"HTTP/1.1 200 OK")
    for connection in connections:
        connection.close()


def test_a_connection_that_is_silent_for_long_is_answered_again(server: tuple[subprocess.Popen[bytes], str]) -> None:
    connection = connect(server[1])
    ask(connection)
    time.sleep(0.2)
    assert b"keep-alive" in ask(connection)
    connection.close()


def test_a_stop_waits_for_nobody_who_only_might_ask(server: tuple[subprocess.Popen[bytes], str]) -> None:
    process, path = server
    connection = connect(path)
    ask(connection)
    process.send_signal(signal.SIGTERM)
    assert process.wait(25) == 0
    connection.close()
