"""Outgoing requests, with real servers on this machine's own address: where they may go, and what they may take."""

from __future__ import annotations

import gzip
import logging
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from core import http
from core.addresses import Reach
from core.http import Limits
from tests.certificates import Authority
from tests.receiver import Receiver, drip, flood, hang_up, receiving, reply

INTRANET, PUBLIC = Reach(private=True), Reach()
SHORT = Limits(connect_seconds=1, silence_seconds=0.5, total_seconds=1, most_bytes=1000)
RealLookUp = Callable[..., list[Any]]


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiving() as opened:
        yield opened


class Names:
    """A resolver in our hands: what each name means, one meaning a look-up, the last one for ever."""

    def __init__(self) -> None:
        self.meanings: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self.real = socket.getaddrinfo

    def __call__(self, host: str, port: int, *args: Any, **more: Any) -> list[Any]:
        self.asked.append(host)
        known = self.meanings.get(host)
        if known is None:
            return list(self.real(host, port, *args, **more))
        meant = known.pop(0) if len(known) > 1 else known[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in meant]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    made = Names()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    return made


# --- plain exchanges ------------------------------------------------------------------------------------------
def test_an_answer_is_read_whole_whatever_its_status(server: Receiver) -> None:
    server.answer = lambda handler, _: reply(handler, 503, b"later", X_Word="yes")
    answer = http.request("POST", f"{server.url}/a?b=c", reach=INTRANET, headers={"Authorization": "x"}, body=b"hello")
    assert (answer.status, answer.content, answer.headers["x-word"]) == (503, b"later", "yes")
    (received,) = server.received
    assert (received.method, received.path, received.body) == ("POST", "/a?b=c", b"hello")
    assert received.headers["authorization"] == "x"
    assert received.headers["host"] == f"127.0.0.1:{server.port}"
    assert received.headers["user-agent"].startswith("wharf/")


def test_a_connection_is_used_again(server: Receiver) -> None:
    for _ in range(3):
        http.request("GET", server.url, reach=INTRANET)
    assert server.connections == 1


def test_cookies_are_not_kept(server: Receiver) -> None:
    server.answer = lambda handler, _: reply(handler, 200, Set_Cookie="sid=1; Path=/")
    for _ in range(2):
        http.request("GET", server.url, reach=INTRANET)
    assert "cookie" not in server.received[1].headers


def test_the_environment_names_no_proxy_and_no_password(
    server: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login alice password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    assert http.request("GET", server.url, reach=INTRANET).status == 200
    assert "authorization" not in server.received[0].headers


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://user:password@example.com/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://example.com:x/",
        "http://exa mple.com/",
        "http://example.com\\@other.com/",
        "http://example.com/\r\nX: y",
        "http://[::1/",
        f"http://{'a' * 64}.com/",
        f"http://example.com/{'a' * 2048}",
        "gopher://127.0.0.1/",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(http.AddressInvalid) as raised:
        http.request("GET", url, reach=INTRANET)
    assert raised.value.permanent
    with pytest.raises(http.AddressInvalid):
        http.check(url, reach=INTRANET)


# --- where they may go ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1"])
def test_this_machine_is_for_system_admins_alone_however_it_is_written(server: Receiver, host: str) -> None:
    url = f"http://{host}:{server.port}/"
    with pytest.raises(http.ForbiddenAddress, match="is loopback") as raised:
        http.request("GET", url, reach=PUBLIC)
    assert raised.value.permanent
    with pytest.raises(http.ForbiddenAddress):
        http.check(url, reach=PUBLIC)
    assert server.connections == 0
    http.check(url, reach=INTRANET)
    assert http.request("GET", url, reach=INTRANET).status == 200


def test_a_network_may_be_allowed(server: Receiver) -> None:
    assert http.request("GET", server.url, reach=Reach(allowed=(ip_network("127.0.0.0/8"),))).status == 200
    with pytest.raises(http.ForbiddenAddress):
        http.request("GET", server.url, reach=Reach(allowed=(ip_network("10.0.0.0/8"),)))


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.0", "[::]", "224.0.0.1", "[fe80::1]", "[fd00:ec2::254]"])
def test_some_addresses_are_for_nobody(host: str) -> None:
    with pytest.raises(http.ForbiddenAddress):
        http.request("GET", f"http://{host}/", reach=INTRANET)


def test_our_own_services_are_for_nobody(server: Receiver, settings: Any) -> None:
    settings.OWN_SERVICES = [("localhost", server.port)]
    with pytest.raises(http.ForbiddenAddress, match="one of the platform's own services"):
        http.request("GET", server.url, reach=INTRANET)
    with pytest.raises(http.ForbiddenAddress):
        http.request("GET", f"http://[::ffff:127.0.0.1]:{server.port}/", reach=INTRANET)
    settings.OWN_SERVICES = [("localhost", server.port + 1), ("unknown.invalid", server.port)]
    assert http.request("GET", server.url, reach=INTRANET).status == 200


def test_nobody_is_called_while_we_cannot_tell_our_own_services(
    server: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OWN_SERVICES = [("redis.example", server.port)]
    real, go_on = socket.getaddrinfo, threading.Event()
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **more: go_on.wait(30) if "redis" in host else real(host, *a, **more)
    )
    try:
        with pytest.raises(http.TimedOut, match=r"redis\.example could not be looked up"):
            http.request("GET", server.url, reach=INTRANET, limits=SHORT)
        assert server.connections == 0
    finally:
        go_on.set()


def test_a_refusal_does_not_tell_what_a_name_means_in_our_network(names: Names) -> None:
    names.meanings["db.corp.example"] = [["10.20.30.40"]]
    with pytest.raises(http.ForbiddenAddress) as raised:
        http.request("GET", "http://db.corp.example/", reach=PUBLIC)
    assert "10.20" not in raised.value.message


def test_a_name_that_changes_its_meaning_is_connected_to_as_it_was_judged(server: Receiver, names: Names) -> None:
    allowed = Reach(allowed=(ip_network("127.0.0.1/32"),))
    # The next look-up would lead elsewhere: there must be none.
    names.meanings["rebind.example"] = [["127.0.0.1"], ["127.0.0.2"]]
    url = f"http://rebind.example:{server.port}/"
    assert http.request("GET", url, reach=allowed).status == 200
    assert names.asked == ["rebind.example"]
    assert server.received[0].headers["host"] == f"rebind.example:{server.port}"
    server.close()
    server.open()
    with pytest.raises(http.ForbiddenAddress):
        http.request("GET", url, reach=allowed)
    assert len(server.received) == 1


def test_of_several_addresses_the_allowed_ones_are_tried_in_turn(server: Receiver, names: Names) -> None:
    # 127.0.0.3 is allowed, and nobody listens there.
    names.meanings["many.example"] = [["169.254.169.254", "127.0.0.3", "127.0.0.1"]]
    assert http.request("GET", f"http://many.example:{server.port}/", reach=INTRANET).status == 200


def test_a_redirect_into_a_forbidden_address_is_not_followed(server: Receiver) -> None:
    allowed = Reach(allowed=(ip_network("127.0.0.1/32"),))
    for target in ("http://127.0.0.2:1/", "http://169.254.169.254/latest/", "http://[::1]/", "file:///etc/passwd"):
        server.answer = lambda handler, _, to=target: reply(handler, 307, Location=to)  # type: ignore[misc]
        with pytest.raises((http.ForbiddenAddress, http.AddressInvalid)):
            http.request("POST", server.url, reach=allowed, body=b"x")


NOW = 1_764_111_600.5


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Tue, 25 Nov 2025 23:01:00 GMT", 60),
        ("Tuesday, 25-Nov-25 23:01:00 GMT", 60),
        ("Tue Nov 25 23:01:00 2025", 60),
        ("Tue, 25 Nov 2025 22:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 251_638_189_199),
        ("Tue, 31 Feb 2026 00:00:00 GMT", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("9" * 5000, None),
        ("", None),
    ],
)
def test_how_long_a_server_asks_us_to_wait(said: str, seconds: int | None) -> None:
    for status in (429, 503):
        assert http.retry_after(http.Answer(status, b"", {"Retry-After": said}), now=NOW) == seconds
    for status in (200, 301, 400, 500):
        assert http.retry_after(http.Answer(status, b"", {"Retry-After": said}), now=NOW) is None


def test_what_authorises_stays_with_its_origin(server: Receiver) -> None:
    with receiving() as other:
        server.answer = lambda handler, request: reply(
            handler, 308, Location="/again" if request.path == "/" else f"{other.url}/there"
        )
        headers = {"authorization": "secret", "X-Other": "stays"}
        answer = http.request("POST", f"{server.url}/", reach=INTRANET, headers=headers, body=b"hello")
    assert (answer.status, answer.url) == (200, f"{other.url}/there")
    assert [each.headers.get("authorization") for each in server.received] == ["secret", "secret"]
    (arrived,) = other.received
    assert "authorization" not in arrived.headers
    assert (arrived.method, arrived.body, arrived.headers["x-other"]) == ("POST", b"hello", "stays")


def test_a_redirect_that_would_lose_the_body_is_an_answer(server: Receiver) -> None:
    server.answer = lambda handler, _: reply(handler, 302, Location="/elsewhere")
    assert http.request("POST", server.url, reach=INTRANET, body=b"x").status == 302
    assert len(server.received) == 1


def test_redirects_end(server: Receiver) -> None:
    server.answer = lambda handler, _: reply(handler, 302, Location="/")
    with pytest.raises(http.TooManyRedirects):
        http.request("GET", server.url, reach=INTRANET)
    assert len(server.received) == 6
    assert http.request("GET", server.url, reach=INTRANET, redirects=0).status == 302


# --- what they may take ---------------------------------------------------------------------------------------
def test_an_endless_body_is_too_large_or_cut(server: Receiver) -> None:
    server.answer = lambda handler, _: flood(handler)
    with pytest.raises(http.TooLarge, match="more than 1000 bytes") as raised:
        http.request("GET", server.url, reach=INTRANET, limits=SHORT)
    assert raised.value.permanent
    answer = http.request("GET", server.url, reach=INTRANET, limits=SHORT, cut=True)
    assert (answer.content, answer.is_whole) == (b"x" * 1000, False)


def test_what_is_packed_stays_packed(server: Receiver) -> None:
    server.answer = lambda handler, _: reply(handler, 200, b"\x1f\x8b bomb", Content_Encoding="gzip")
    assert http.request("GET", server.url, reach=INTRANET).content == b"\x1f\x8b bomb"


def test_the_body_of_a_redirect_is_not_unpacked_and_not_read_any_further(server: Receiver) -> None:
    # Followed or not: a library that is asked to follow none reads it all the same.
    bomb = gzip.compress(b"\0" * 10_000_000)
    for method, redirects in (("POST", 5), ("GET", 0)):
        server.answer = lambda handler, _: reply(handler, 302, bomb, Location="/x", Content_Encoding="gzip")
        answer = http.request(method, server.url, reach=INTRANET, limits=SHORT, redirects=redirects, cut=True)
        assert (answer.status, answer.content, answer.is_whole) == (302, bomb[:1000], False)


def send(handler: Any, raw: bytes) -> None:
    """These bytes as an answer, and the end."""
    handler.close_connection = True
    handler.wfile.write(raw)
    handler.connection.shutdown(socket.SHUT_WR)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "beginning",
    [
        # A size below zero means to http.client: up to the end.
        CHUNKED + b"-1\r\n",
        CHUNKED + b"0\r\n" + b"Trailer: x\r\n" * 1_000_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000_000,
    ],
)
def test_what_is_no_body_is_counted_too(server: Receiver, beginning: bytes) -> None:
    server.answer = lambda handler, _: send(handler, beginning + b"x" * 10_000_000)
    with pytest.raises(http.TooLarge):
        http.request("GET", server.url, reach=INTRANET, limits=SHORT)


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", 5),
        (CHUNKED + b"zz\r\n", 0),
        (CHUNKED + b"-1\r\n" + b"x" * 1_000_000, 0),
    ],
)
def test_a_status_counts_whatever_comes_of_its_body(server: Receiver, answer: bytes, pause: float) -> None:
    """Else who has taken a message, and says nothing more, would be sent it again for a day."""

    def say(handler: Any, _: Any) -> None:
        handler.wfile.write(answer)
        handler.wfile.flush()
        time.sleep(pause)
        send(handler, b"")

    server.answer = say
    patient = Limits(silence_seconds=3, total_seconds=3, most_bytes=1000)
    found = http.request("POST", server.url, reach=INTRANET, body=b"x", limits=patient, cut=True)
    assert (found.status, found.is_whole) == (200, False)
    with pytest.raises(http.Failure):
        http.request("POST", server.url, reach=INTRANET, body=b"x", limits=SHORT)


def test_a_body_of_small_chunks_is_no_larger_than_it_is(server: Receiver) -> None:
    server.answer = lambda handler, _: send(handler, CHUNKED + b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n")
    assert http.request("GET", server.url, reach=INTRANET, limits=SHORT).content == b"x" * 1000


@pytest.mark.parametrize("headers_end", [True, False])
def test_a_server_that_answers_a_byte_at_a_time_does_not_keep_us(server: Receiver, headers_end: bool) -> None:
    server.answer = lambda handler, _: drip(handler, 0.05, headers_end=headers_end)
    with pytest.raises(http.TimedOut) as raised:
        http.request("GET", server.url, reach=INTRANET, limits=SHORT)
    assert not raised.value.permanent


def test_the_same_over_tls(tls: tuple[Path, Path]) -> None:
    with receiving(tls) as server:
        server.answer = lambda handler, _: drip(handler, 0.05)
        with pytest.raises(http.TimedOut):
            http.request("GET", f"https://127.0.0.1:{server.port}", reach=INTRANET, limits=SHORT, verify=False)


def test_a_server_that_takes_little_at_a_time_does_not_keep_us(tls: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def sip() -> None:
            with suppress(OSError), context.wrap_socket(listening.accept()[0], server_side=True) as connection:
                while connection.recv(16 * 1024):
                    time.sleep(0.05)

        threading.Thread(target=sip, daemon=True).start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(http.TimedOut):
            http.request("POST", url, reach=INTRANET, body=b"x" * 50_000_000, limits=SHORT, verify=False)


def test_a_server_that_says_nothing_does_not_keep_us() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(http.TimedOut):
        http.request("GET", f"http://127.0.0.1:{silent.getsockname()[1]}", reach=INTRANET, limits=SHORT)


def test_a_look_up_that_hangs_does_not_keep_us(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: go_on.wait(30))
    try:
        with pytest.raises(http.TimedOut, match="could not be looked up"):
            http.request("GET", "http://slow.example/", reach=INTRANET, limits=SHORT)
        http.check("http://slow.example/", reach=PUBLIC, seconds=0.1)
    finally:
        go_on.set()


def test_look_ups_that_hang_are_not_hoarded(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, hanging = threading.Event(), set()

    def hang(host: str, *_: Any, **__: Any) -> list[Any]:
        hanging.add(host)
        go_on.wait(30)
        return []

    monkeypatch.setattr(http, "_look_ups", threading.Semaphore(3))
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        for number in range(6):
            http.check(f"http://slow{number}.example/", reach=PUBLIC, seconds=0.05)
        assert len(hanging) == 3
    finally:
        go_on.set()


# --- who is not there, and who is somebody else -------------------------------------------------------------------
def test_nobody_there(server: Receiver) -> None:
    server.close()
    with pytest.raises(http.Unreachable, match="nobody listens") as raised:
        http.request("GET", server.url, reach=INTRANET)
    assert not raised.value.permanent
    with pytest.raises(http.Unreachable, match="nobody knows the host"):
        http.request("GET", "http://nobody.invalid/", reach=INTRANET)
    http.check("http://nobody.invalid/", reach=PUBLIC)


def test_a_server_that_breaks_off(server: Receiver) -> None:
    server.answer = lambda handler, _: hang_up(handler.connection)
    with pytest.raises(http.Unreachable, match="broke off"):
        http.request("GET", server.url, reach=INTRANET)


def test_one_that_speaks_something_else(server: Receiver) -> None:
    def greet(handler: Any, _: Any) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        hang_up(handler.connection)

    server.answer = greet
    with pytest.raises(http.Unreachable):
        http.request("GET", server.url, reach=INTRANET)
    with pytest.raises(http.Unreachable, match="does not speak TLS"):
        http.request("GET", server.url.replace("http:", "https:"), reach=INTRANET, limits=SHORT)


@pytest.mark.parametrize("location", ["http://[", "http://[::1", "//[x", "http://a:b:c/", "http://example.com:99999/"])
def test_one_that_sends_the_request_on_to_nowhere(server: Receiver, location: str) -> None:
    server.answer = lambda handler, _: reply(handler, 307, Location=location)
    with pytest.raises(http.AddressInvalid, match="sends the request on to what is no address"):
        http.request("POST", server.url, reach=INTRANET, body=b"x")
    assert http.request("POST", server.url, reach=INTRANET, body=b"x", redirects=0).status == 307


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\xff" * 100,
        b"HTTP/1.1 abc what\r\n\r\n",
        b"HTTP/1.1 99 what\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"f" * 40 + b"\r\nx",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
)
def test_whatever_is_no_answer_is_a_failure_with_a_name(server: Receiver, answer: bytes) -> None:
    server.answer = lambda handler, _: send(handler, answer)
    with pytest.raises(http.Unreachable, match="broke off, or does not speak HTTP") as raised:
        http.request("POST", server.url, reach=INTRANET, body=b"x", limits=SHORT)
    assert not raised.value.permanent


@pytest.mark.parametrize("value", ["a\r\nHost: b", "a\nb", " a", "\u20ac", "\ud800"])
def test_a_header_is_one_line(server: Receiver, value: str) -> None:
    with pytest.raises(http.AddressInvalid, match="a header holds characters") as raised:
        http.request("POST", server.url, reach=INTRANET, headers={"Authorization": value})
    assert raised.value.permanent
    assert server.connections == 0


def test_a_secret_of_an_address_is_in_no_log(server: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """Not in what a library says, and not in the errors that are logged with all that they wrap."""
    url = f"{server.url}/hook?key=Sesame-1"
    headers = {"Authorization": "Bearer Sesame-2"}
    with caplog.at_level(logging.DEBUG):
        server.answer = lambda handler, _: send(handler, b"HTTP/1.1 200 OK\r\n: no name\r\n no\r\n\r\n")
        assert http.request("GET", url, reach=INTRANET, headers=headers).status == 200
        server.close()
        with pytest.raises(http.Unreachable) as raised:
            http.request("GET", url, reach=INTRANET, headers=headers)
    said = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert "nobody listens" in said
    assert "Sesame" not in said


AUTHORITY = Authority()


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Path, Path]:
    return AUTHORITY.issue("localhost").write(tmp_path)


@pytest.fixture
def trusted(tmp_path: Path, settings: Any) -> Iterator[None]:
    bundle = tmp_path / "ca.pem"
    bundle.write_text(AUTHORITY.pem)
    settings.CA_BUNDLE = str(bundle)
    _forget_trust()
    yield
    _forget_trust()


def _forget_trust() -> None:
    http._trust.cache_clear()
    http._kept.__dict__.clear()


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_the_operators_authority(tls: tuple[Path, Path]) -> None:
    with receiving(tls) as server:
        assert http.request("GET", f"https://localhost:{server.port}/", reach=INTRANET).status == 200
        # The same one, for another name.
        with pytest.raises(http.CertificateInvalid, match="not trusted"):
            http.request("GET", f"https://127.0.0.1:{server.port}/", reach=INTRANET)


def test_a_certificate_of_somebody_is_trusted_only_when_that_is_wanted(tls: tuple[Path, Path]) -> None:
    with receiving(tls) as server:
        url = f"https://localhost:{server.port}/"
        assert http.request("GET", url, reach=INTRANET, verify=False).status == 200
        # Not by the connection that is open.
        with pytest.raises(http.CertificateInvalid, match="not trusted") as raised:
            http.request("GET", url, reach=INTRANET)
    assert not raised.value.permanent


@pytest.mark.usefixtures("trusted")
def test_sni_and_host_stay_the_name(tls: tuple[Path, Path], names: Names) -> None:
    names.meanings["localhost"] = [["127.0.0.1"], ["127.0.0.9"]]
    with receiving(tls) as server:
        assert http.request("GET", f"https://localhost:{server.port}/", reach=INTRANET).status == 200
    assert server.received[0].headers["host"] == f"localhost:{server.port}"


def test_the_system_s_authorities_are_trusted_besides() -> None:
    assert http._trust(verify=True).cert_store_stats()["x509_ca"] >= 100
