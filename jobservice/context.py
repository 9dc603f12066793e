"""What a running job holds: its log, its progress, and the question whether to go on."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from datetime import UTC, datetime
from typing import Any

import structlog
from django.db import connection, transaction

from core import clock
from core.postgres.prepared import Statement
from jobservice import claims, workers
from jobservice.models import Task
from jobservice.status import Status

log = structlog.get_logger(__name__)

# How old what people see may be.
NEWS_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
# How long work whose time is over may take to notice; then its process is ended.
GRACE_SECONDS = 300.0
# Of one attempt. Beyond it only warnings are kept, and as much of those.
LOG_MOST_BYTES = 5_000_000
_ADD_LINES = Statement("bigint, text", "INSERT INTO job_task_log (task_id, text) VALUES ($1, $2)")


class Stopped(Exception):  # noqa: N818
    """Somebody asked the task to stop, or it is another worker's by now."""


class WorkerEnds(Exception):  # noqa: N818
    """The worker was told to end: another one goes on from the last state."""


class TookTooLong(Exception):  # noqa: N818
    """The task ran longer than its kind may."""

    permanent = True


class Context:
    """One attempt at a task. `with` it, the lease is prolonged and what it says is written, in a thread of its own."""

    def __init__(self, task: Task, *, longest_seconds: float) -> None:
        self.task = task
        self.task_id = task.id
        self.execution_id = task.execution_id
        self.attempt = task.run_count
        self.state: dict[str, Any] = dict(task.state)
        self.told: dict[str, Any] = {}
        self.log = logging.Logger(f"task {task.id}")
        self.log.addHandler(_Lines(self._add_line))
        self._ends = time.monotonic() + longest_seconds
        # Of what is to be written. Not held while it is: whoever logs a line does not wait for the database.
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._news: dict[str, Any] = {}
        self._lines: list[str] = []
        self._room = LOG_MOST_BYTES
        # The first step asks at once.
        self._written = -NEWS_SECONDS
        self._is_stop_asked = task.is_stop_asked
        self.is_ours = True
        """Whether this attempt is still the one that runs the task, as far as it has heard."""
        self._end = threading.Event()
        self._heart = threading.Thread(target=self._beat, name=f"heart of task {task.id}", daemon=True)

    def __enter__(self) -> Context:
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._heart.join()

    def checkpoint(self, state: dict[str, Any] | None = None) -> None:
        """Ask whether to go on: raises Stopped, WorkerEnds or TookTooLong when not, which the job lets pass.

        `state` (JSON) is what the next attempt finds if this one dies. RuntimeError in a transaction: it would lock the
        task's row until it ends, and could take back what was said.
        """
        if state is not None:
            self.state = _storable(state)
            with self._lock:
                self._news["state"] = self.state
            self.write()
        elif time.monotonic() - self._written > NEWS_SECONDS:
            self.write()
        if not self.is_ours or self._is_stop_asked:
            raise Stopped
        if workers.is_ending():
            raise WorkerEnds
        if time.monotonic() > self._ends:
            raise TookTooLong("it ran longer than this kind of job may")

    def progress(self, done: int, total: int) -> None:
        """So much of so much is done; for the progress bar. Costs nothing, so say it often."""
        with self._lock:
            self._news.update(done=done, total=total)

    def tell(self, **facts: Any) -> None:
        """Facts (JSON) for the execution's and the task's `extra_attrs` ("check in" in Harbor): freed_space=…"""
        clean = _storable(facts)
        with self._lock:
            self.told.update(clean)
            self._news["extra_attrs"] = {**self.task.extra_attrs, **self.told}

    def write(self) -> None:
        """Write down what is new, and hear whether somebody asked to stop."""
        with self._writing:
            news, lines = self._unwritten()
            with transaction.atomic(durable=True):
                self._write_lines(lines)
                answer = claims.hold(self.task, **news)
            # Not before it is true: what could not be written is tried again.
            self._forget(news, lines)
        self._written = time.monotonic()
        self.is_ours = answer is not None
        self._is_stop_asked = bool(answer)

    def rest(self) -> dict[str, Any]:
        """The columns that are not yet written, for who ends the attempt; its last lines are written.

        Inside the caller's transaction.
        """
        with self._writing:
            news, lines = self._unwritten()
            self._write_lines(lines)
            self._forget({}, lines)
        return news

    def _unwritten(self) -> tuple[dict[str, Any], list[str]]:
        with self._lock:
            return dict(self._news), list(self._lines)

    def _forget(self, news: dict[str, Any], lines: list[str]) -> None:
        """These are written; what came meanwhile is not."""
        with self._lock:
            self._news = {name: value for name, value in self._news.items() if news.get(name) is not value}
            del self._lines[: len(lines)]

    def _write_lines(self, lines: list[str]) -> None:
        if lines:
            _ADD_LINES.rows(self.task_id, "".join(lines))

    def _add_line(self, level: int, text: str) -> None:
        line = log_line(clock.now(), logging.getLevelName(level), text)
        with self._lock:
            if (self._room <= 0 and level < logging.WARNING) or self._room <= -LOG_MOST_BYTES:
                return
            self._lines.append(line)
            self._room -= len(line)
            if self._room <= 0 < self._room + len(line):
                self._lines.append("(The log is long enough; from here on it has warnings only.)\n")

    def _beat(self) -> None:
        """In a thread: work that asks nothing for long keeps its lease all the same, until its time is over."""
        try:
            while not self._end.wait(HEARTBEAT_SECONDS):
                try:
                    if time.monotonic() > self._ends + GRACE_SECONDS:
                        self._end_process()
                    self.write()
                except Exception as error:
                    # Whatever it is: without a heart, two would do the work.
                    log.warning("heartbeat_not_written", task=self.task_id, error=f"{type(error).__name__}: {error}")
                    connection.close()
        finally:
            connection.close()

    def _end_process(self) -> None:
        """Work that hangs would keep its process for ever; with another, the worker goes on."""
        log.error("process_ended", task=self.task_id, vendor_type=self.task.vendor_type)
        try:
            claims.finish(self.task, status=Status.ERROR, message="it ran longer than this kind of job may, and hung")
        finally:
            os.kill(os.getpid(), signal.SIGKILL)


class _Lines(logging.Handler):
    """A log whose records become lines of text."""

    def __init__(self, add: Any) -> None:
        super().__init__()
        self._add = add

    def emit(self, record: logging.LogRecord) -> None:
        self._add(record.levelno, storable_text(self.format(record)))


def log_line(moment: datetime, level: str, text: str) -> str:
    """A line of a task's log."""
    return f"{_moment(moment)} [{level}] {text}\n"


def storable_text(text: str) -> str:
    """Text without what PostgreSQL cannot keep: NUL, and what names of files have in place of bytes."""
    return text.encode(errors="replace").decode().replace("\0", "�")


def _storable(facts: dict[str, Any]) -> dict[str, Any]:
    """The same for JSON, a copy. TypeError for what is none, where it is said and not where it is written."""
    written = storable_text(json.dumps(facts, ensure_ascii=False, allow_nan=False)).replace("\\u0000", "�")
    clean: dict[str, Any] = json.loads(written)
    return clean


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
