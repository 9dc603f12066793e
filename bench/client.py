"""A lean HTTP/1.1 client that keeps its connection: some 40 µs a request, so that it is not what is measured."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

Buffer = bytes | memoryview
_CHUNK = 1 << 20


class Failed(Exception):  # noqa: N818
    """An answer that the measurement cannot use; says which."""


@dataclass(frozen=True)
class Answer:
    """One answer. `body` is empty when it was thrown away, `length` counts it all the same."""

    status: int
    headers: dict[str, str]
    body: bytes
    length: int


class Client:
    """One connection to one server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.host = urlsplit(url).netloc
        self._socket = self._connect()
        self._scratch = memoryview(bytearray(_CHUNK))
        self._ahead = b""

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Sequence[Buffer] = (),
        *,
        expect: int = 200,
        drop: bool = False,
    ) -> Answer:
        """The answer; Failed when its status is another than expected. `drop`: the kernel throws the body away."""
        answer = self.send(method, path, headers, body, drop=drop)
        if answer.status != expect:
            raise Failed(f"{method} {self.url}{path} answered {answer.status}: {answer.body[:300]!r}")
        return answer

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: Sequence[Buffer] = (), *, drop: bool = False
    ) -> Answer:
        """The answer, whatever it is."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", *(f"{k}: {v}" for k, v in headers.items())]
        if method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {sum(len(part) for part in body)}")
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        for part in body:
            self._socket.sendall(part)
        answer = self._receive(has_body=method != "HEAD", drop=drop)
        if answer.headers.get("connection", "").lower() == "close":
            self._socket.close()
            self._socket = self._connect()
        return answer

    def _connect(self) -> socket.socket:
        parts = urlsplit(self.url)
        connection = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=120)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _receive(self, *, has_body: bool, drop: bool) -> Answer:
        status, headers = self._head()
        if not has_body or status in (204, 304):
            return Answer(status, headers, b"", 0)
        if "content-length" not in headers:
            raise Failed(f"{self.url} answered {status} without Content-Length")
        length = int(headers["content-length"])
        ahead, self._ahead = self._ahead[:length], self._ahead[length:]
        if drop and status < 300:
            self._discard(length - len(ahead))
            return Answer(status, headers, b"", length)
        return Answer(status, headers, ahead + self._read(length - len(ahead)), length)

    def _head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._ahead:
            received = self._socket.recv(65536)
            if not received:
                raise Failed(f"{self.url} closed the connection")
            self._ahead += received
        head, _, self._ahead = self._ahead.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return int(first.split(" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs}

    def _discard(self, left: int) -> None:
        while left:
            received = self._socket.recv_into(self._scratch, min(left, _CHUNK), socket.MSG_TRUNC)
            if not received:
                raise Failed(f"{self.url} closed the connection inside a body")
            left -= received

    def _read(self, left: int) -> bytes:
        parts = []
        while left:
            part = self._socket.recv(min(left, _CHUNK))
            if not part:
                raise Failed(f"{self.url} closed the connection inside a body")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
