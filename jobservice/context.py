"""What a running job holds: its log, its progress, and the question whether to go on."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from typing import Any

from django.db import Error, connection, transaction

from core import clock
from jobservice import claims
from jobservice.models import Task, TaskLog

# How old what people see may be.
NEWS_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
# Of one attempt. Beyond it only warnings are kept, and as much of those.
LOG_MOST_BYTES = 5_000_000


class Stopped(Exception):  # noqa: N818
    """Somebody asked the task to stop, or it is another worker's by now."""


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
        self._lock = threading.RLock()
        self._news: dict[str, Any] = {}
        self._lines: list[str] = []
        self._room = LOG_MOST_BYTES
        self._written = time.monotonic()
        self._is_stop_asked = task.is_stop_asked
        self._is_ours = True
        self._end = threading.Event()
        self._heart = threading.Thread(target=self._beat, name=f"heart of task {task.id}", daemon=True)

    def __enter__(self) -> Context:
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._heart.join()

    def checkpoint(self, state: dict[str, Any] | None = None) -> None:
        """Ask whether to go on: raises Stopped when not. `state` is what the next attempt finds if this one dies."""
        if state is not None:
            self.state = dict(state)
            with self._lock:
                self._news["state"] = self.state
            self.write()
        elif time.monotonic() - self._written > NEWS_SECONDS:
            self.write()
        if not self._is_ours or self._is_stop_asked:
            raise Stopped
        if time.monotonic() > self._ends:
            raise TookTooLong("it ran longer than this kind of job may")

    def progress(self, done: int, total: int) -> None:
        """So much of so much is done; for the progress bar. Costs nothing, so say it often."""
        with self._lock:
            self._news.update(done=done, total=total)

    def tell(self, **facts: Any) -> None:
        """Facts for the execution's and the task's `extra_attrs` ("check in" in Harbor), such as freed_space=…"""
        with self._lock:
            self.told.update(facts)
            self._news["extra_attrs"] = {**self.task.extra_attrs, **self.told}

    def write(self) -> None:
        """Write down what is new, and hear whether somebody asked to stop."""
        with self._lock:
            with transaction.atomic():
                self._write_lines()
                answer = claims.hold(self.task, **self._news)
            # Not before it is true: what could not be written is tried again.
            self._news, self._lines, self._written = {}, [], time.monotonic()
        self._is_ours = answer is not None
        self._is_stop_asked = bool(answer)

    def rest(self) -> dict[str, Any]:
        """The columns that are not yet written, for who ends the attempt; its last lines are written."""
        with self._lock:
            self._write_lines()
            self._lines = []
            return self._news

    def _write_lines(self) -> None:
        if self._lines:
            TaskLog.objects.create(task_id=self.task_id, text="".join(self._lines))

    def _add_line(self, level: int, text: str) -> None:
        line = f"{_moment(clock.now())} [{logging.getLevelName(level)}] {text}\n"
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
            while not self._end.wait(HEARTBEAT_SECONDS) and time.monotonic() < self._ends:
                try:
                    self.write()
                except Error:
                    connection.close()
        finally:
            connection.close()


class _Lines(logging.Handler):
    """A log whose records become lines of text."""

    def __init__(self, add: Any) -> None:
        super().__init__()
        self._add = add

    def emit(self, record: logging.LogRecord) -> None:
        self._add(record.levelno, self.format(record).replace("\0", "�"))


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
