"""The one way to make an outgoing HTTP request (invariant I9).

A name is resolved once, the address is judged (`core/addresses.py`), and that very address is connected to, while SNI,
certificate and Host stay the name's. Each redirect is a new request, judged again, and `Authorization` stays with its
origin. Everything has a limit: connecting, each silence, the whole, and the size of the answer, which is counted where
bytes are received, whatever they are called. There are no cookies, no proxies and no .netrc of the environment. Answers
come as they are sent: nothing is unpacked.

Errors are Failures, with a sentence, and with `permanent` when the same request would fail again. They wrap no error of
the libraries, whose words hold the whole address: what follows its `?` may be a secret, and logs show what is wrapped.
"""

from __future__ import annotations

import math
import os
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPException
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
import urllib3
from django.conf import settings
from django.utils.http import parse_http_date_safe
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import connection as sockets

from core import addresses, errors
from core.addresses import Reach

URL_MOST = 2048
_CHUNK = 16 * 1024
# What goes wrong on the way; all of it is named (`_named`).
_BROKEN = (OSError, urllib3.exceptions.HTTPError, HTTPException, ValueError)
# Of an answer, besides its body: headers, trailers, and what says how large a chunk is.
_AROUND = 256 * 1024
_CUT_SECONDS = 1.0
_SAFE = ("GET", "HEAD")
_MAY_ASK_TO_WAIT = (429, 503)
# More digits nobody means.
_SECONDS = re.compile("[0-9]{1,9}")
_AGENT = f"wharf/{settings.VERSION}"
# What belongs to one origin alone.
_PRIVATE_HEADERS = ("authorization", "cookie", "proxy-authorization")

OF_SYSTEM = Reach(private=True)
"""Endpoints that system admins set: registries, scanners. They live in the intranet."""
OF_PROJECTS = Reach(allowed=settings.WEBHOOK_ALLOWED_NETWORKS, allowed_by="WHARF_WEBHOOK_ALLOWED_NETWORKS")
"""Endpoints that project admins set."""


class Failure(errors.Refusal):
    """The request could not be made."""

    permanent = False


class AddressInvalid(Failure):
    """An address looks like https://host[:port]/path, without a user's name in it."""

    permanent = True


class ForbiddenAddress(Failure):
    """Requests may not go to this address."""

    permanent = True


class Unreachable(Failure):
    """Nobody answers there."""


class CertificateInvalid(Failure):
    """The server's certificate is not trusted."""


class TimedOut(Failure):
    """It took too long."""


class TooLarge(Failure):
    """The answer is too large."""

    permanent = True


class TooManyRedirects(Failure):
    """The server sends the request on and on."""

    permanent = True


@dataclass(frozen=True)
class Limits:
    """How much a request may take."""

    connect_seconds: float = 5.0
    """For the name and the connection, TLS included, each."""
    silence_seconds: float = 10.0
    """Without a byte."""
    total_seconds: float = 30.0
    """For everything, redirects included."""
    most_bytes: int = 4 * 1024 * 1024
    """Of the answer's body."""


@dataclass(frozen=True)
class Answer:
    """What a server answered, whatever its status."""

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    """By names of any case."""
    url: str = ""
    """Where it was answered, after redirects."""
    is_whole: bool = True
    """False when the body was cut."""


def request(
    method: str,
    url: str,
    *,
    reach: Reach,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    limits: Limits | None = None,
    verify: bool = True,
    redirects: int = 5,
    cut: bool = False,
) -> Answer:
    """Make a request and read the whole answer.

    With `cut`, of a body that is too large, breaks off or does not come within a second only its beginning: who asks
    for that wants to know the status.

    Redirects are followed where that is the same request again: every one of a GET or HEAD, 307 and 308 of others.
    One that is not followed is an answer. Raises a Failure.
    """
    limits = limits or Limits()
    ends = time.monotonic() + limits.total_seconds
    usual = {"User-Agent": _AGENT, "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "keep-alive"}
    sent = CaseInsensitiveDict({**usual, **(headers or {})})
    for _ in range(redirects + 1):
        answer = _exchange(method, parsed(url), sent, body, reach, limits, ends, verify=verify, cut=cut)
        target = _redirect(method, answer) if redirects else ""
        if not target:
            return answer
        if not _is_same_origin(parsed(url), parsed(target)):
            for name in _PRIVATE_HEADERS:
                sent.pop(name, None)
        url = target
    raise TooManyRedirects(f"{origin(url)} sends the request on more than {redirects} times")


def check(url: str, *, reach: Reach, seconds: float = 2.0) -> None:
    """AddressInvalid or ForbiddenAddress when requests may not go there. A name that nobody knows yet may pass."""
    parts = parsed(url)
    try:
        _allowed(parts.hostname or "", _port(parts), reach, seconds)
    except (Unreachable, TimedOut):
        return


def connection(host: str, port: int, *, reach: Reach, seconds: float) -> socket.socket:
    """A connection for what is not HTTP, to an address that requests may go to; `seconds` for each step.

    Raises a Failure.
    """
    try:
        return _first(socket.socket, _allowed(host, port, reach, seconds), lambda: seconds)
    except OSError as error:
        raise Unreachable(f"nobody answers at {host}:{port}") from error


def parsed(url: str) -> SplitResult:
    """The parts of an address; AddressInvalid when it is none that we talk to."""
    try:
        parts = urlsplit(url)
        is_plain = url.isprintable() and not set(url) & set(" \\") and len(url) <= URL_MOST
        host = (parts.hostname or "").encode("idna")
        if is_plain and parts.scheme in ("http", "https") and host and "@" not in parts.netloc and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise AddressInvalid


def retry_after(answer: Answer, *, now: float) -> int | None:
    """How many seconds a server asks us to wait with 429 or 503 (RFC 9110 10.2.3), be it as a date.

    None when it does not, or in no way that can be read. It may be any number: who heeds it says up to what.
    """
    said = answer.headers.get("Retry-After", "").strip()
    if answer.status not in _MAY_ASK_TO_WAIT:
        return None
    if _SECONDS.fullmatch(said):
        return int(said)
    moment = parse_http_date_safe(said)
    return None if moment is None else max(0, math.ceil(moment - now))


def origin(url: str) -> str:
    """Scheme, host and port of an address: what of it may be shown to everybody."""
    parts = parsed(url)
    return f"{parts.scheme}://{parts.netloc}"


def without_query(url: str) -> str:
    """The address for people and logs: what follows `?` may be a secret."""
    return url.partition("#")[0].partition("?")[0]


# --- one exchange ---------------------------------------------------------------------------------------------
def _exchange(
    method: str,
    parts: SplitResult,
    headers: Mapping[str, str],
    body: bytes | None,
    reach: Reach,
    limits: Limits,
    ends: float,
    *,
    verify: bool,
    cut: bool,
) -> Answer:
    _now.begin(limits, ends)
    url = parts.geturl()
    prepared = _prepared(method, url, headers, body)
    try:
        # Not by a Session: that reads and unpacks the whole body of every redirect, also of one that is not followed.
        response = _adapter(reach).send(
            prepared, stream=True, timeout=(limits.connect_seconds, limits.silence_seconds), verify=verify
        )
        with response:
            content, is_whole = _read(response, limits.most_bytes, url, cut=cut)
    except _BROKEN as error:
        raise _named(error, origin(url), limits) from None
    return Answer(response.status_code, content, response.headers, url, is_whole)


def _prepared(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> requests.PreparedRequest:
    """The request as it is sent; AddressInvalid, and nobody is called, when it cannot be."""
    try:
        for value in headers.values():
            value.encode("latin-1")
        return requests.Request(method, url, headers=dict(headers), data=body).prepare()
    except (UnicodeEncodeError, requests.exceptions.InvalidHeader):
        raise AddressInvalid("a header holds characters that headers cannot have") from None
    except (requests.RequestException, ValueError):
        raise AddressInvalid from None


def _read(response: requests.Response, most: int, url: str, *, cut: bool) -> tuple[bytes, bool]:
    """The body, and whether it is all of it."""
    content = bytearray()
    if cut:
        _now.ends = min(_now.ends, time.monotonic() + _CUT_SECONDS)
    try:
        while chunk := response.raw.read(min(_CHUNK, most + 1 - len(content)), decode_content=False):
            content += chunk
            if len(content) > most:
                raise TooLarge(f"{origin(url)} answers with more than {most} bytes")
    except (TooLarge, *_BROKEN):
        if not cut:
            raise
        return bytes(content[:most]), False
    return bytes(content), True


def _redirect(method: str, answer: Answer) -> str:
    """Where the same request is to be made again; empty for an answer."""
    follows = (301, 302, 303, 307, 308) if method in _SAFE else (307, 308)
    location = answer.headers.get("Location", "")
    if answer.status not in follows or not location:
        return ""
    try:
        return parsed(urljoin(answer.url, location)).geturl()
    except (AddressInvalid, ValueError):
        raise AddressInvalid(f"{origin(answer.url)} sends the request on to what is no address") from None


def _is_same_origin(one: SplitResult, other: SplitResult) -> bool:
    return (one.scheme, one.hostname, _port(one)) == (other.scheme, other.hostname, _port(other))


def _port(parts: SplitResult) -> int:
    return parts.port or {"http": 80, "https": 443}[parts.scheme]


def _named(error: BaseException, server: str, limits: Limits) -> Failure:
    """The error in our words. requests and urllib3 wrap the one that happened several times."""
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, Failure):
            return cause
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateInvalid(f"the certificate of {server} is not trusted: {cause.verify_message}")
        if isinstance(cause, TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError):
            spans = f"{limits.silence_seconds:g} s of silence, or {limits.total_seconds:g} s in all, are too long"
            return TimedOut(f"{server} did not answer in time: {spans}")
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return Unreachable(f"{server} does not speak TLS as we do: {cause.reason or 'the handshake failed'}")
        if isinstance(cause, ConnectionRefusedError):
            return Unreachable(f"nobody listens at {server}")
    return Unreachable(f"{server} broke off, or does not speak HTTP")


def _causes(error: BaseException) -> list[BaseException]:
    """An error with all that it wraps."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            waiting += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
    return found


# --- connecting -----------------------------------------------------------------------------------------------
class _Now(threading.local):
    """The limits of the request that this thread makes."""

    ends = 0.0
    silence = 10.0
    connect = 5.0
    room = 0

    def begin(self, limits: Limits, ends: float) -> None:
        self.ends, self.silence, self.connect = ends, limits.silence_seconds, limits.connect_seconds
        # Twice the body: sent in many small chunks it takes more than its size.
        self.room = 2 * limits.most_bytes + _AROUND

    def left(self, most: float) -> float:
        """So many seconds, or what is left of the whole; TimeoutError when nothing is."""
        seconds = min(most, self.ends - time.monotonic())
        if seconds <= 0:
            raise TimeoutError("the whole took too long")
        return seconds

    def received(self, count: int) -> int:
        """As many bytes as were received; TooLarge when that is too much in all."""
        self.room -= count
        if self.room < 0:
            raise TooLarge("the answer is too large, with all that surrounds its body")
        return count


_now = _Now()


class _Socket(socket.socket):
    """Waits no longer than the whole request may take, and takes no more than an answer may hold.

    One byte a second must not keep us for ever, and a chunk that calls its size -1 is read to its end by http.client.
    """

    def recv_into(self, *args: Any, **more: Any) -> int:
        self.settimeout(_now.left(_now.silence))
        return _now.received(super().recv_into(*args, **more))


class _TlsSocket(ssl.SSLSocket):
    def recv_into(self, *args: Any, **more: Any) -> int:
        self.settimeout(_now.left(_now.silence))
        return _now.received(super().recv_into(*args, **more))


def _connect(host: str, port: int, reach: Reach, options: Any) -> socket.socket:
    """A connection to an allowed address of this host."""
    found = _allowed(host, port, reach, _now.left(_now.connect))
    return _first(_Socket, found, lambda: _now.left(_now.connect), options or ())


def _first(
    kind: type[socket.socket],
    found: list[tuple[socket.AddressFamily, Any]],
    seconds: Callable[[], float],
    options: Iterable[Any] = (),
) -> socket.socket:
    """A connection to the first of these addresses where somebody listens."""
    failed = OSError("no address")
    for family, address in found:
        made = kind(family, socket.SOCK_STREAM)
        try:
            for option in options:
                made.setsockopt(*option)
            made.settimeout(seconds())
            made.connect(address)
            return made
        except OSError as error:
            made.close()
            failed = error
    raise failed


def _allowed(host: str, port: int, reach: Reach, seconds: float) -> list[tuple[socket.AddressFamily, Any]]:
    """The host's addresses that requests may go to; ForbiddenAddress when it has no such."""
    found = _resolve(host, port, seconds)
    good, reason = [], ""
    for family, _, _, _, address in found:
        objection = addresses.objection(str(address[0]), reach) or _own_service(str(address[0]), port, seconds)
        if objection:
            reason = reason or objection
        else:
            good.append((family, address))
    if not good:
        # Without the address itself: who sets endpoints is not to learn what names mean in our network.
        raise ForbiddenAddress(f"requests may not go to {host}: its address is {reason}")
    return good


def _own_service(address: str, port: int, seconds: float) -> str:
    """The objection to one of our own services' addresses. TimedOut when we cannot know: then nobody is called."""
    for host, own in settings.OWN_SERVICES:
        if own == port:
            try:
                known = {_plain(str(row[4][0])) for row in _resolve(host, own, seconds)}
            except Unreachable:
                continue
            if _plain(address) in known:
                return "one of the platform's own services"
    return ""


def _plain(address: str) -> addresses.Address:
    return addresses.plain(addresses.parsed(address))


# Names that nobody answers for take half a minute each: whoever sets endpoints could fill a process with threads.
MOST_LOOK_UPS = 50
_look_ups = threading.Semaphore(MOST_LOOK_UPS)


def _resolve(host: str, port: int, seconds: float) -> list[Any]:
    """What a name means now. Looking up has no time limit of its own, so it is done by a thread that we do not await.

    Raises Unreachable and TimedOut.
    """
    answers: queue.Queue[Any] = queue.Queue()
    too_late = TimedOut(f"the name {host} could not be looked up in time")

    def look_up() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=sockets.allowed_gai_family()))
        except (OSError, UnicodeError) as error:
            answers.put(error)
        finally:
            _look_ups.release()

    if not _look_ups.acquire(timeout=seconds):
        raise too_late
    threading.Thread(target=look_up, name="look up a name", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise too_late from None
    if isinstance(answer, Exception):
        raise Unreachable(f"nobody knows the host {host}") from answer
    return list(answer)


class _Http(HTTPConnection):
    reach = Reach()

    def _new_conn(self) -> socket.socket:
        return _connect(self._dns_host, self.port, self.reach, self.socket_options)


class _Https(HTTPSConnection):
    reach = Reach()

    def _new_conn(self) -> socket.socket:
        return _connect(self._dns_host, self.port or 443, self.reach, self.socket_options)


class _Adapter(HTTPAdapter):
    """requests' own, but for who connects and whom we trust."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        super().__init__(max_retries=0, pool_maxsize=4)

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        plain = type("Http", (_Http,), {"reach": self._reach})
        tls = type("Https", (_Https,), {"reach": self._reach})
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("HttpPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("HttpsPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
        }

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        parts = urlsplit(request.url or "")
        place = {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}
        return place, {"ssl_context": _trust(verify=bool(verify))} if parts.scheme == "https" else {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Whom we trust is in the context already."""


@cache
def _trust(*, verify: bool) -> ssl.SSLContext:
    """The system's authorities and the operator's; with no `verify`, anybody."""
    context = ssl.create_default_context()
    context.sslsocket_class = _TlsSocket
    if settings.CA_BUNDLE:
        context.load_verify_locations(cafile=settings.CA_BUNDLE)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


# Somebody said so for an endpoint; that is shown where it is set, and not in our log at each request.
urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
_kept = threading.local()


def _adapter(reach: Reach) -> HTTPAdapter:
    """This thread's, with its open connections: those of another kind of endpoint, or of a parent process, are not
    for us."""
    key = (os.getpid(), reach)
    adapters: dict[Any, HTTPAdapter] = _kept.__dict__.setdefault("adapters", {})
    if key not in adapters:
        adapters[key] = _Adapter(reach)
    return adapters[key]
