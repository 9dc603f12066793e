"""Outgoing requests: where they may go, and what becomes of receivers that are slow, endless, or someone else."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core import http
from core.http import Limits, Reach
from tests.certificates import Authority

QUICK = Limits(connect=2, read=2, total=1.5, most_bytes=10_000)


class Receiver(BaseHTTPRequestHandler):
    """Answers as its path says."""

    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen.append((self.command, self.path, headers, self.rfile.read(length)))
        getattr(self, self.path.split("/")[1].split("?")[0] or "fine")()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *args: Any) -> None:
        pass

    def fine(self) -> None:
        self.send_response(418)
        self.end_headers()
        self.wfile.write(b"tea")

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(100):
            self.wfile.write(b"x" * 1000)

    def trickle(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(100):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.1)

    def hang(self) -> None:
        time.sleep(3)

    def slow(self) -> None:
        """Its very first line never ends."""
        for _ in range(100):
            self.wfile.write(b"H")
            self.wfile.flush()
            time.sleep(0.1)

    def away(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.path.partition("?")[2])
        self.end_headers()


@pytest.fixture
def receiver() -> Iterator[str]:
    Receiver.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.daemon_threads = True
        server.handle_error = lambda *args: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def ask(url: str, **options: Any) -> http.Answer:
    return http.send(options.pop("method", "POST"), url, reach=Reach.ADMINS, body=b"{}", limits=QUICK, **options)


def test_any_status_is_an_answer(receiver: str) -> None:
    answer = ask(f"{receiver}/fine?x=1", headers={"Authorization": "secret"})
    assert (answer.status, answer.body) == (418, b"tea")
    method, path, headers, body = Receiver.seen[0]
    assert (method, path, body, headers["authorization"]) == ("POST", "/fine?x=1", b"{}", "secret")
    assert headers["host"] == receiver.removeprefix("http://")


@pytest.mark.parametrize(
    ("path", "failure"),
    [
        ("endless", http.TooLarge),
        ("trickle", http.TimedOut),
        ("slow", http.TimedOut),
        ("hang", http.TimedOut),
    ],
)
def test_who_is_slow_or_endless_is_cut_off(receiver: str, path: str, failure: type[http.Failure]) -> None:
    with pytest.raises(failure):
        ask(f"{receiver}/{path}")


def test_nobody_there_is_said_and_may_be_there_later() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(http.Unreachable) as failure:
            ask(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert not failure.value.permanent


def test_a_redirect_is_followed_and_judged_and_loses_what_authorises(receiver: str) -> None:
    port = receiver.rpartition(":")[2]
    answer = ask(f"{receiver}/away?http://localhost:{port}/fine", headers={"Authorization": "secret", "X-Other": "y"})
    assert (answer.status, answer.url) == (418, f"http://localhost:{port}/fine")
    method, _, headers, body = Receiver.seen[1]
    assert (method, body, headers.get("x-other"), headers.get("authorization")) == ("GET", b"", "y", None)
    with pytest.raises(http.ForbiddenAddress):
        ask(f"{receiver}/away?http://169.254.169.254/latest/meta-data")
    with pytest.raises(http.TooManyRedirects):
        ask(f"{receiver}/away?/away")


FORBIDDEN_TO_ALL = [
    "http://169.254.169.254/", "http://[fe80::1]/", "http://0.0.0.0/", "http://[::]/", "http://224.0.0.1/",
    "http://[::ffff:169.254.169.254]/", "http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376/",
]  # fmt: skip
FORBIDDEN_TO_PROJECTS = [
    "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://10.1.2.3/", "http://192.168.0.1/",
    "http://172.16.0.1/", "http://[fd00::1]/", "http://[::ffff:10.0.0.1]/", "http://127.1/", "http://2130706433/",
    "http://100.64.0.1/",
]  # fmt: skip


@pytest.mark.parametrize("url", FORBIDDEN_TO_ALL)
def test_some_addresses_are_nobodys_business(url: str) -> None:
    for reach in Reach:
        with pytest.raises(http.ForbiddenAddress):
            http.check(url, reach)


@pytest.mark.parametrize("url", FORBIDDEN_TO_PROJECTS)
def test_project_admins_reach_no_private_network(url: str) -> None:
    with pytest.raises(http.ForbiddenAddress, match="WHARF_WEBHOOK_NETWORKS"):
        http.check(url, Reach.PROJECTS)
    http.check(url, Reach.ADMINS)


def test_an_operator_may_allow_a_network(settings: Any) -> None:
    settings.WEBHOOK_NETWORKS = ["10.1.0.0/16"]
    http.allowed_networks.cache_clear()
    try:
        http.check("http://10.1.2.3/", Reach.PROJECTS)
        with pytest.raises(http.ForbiddenAddress):
            http.check("http://10.2.2.3/", Reach.PROJECTS)
    finally:
        http.allowed_networks.cache_clear()


def test_parts_of_the_platform_are_not_called_by_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "own_addresses", lambda: {("10.9.9.9", 5432)})
    with pytest.raises(http.ForbiddenAddress, match="part of this platform"):
        http.check("http://10.9.9.9:5432/", Reach.ADMINS)
    http.check("http://10.9.9.9:80/", Reach.ADMINS)


@pytest.mark.parametrize(
    "url",
    ["", "ftp://example.com/", "file:///etc/passwd", "http://", "http:///x", "//example.com", "http://a:b@example.com/",
     "http://example.com:99999/", "http://exa mple.com/", "http://example.com/\r\nX: y", "http://[::1/"],
)  # fmt: skip
def test_what_is_no_address_is_said_so(url: str) -> None:
    with pytest.raises(http.BadAddress):
        http.check(url, Reach.ADMINS)


def test_a_name_that_changes_its_mind_changes_nothing(receiver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer is judged and connected to; there is no second question."""
    port = int(receiver.rpartition(":")[2])
    answers = [[("127.0.0.1", port)], [("169.254.169.254", port)]]
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **more: Any) -> Any:
        if host != "changing.example":
            return real(host, *rest, **more)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in answers[len(asked) - 1]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert ask(f"http://changing.example:{port}/fine").status == 418
    assert len(asked) == 1
    assert Receiver.seen[0][2]["host"] == f"changing.example:{port}"


def test_of_a_name_with_several_addresses_all_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 80)) for host in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *rest, **more: places)
    with pytest.raises(http.ForbiddenAddress):
        http.check("http://both.example/", Reach.PROJECTS)


def test_a_certificate_counts_unless_one_says_it_does_not(tmp_path: Path) -> None:
    certificate, key = Authority().issue("localhost").write(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *args: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"https://localhost:{server.server_address[1]}/fine"
        with pytest.raises(http.Unreachable, match="certificate"):
            ask(url)
        assert ask(url, verify=False).status == 418
        server.shutdown()
