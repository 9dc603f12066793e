"""gunicorn's threaded worker, which stays with a connection for a moment after an answer.

nginx keeps its connections to core and sends the next request on the one it used last. The stock worker hands a
connection back to its main thread after each answer and out to a thread again for each request: those two changes of
thread cost more than most answers.
"""

from __future__ import annotations

import select
import threading
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

MOMENT_MS = 200


class Worker(ThreadWorker):  # type: ignore[misc]
    """ThreadWorker with fewer changes of thread. At most half of the threads stay: the others take what comes."""

    def init_process(self) -> None:
        self._places = threading.BoundedSemaphore(max(1, self.cfg.threads // 2))
        super().init_process()

    def handle(self, conn: Any) -> Any:
        """One request and those that follow it soon; gunicorn's words for what is to happen to the connection."""
        while True:
            result = super().handle(conn)
            if result is not True or not self._comes_more(conn):
                return result

    def _comes_more(self, conn: Any) -> bool:
        # What was read ahead is no longer in the socket, and work that waits for a thread goes first.
        if not self.alive or conn.parser.unreader.buf.getvalue() or self.tpool._work_queue.qsize():
            return False
        if not self._places.acquire(blocking=False):
            return False
        try:
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            return bool(poll.poll(MOMENT_MS))
        finally:
            self._places.release()
