"""Failed logins are limited per account and address, so that nobody can lock another's account.

Counted in Redis for all processes together; while Redis is away each process counts for itself.
"""

from __future__ import annotations

import hashlib
import threading

from django.conf import settings

from core import errors, redis
from core.short_memory import ShortMemory

WINDOW_SECONDS = 60
# What this process saw fail: counted here too.
_seen: ShortMemory[int] = ShortMemory()
_counting = threading.Lock()


def check(account: str, address: str) -> None:
    """TooManyFailures when the limit is reached; says when to come again."""
    key = _key(account, address)
    failures, seconds_left = _failures(key)
    if failures >= settings.LOGIN_FAILURES_PER_MINUTE:
        # Whoever goes on guessing here is asked about in Redis from now on.
        _see(key, 0)
        raise errors.TooManyFailures(retry_after=max(1, seconds_left))


def is_quiet(account: str, address: str) -> bool:
    """Whether this process saw no failure of this account from there within the last minute.

    Then Redis need not be asked about who gave the right secret here a short while ago: whoever guesses instead is
    seen at his first guess, in each process.
    """
    return _seen.get(_key(account, address)) is None


def record_failure(account: str, address: str) -> None:
    """One more failed login."""
    key = _key(account, address)
    _see(key, 1)
    try:
        redis.ask(
            lambda r: r.pipeline().set(key, 0, ex=WINDOW_SECONDS, nx=True).incr(key).execute(),
        )
    except redis.Away:
        return


def _failures(key: str) -> tuple[int, int]:
    """Failures in the current window, and the seconds until it ends."""
    try:
        count, seconds = redis.ask(lambda r: r.pipeline(transaction=False).get(key).ttl(key).execute())
    except redis.Away:
        return _seen.get(key) or 0, int(_seen.seconds_left(key)) + 1
    return int(count or 0), int(seconds)


def _see(key: str, failures: int) -> None:
    """Count in this process, within the window that the first failure began."""
    with _counting:
        known = _seen.get(key)
        seconds = WINDOW_SECONDS if known is None else _seen.seconds_left(key)
        _seen.put(key, (known or 0) + failures, seconds=seconds)


def _key(account: str, address: str) -> str:
    # Hashed: account names are anything a client sends.
    return "wharf:login-failures:" + hashlib.sha256(f"{account}\0{address}".encode()).hexdigest()
