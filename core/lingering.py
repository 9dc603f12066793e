"""gunicorn's threaded worker, which stays with a connection for a moment after an answer.

nginx keeps its connections to core and sends the next request on the one it used last. The stock worker hands a
connection back to its main thread after each answer and out to a thread again for each request: those two changes of
thread cost more than most answers. Staying costs nobody anything: it ends as soon as work waits for a thread.
"""

from __future__ import annotations

import select
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

MOMENT_MS = 10


class Worker(ThreadWorker):  # type: ignore[misc]
    """ThreadWorker with fewer changes of thread."""

    def handle(self, conn: Any) -> Any:
        """One request and those that follow it at once; gunicorn's words for what is to happen to the connection."""
        while True:
            result = super().handle(conn)
            if result is not True or not self._comes_more(conn):
                return result

    def _comes_more(self, conn: Any) -> bool:
        if not self.alive or conn.parser.unreader.buf.getvalue() or self.tpool._work_queue.qsize():
            return False
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(MOMENT_MS))
