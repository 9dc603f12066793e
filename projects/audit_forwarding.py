"""The audit log sent on to a syslog server, as Harbor's `audit_log_forward_endpoint` says: TCP, a line each (RFC 5424).

A thread of each process sends. Nobody waits for it: while the server is away records queue up, and beyond what fits
they are dropped and counted in our own log. The row in the database is what cannot be lost.
"""

from __future__ import annotations

import json
import os
import queue
import select
import socket
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog

from core import http
from core.configuration import host_and_port

log = structlog.get_logger(__name__)

MOST_WAITING = 10_000
CONNECT_SECONDS = 5.0
# Between two tries, doubled each time up to the most.
RETRY_SECONDS, RETRY_MOST_SECONDS = 0.5, 30.0
# Facility 13, "log audit", and severity 6, "informational".
_PRIORITY = 13 * 8 + 6


def send(endpoint: str, record: Mapping[str, Any], at: datetime) -> None:
    """Hand a record to this process's sender, for the server at `endpoint` (`host:port`)."""
    _sender().send(endpoint, line(record, at))


def line(record: Mapping[str, Any], at: datetime) -> bytes:
    """The record as RFC 5424 has it, JSON as its message; one line whatever it says (RFC 6587, 3.4.2)."""
    header = f"<{_PRIORITY}>1 {at.isoformat()} {socket.gethostname()} wharf {os.getpid()} audit -"
    return f"{header} {json.dumps(record)}\n".encode()


class Sender:
    """Sends lines in their order, from a thread of its own."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._waiting: queue.Queue[bytes] = queue.Queue(MOST_WAITING)
        self._dropped = 0
        # Where the last record was to go. What waits goes there as well: the address may have been wrong before.
        self._endpoint = ""
        self._connection: tuple[str, socket.socket] | None = None
        threading.Thread(target=self._run, name="audit-forwarding", daemon=True).start()

    def send(self, endpoint: str, line: bytes) -> None:
        self._endpoint = endpoint
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def _run(self) -> None:
        while True:
            line, wait = self._waiting.get(), RETRY_SECONDS
            while not self._sent(line):
                time.sleep(wait)
                wait = min(wait * 2, RETRY_MOST_SECONDS)

    def _sent(self, line: bytes) -> bool:
        endpoint = self._endpoint
        try:
            self._connected(endpoint).sendall(line)
        except (OSError, http.Failure) as error:
            log.warning("audit_forwarding_failed", endpoint=endpoint, error=str(error), dropped=self._dropped)
            self._close()
            return False
        return True

    def _connected(self, endpoint: str) -> socket.socket:
        if self._connection and (self._connection[0] != endpoint or _has_ended(self._connection[1])):
            self._close()
        if not self._connection:
            host, port = host_and_port(endpoint)
            made = http.connection(host, port, reach=http.OF_SYSTEM, seconds=CONNECT_SECONDS)
            self._connection = (endpoint, made)
        return self._connection[1]

    def _close(self) -> None:
        if self._connection:
            self._connection[1].close()
        self._connection = None


_made: Sender | None = None
_making = threading.Lock()


def _sender() -> Sender:
    """This process's own: a thread does not come along when a process forks."""
    global _made
    with _making:
        if _made is None or _made.process != os.getpid():
            _made = Sender()
        return _made


def _has_ended(connection: socket.socket) -> bool:
    """Whether the server hung up: the first record written after that would be lost without an error."""
    readable, _, _ = select.select([connection], [], [], 0)
    return bool(readable) and connection.recv(4096) == b""
