"""Redis as Wharf uses it: a short memory whose loss costs speed, never an answer.

After a failure it is left alone for a moment, so that a hanging Redis does not cost its time limit on
every request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import redis
import structlog
from django.conf import settings
from django.core.cache.backends.redis import RedisCache

T = TypeVar("T")
# redis-py types every answer as "this, or a coroutine of this"; we use the plain client only.
Client = Any
log = structlog.get_logger(__name__)
PAUSE_SECONDS = 1.0
_away_until = 0.0


class Away(Exception):  # noqa: N818
    """Redis does not answer."""


@cache
def connection() -> Client:
    """The process's connection pool (created on first use; connections are made as needed)."""
    return redis.Redis.from_url(settings.REDIS_URL, decode_responses=True, socket_timeout=1, socket_connect_timeout=0.3)


def ask(question: Callable[[Client], T]) -> T:
    """What Redis answers; Away when it does not."""
    global _away_until
    if time.monotonic() < _away_until:
        raise Away
    try:
        return question(connection())
    except redis.RedisError as error:
        _away_until = time.monotonic() + PAUSE_SECONDS
        log.warning("redis_away", error=str(error))
        raise Away from error


class JsonSerializer:
    """Cache values as JSON: what can be read back must not be able to run."""

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":")).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class ForgivingCache(RedisCache):
    """Django's Redis cache, for which a dead Redis is a cache miss."""

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return _or(lambda: super(ForgivingCache, self).get(key, default, version), default)

    def set(self, key: str, value: Any, *args: Any, **kwargs: Any) -> None:
        _or(lambda: super(ForgivingCache, self).set(key, value, *args, **kwargs), None)

    def add(self, key: str, value: Any, *args: Any, **kwargs: Any) -> bool:
        return _or(lambda: super(ForgivingCache, self).add(key, value, *args, **kwargs), True)

    def delete(self, key: str, version: int | None = None) -> bool:
        return _or(lambda: super(ForgivingCache, self).delete(key, version), False)

    def has_key(self, key: str, version: int | None = None) -> bool:
        return _or(lambda: super(ForgivingCache, self).has_key(key, version), False)


def _or(question: Callable[[], T], default: T) -> T:
    try:
        return ask(lambda _: question())
    except Away:
        return default
