"""A real HTTP server that remembers what it was sent, and can be told to misbehave, go away and come back."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    """By lower-case names."""
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Answers 200 with nothing, until `answer` is another function of the handler and the request."""

    received: list[Received] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    answer: Callable[[BaseHTTPRequestHandler, Received], None] = field(
        default_factory=lambda: lambda handler, _: reply(handler, 200)
    )
    _server: ThreadingHTTPServer | None = None
    _open: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def documents(self) -> list[Any]:
        return [each.document for each in self.received]

    def open(self, tls: tuple[Path, Path] | None = None) -> None:
        """Listen: at first at any free port, later again at the same."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                receiver.connections += 1
                receiver._open.append(self.request)
                super().setup()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(self.command, self.path, headers, body)
                receiver.received.append(request)
                receiver.answer(self, request)

            do_GET = do_POST = do_HEAD = handle_any  # noqa: N815

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: Any) -> None:
                """Clients that hang up are part of the stories."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()

    def close(self) -> None:
        """Listen no more, and hang up."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        while self._open:
            hang_up(self._open.pop())


def reply(handler: BaseHTTPRequestHandler, status: int, content: bytes = b"", **headers: str) -> None:
    """A whole answer."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def drip(handler: BaseHTTPRequestHandler, pause: float, *, headers_end: bool = True) -> None:
    """An answer that comes byte by byte and never ends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n" + (b"\r\n" if headers_end else b"X: "))
    while True:
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(pause)


def flood(handler: BaseHTTPRequestHandler) -> None:
    """A body without an end."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


@contextmanager
def receiving(tls: tuple[Path, Path] | None = None) -> Iterator[Receiver]:
    """A receiver that is open, and closed at the end."""
    receiver = Receiver()
    receiver.open(tls)
    try:
        yield receiver
    finally:
        receiver.close()
