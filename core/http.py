"""The one way to make an outgoing HTTP request (invariant I9).

Who may be called depends on who wrote the address down: system admins may mean machines of their own network, project
admins may not. The name is looked up once, every address that it has is judged, and the connection goes to an address
that was judged: a name that changes its mind in between changes nothing. Redirects are judged anew, and lose what
authorises when they lead to another host. Nothing is taken from the environment: no proxies, no .netrc, no cookies.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from http.client import HTTPException
from urllib.parse import urljoin, urlsplit

import urllib3
import urllib3.connection
from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

CONNECT_SECONDS, READ_SECONDS, TOTAL_SECONDS = 3.0, 10.0, 30.0
MOST_BYTES = 10 * 1024 * 1024
MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_AUTHORISING = ("authorization", "proxy-authorization", "cookie")
_PORTS = {"http": 80, "https": 443}


class Reach(Enum):
    """Whom a request may go to."""

    ADMINS = "what system admins wrote down: private networks and loopback too"
    PROJECTS = "what project admins wrote down: the public internet, and the networks that the operator allows"


class Failure(Exception):  # noqa: N818
    """The request got no answer that can be used. `permanent`: it will not get one later either."""

    permanent = False


class Unreachable(Failure):
    """Nobody answers there."""


class TimedOut(Failure):
    """The answer did not come, or did not end, in time."""


class TooLarge(Failure):
    """The answer is larger than it may be."""

    permanent = True


class BadAddress(Failure):
    """This is no address for a request."""

    permanent = True


class ForbiddenAddress(Failure):
    """Requests must not go there."""

    permanent = True


class TooManyRedirects(Failure):
    """It leads from one place to the next and never to an answer."""

    permanent = True


@dataclass(frozen=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes
    url: str
    """Where it came from in the end."""


@dataclass(frozen=True)
class Limits:
    """How long it may take, in seconds, and how much may come, in bytes."""

    connect: float = CONNECT_SECONDS
    read: float = READ_SECONDS
    total: float = TOTAL_SECONDS
    most_bytes: int = MOST_BYTES
    redirects: int = MOST_REDIRECTS


@dataclass(frozen=True)
class Target:
    """One place that a request goes to: the address is what is connected to, the host what is asked for."""

    scheme: str
    host: str
    port: int
    path: str
    address: str = field(default="")


def send(
    method: str,
    url: str,
    *,
    reach: Reach,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    verify: bool = True,
    limits: Limits = Limits(),
) -> Answer:
    """One request and its answer, of whatever status. Raises a Failure when there is none."""
    ends = time.monotonic() + limits.total
    sent = {name.lower(): value for name, value in (headers or {}).items()}
    for _ in range(limits.redirects + 1):
        target = resolve(url, reach)
        answer = _send_once(method, target, url, sent, body, verify, limits, ends)
        onward = answer.headers.get("location") if answer.status in _REDIRECTS else None
        if onward is None or not limits.redirects:
            return answer
        following = urljoin(url, onward)
        if urlsplit(following).netloc != urlsplit(url).netloc:
            sent = {name: value for name, value in sent.items() if name not in _AUTHORISING}
        if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
            method, body = "GET", None
        url = following
    raise TooManyRedirects(f"{url} leads on and on, more than {limits.redirects} times")


def check(url: str, reach: Reach) -> None:
    """BadAddress or ForbiddenAddress when no request could go there; a name that is unknown now may be known later."""
    try:
        resolve(url, reach)
    except Unreachable:
        return


def resolve(url: str, reach: Reach) -> Target:
    """Where a request to a URL goes to. BadAddress, ForbiddenAddress; Unreachable when its name is unknown."""
    target = _parse(url)
    addresses = [_plain(found) for found in _look_up(target)]
    own = own_addresses()
    for address in addresses:
        if why := _objection(address, target.port, reach, own):
            raise ForbiddenAddress(f"{target.host} is {address}, and requests must not go there: {why}")
    return Target(target.scheme, target.host, target.port, target.path, str(addresses[0]))


def _parse(url: str) -> Target:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadAddress(f"{url[:200]!r} is no address: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise BadAddress(f"{url[:200]!r} is no address; it must begin with http:// or https:// and name a host")
    if parts.username or parts.password:
        raise BadAddress("an address must not hold a user name or a password; use the header for that")
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        raise BadAddress("an address must not hold blanks or control characters")
    path = parts.path or "/"
    whole = f"{path}?{parts.query}" if parts.query else path
    return Target(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], whole)


def _look_up(target: Target) -> list[str]:
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"the name {target.host} is not known here") from error
    return [str(entry[4][0]).partition("%")[0] for entry in found]


def _plain(text: str) -> Address:
    """An IPv4 address that is written as an IPv6 one is what it is."""
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped or address.sixtofour if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _objection(address: Address, port: int, reach: Reach, own: Iterable[tuple[str, int]]) -> str:
    """Why a request must not go to an address; empty when it may."""
    if address.is_link_local:
        return "link-local addresses are the machine's own and its cloud's"
    if address.is_multicast or address.is_unspecified or (address.is_reserved and not address.is_loopback):
        return "it is nobody's address"
    if (str(address), port) in own:
        return "it is a part of this platform"
    if reach is Reach.ADMINS or address.is_global or any(address in network for network in allowed_networks()):
        return ""
    return "it is not public, and WHARF_WEBHOOK_NETWORKS does not allow it"


@cache
def allowed_networks() -> tuple[Network, ...]:
    """Those that project admins' endpoints may be in besides the public internet."""
    return tuple(ipaddress.ip_network(text) for text in settings.WEBHOOK_NETWORKS)


@cache
def own_addresses() -> frozenset[tuple[str, int]]:
    """Addresses and ports of the registry, Redis and the database, where they do not listen on a socket's path."""
    database = settings.DATABASES["default"]
    services = [(parts.hostname, parts.port) for parts in map(urlsplit, (settings.REGISTRY_URL, settings.REDIS_URL))
                if "%2f" not in parts.netloc.lower()]  # fmt: skip
    services.append((database["HOST"], int(database["PORT"] or 5432)))
    found = set()
    for host, port in services:
        if host and port and not host.startswith("/"):
            with suppress(OSError):
                entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                found |= {(str(_plain(str(entry[4][0]))), port) for entry in entries}
    return frozenset(found)


def _send_once(
    method: str,
    target: Target,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    verify: bool,
    limits: Limits,
    ends: float,
) -> Answer:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimedOut(f"{target.host} did not answer in {limits.total:.0f} s")
    connection = _connection(target, verify, min(limits.connect, left))
    try:
        with _hang_up_after(connection, left) as is_late:
            try:
                connection.connect()
                connection.sock.settimeout(min(limits.read, left))
                connection.request(
                    method, target.path, body=body, headers={**headers, "host": _host_header(target)},
                    preload_content=False,
                )  # fmt: skip
                response = connection.getresponse()
                content = _read(response, limits, target)
            except Exception as error:
                # Whatever breaks when we hang up, it is that.
                if not is_late.is_set():
                    raise
                raise TimedOut(f"{target.host} did not answer in {limits.total:.0f} s") from error
            if is_late.is_set():
                # An answer without a length looks whole when it is cut off.
                raise TimedOut(f"{target.host} did not end its answer in {limits.total:.0f} s")
    except urllib3.exceptions.NewConnectionError as error:
        # Of urllib3's family of timeouts.
        raise Unreachable(f"{target.host}:{target.port} does not answer: {error}") from error
    except (urllib3.exceptions.TimeoutError, TimeoutError) as error:
        raise TimedOut(f"{target.host} did not answer in time") from error
    except (urllib3.exceptions.SSLError, ssl.SSLError) as error:
        raise Unreachable(f"the certificate of {target.host} is not accepted: {error}") from error
    except (urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
        raise Unreachable(f"{target.host}:{target.port} does not answer: {error}") from error
    finally:
        connection.close()
    return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, content, url)


def _connection(target: Target, verify: bool, seconds: float) -> urllib3.connection.HTTPConnection:
    """To the judged address, for the host."""
    if target.scheme == "http":
        return urllib3.connection.HTTPConnection(target.address, target.port, timeout=seconds)
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return urllib3.connection.HTTPSConnection(
        target.address, target.port, timeout=seconds, ssl_context=context,
        server_hostname=target.host, assert_hostname=target.host if verify else False,
    )  # fmt: skip


@contextmanager
def _hang_up_after(connection: urllib3.connection.HTTPConnection, seconds: float) -> Iterator[threading.Event]:
    """A receiver that sends a byte now and then is never silent for long enough: after this time it is cut off."""
    is_late = threading.Event()

    def hang_up() -> None:
        is_late.set()
        with suppress(OSError):
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield is_late
    finally:
        timer.cancel()


def _host_header(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.port == _PORTS[target.scheme] else f"{host}:{target.port}"


def _read(response: urllib3.BaseHTTPResponse, limits: Limits, target: Target) -> bytes:
    content = bytearray()
    for chunk in response.stream(16 * 1024, decode_content=True):
        content += chunk
        if len(content) > limits.most_bytes:
            raise TooLarge(f"{target.host} answers more than {limits.most_bytes} bytes")
    return bytes(content)
