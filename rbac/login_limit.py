"""Failed logins are limited per account and address, so that nobody can lock another's account.

Counted in Redis for all processes together; while Redis is away each process counts for itself.
"""

from __future__ import annotations

import hashlib
import threading
import time

from django.conf import settings

from core import errors, redis

WINDOW_SECONDS = 60
_REMEMBERED_MOST = 10_000
_local: dict[str, tuple[float, int]] = {}
_lock = threading.Lock()


def check(account: str, address: str) -> None:
    """TooManyFailures when the limit is reached; says when to come again."""
    key = _key(account, address)
    if _failures(key) >= settings.LOGIN_FAILURES_PER_MINUTE:
        raise errors.TooManyFailures(retry_after=max(1, _seconds_left(key)))


def record_failure(account: str, address: str) -> None:
    """One more failed login."""
    key = _key(account, address)
    try:
        redis.ask(
            lambda r: r.pipeline().set(key, 0, ex=WINDOW_SECONDS, nx=True).incr(key).execute(),
        )
    except redis.Away:
        _record_locally(key)


def _failures(key: str) -> int:
    """Failures in the current window."""
    try:
        return int(redis.ask(lambda r: r.get(key)) or 0)
    except redis.Away:
        ends, failures = _local.get(key, (0.0, 0))
        return failures if ends > time.monotonic() else 0


def _seconds_left(key: str) -> int:
    """Until the current window ends."""
    try:
        return int(redis.ask(lambda r: r.ttl(key)))
    except redis.Away:
        ends, _ = _local.get(key, (0.0, 0))
        return int(ends - time.monotonic()) + 1


def _record_locally(key: str) -> None:
    now = time.monotonic()
    with _lock:
        if len(_local) >= _REMEMBERED_MOST:
            for old in [name for name, (ends, _) in _local.items() if ends < now]:
                del _local[old]
        ends, failures = _local.get(key, (0.0, 0))
        _local[key] = (ends, failures + 1) if ends > now else (now + WINDOW_SECONDS, 1)


def _key(account: str, address: str) -> str:
    # Hashed: account names are anything a client sends.
    return "wharf:login-failures:" + hashlib.sha256(f"{account}\0{address}".encode()).hexdigest()
