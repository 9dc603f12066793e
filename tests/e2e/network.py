"""A network of the tests' own. Docker takes 127.0.0.0/8 for insecure and verifies nothing there."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own_network(names: Mapping[str, str]) -> Iterator[None]:
    """This thread, and whatever it starts meanwhile, sees only loopback and the addresses of these names.

    The namespace has no name and no link to the outside: it is gone with the last process in it.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _check(_libc.unshare(CLONE_NEWNET))
        try:
            _ip("link", "set", "lo", "up")
            for address in {*names.values()}:
                _ip("address", "add", f"{address}/32", "dev", "lo")
            with _resolved(names):
                yield
        finally:
            _check(_libc.setns(home, CLONE_NEWNET))
    finally:
        os.close(home)


def with_replaced(places: Mapping[Path, Path]) -> list[str]:
    """A command's prefix: it finds other files or folders at these places, and nobody else does."""
    script = "".join(f"mount --bind '{other}' '{place}' && " for place, other in places.items())
    return ["unshare", "--mount", "sh", "-c", f'{script}exec "$@"', "sh"]


@contextmanager
def _resolved(names: Mapping[str, str]) -> Iterator[None]:
    """For this process; programs are given a hosts file."""
    genuine = socket.getaddrinfo

    def look_up(host: Any, *more: Any, **options: Any) -> Any:
        return genuine(names.get(host, host), *more, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        yield


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
