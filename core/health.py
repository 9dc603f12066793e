"""Whether the parts of the platform answer: each is really asked, all at once, within three seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late

from django.db import connection

from core import redis
from core.store import client, files

WITHIN_SECONDS = 2.5
_pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="health")


def report() -> dict[str, object]:
    """Harbor's answer: `{"status", "components": [{"name", "status", "error"?}]}`."""
    asked = {name: _pool.submit(question) for name, question in QUESTIONS.items()}
    deadline = time.monotonic() + WITHIN_SECONDS
    # Core itself serves the pages, which Harbor calls the portal.
    components = [{"name": name, "status": "healthy"} for name in ("core", "portal")]
    for name, future in asked.items():
        try:
            future.result(timeout=max(0.0, deadline - time.monotonic()))
            components.append({"name": name, "status": "healthy"})
        except Late:
            components.append({"name": name, "status": "unhealthy", "error": "no answer in time"})
        except Exception as error:
            components.append({"name": name, "status": "unhealthy", "error": f"{type(error).__name__}"})
    healthy = all(component["status"] == "healthy" for component in components)
    return {"status": "healthy" if healthy else "unhealthy", "components": components}


def _ask_database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        # This thread serves no requests, so nobody else would close its connection.
        connection.close()


def _ask_redis() -> None:
    redis.ask(lambda r: r.ping())


def _ask_jobservice() -> None:
    # Workers listen for commands by a pattern as long as they are connected; nobody else here uses patterns.
    if not redis.ask(lambda r: r.pubsub_numpat()):
        raise ConnectionError


def _ask_registry() -> None:
    if not client.is_alive():
        raise ConnectionError
    # It answers also when its store does not.
    files.check()


QUESTIONS: dict[str, Callable[[], None]] = {
    "database": _ask_database,
    "redis": _ask_redis,
    "registry": _ask_registry,
    "jobservice": _ask_jobservice,
}
