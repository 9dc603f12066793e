"""The outbox's relay: who wanted to hear of an event afterwards hears of it here, once for each event.

One relay is at work at a time, in the order in which events were written. A listener's rows and the end of the
outbox's row are one transaction. A listener that fails makes nobody wait: its event is tried again each minute, beside
the relay, and after MOST_ATTEMPTS it is untold: it stays, with the error, until an operator says what becomes of it
(`manage.py untold_events`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import QuerySet

from core import events, locks
from core.events import Event, Listener
from core.models import Outbox
from jobservice import bell
from jobservice.bell import Bell
from jobservice.job import Queue

log = structlog.get_logger(__name__)
Listeners = dict[str, tuple[type[Event], list[Listener]]]
RELAY = "jobservice.tasks.relay"
MOST_ATTEMPTS = 10
BATCH = 200
# Each process rings at most once in this time, and a relay lingers as long: nothing is missed in between.
QUIET_SECONDS = 0.5
# Then others get a turn.
TURN_SECONDS = 10.0
_last_bell = -QUIET_SECONDS
_ringing = threading.Lock()


def ring() -> None:
    """Call a relay, unless this process has just done so. The clock rings as well."""
    global _last_bell
    with _ringing:
        now = time.monotonic()
        if now - _last_bell < QUIET_SECONDS:
            return
        _last_bell = now
    bell.send(Bell(RELAY, (), Queue.EVENT))


def run() -> int:
    """Relay what there is, and what comes within the next half second; returns how many events.

    At most for some seconds, then it rings for the next. Nothing while another relay is at work.
    """
    count, until = 0, time.monotonic() + TURN_SECONDS
    with locks.sole_here("outbox") as is_mine:
        if not is_mine:
            return 0
        while time.monotonic() < until:
            relayed = _relay(list(_fresh()[:BATCH]))
            count += relayed
            if relayed == 0 and not _linger():
                return count
    ring()
    return count


def retry_failed() -> int:
    """Try each event once more that somebody could not hear; returns how many were heard now.

    For the clock. The relay's lock is not asked for: while events keep coming a relay is always at work, and these
    events are none of its.
    """
    count, last, until = 0, 0, time.monotonic() + TURN_SECONDS
    # Each once, whoever fails again before it: the next turn of that one is in a minute.
    while time.monotonic() < until and (rows := list(_failed().filter(id__gt=last)[:BATCH])):
        count += _relay(rows)
        last = rows[-1].pk
    return count


def untold() -> QuerySet[Outbox]:
    """The events that are not tried any more, in their order."""
    return Outbox.objects.filter(attempts__gte=MOST_ATTEMPTS).order_by("id")


def tell_again() -> int:
    """Have them tried as if they had just happened; the clock rings for them. How many."""
    return untold().update(attempts=0)


def forget_untold() -> int:
    """Drop them; how many."""
    gone, _ = untold().delete()
    return gone


def _linger() -> bool:
    """Wait as long as bells may be silent; whether something came."""
    time.sleep(QUIET_SECONDS)
    return _fresh().exists()


def _fresh() -> QuerySet[Outbox]:
    """Those that nobody was told of yet, in their order."""
    return Outbox.objects.filter(attempts=0).order_by("id")


def _failed() -> QuerySet[Outbox]:
    """Those that somebody could not hear and that are tried again, in their order."""
    return Outbox.objects.filter(attempts__gt=0, attempts__lt=MOST_ATTEMPTS).order_by("id")


def _relay(rows: list[Outbox]) -> int:
    """Relay these events, and drop their rows; how many are dropped."""
    listeners = _listeners()
    with transaction.atomic():
        # Together, and one by one only when somebody is deaf: a savepoint for each costs as much as the telling.
        heard = rows if _are_heard(rows, listeners) else [row for row in rows if _is_heard(row, listeners)]
        gone, _ = Outbox.objects.filter(pk__in=[row.pk for row in heard]).delete()
        if gone < len(heard):
            # The lock went with its connection, and another one was quicker: of two only one's telling counts.
            log.warning("events_were_relayed_by_another", number=len(heard) - gone)
            transaction.set_rollback(True)
            return 0
    return len(heard)


def _listeners() -> Listeners:
    """Each topic's kind of event, and who wants to hear of it."""
    return {topic: (kind, events.listeners_of(kind)) for topic, kind in events.by_topic().items()}


def _are_heard(rows: list[Outbox], listeners: Listeners) -> bool:
    """Whether all have heard of all of these; if not, nothing has happened."""
    try:
        with transaction.atomic():
            _tell(rows, listeners)
    except Exception as error:
        log.info("events_are_relayed_one_by_one", number=len(rows), error=f"{type(error).__name__}: {error}")
        return False
    return True


def _is_heard(row: Outbox, listeners: Listeners) -> bool:
    """Whether all who want to hear of it have; if not, its row says why."""
    try:
        with transaction.atomic():
            _tell([row], listeners)
    except Exception as error:
        log.exception("event_not_relayed", topic=row.topic, event_id=row.pk, attempt=row.attempts + 1)
        Outbox.objects.filter(pk=row.pk).update(attempts=row.attempts + 1, error=f"{type(error).__name__}: {error}")
        return False
    return True


def _tell(rows: Sequence[Outbox], listeners: Listeners) -> None:
    """Each listener hears at once of all that it wants to hear of."""
    told: dict[Listener, list[tuple[Event, datetime]]] = {}
    for row in rows:
        # Nobody wants to hear of a topic that an older version had.
        if row.topic in listeners:
            kind, hearing = listeners[row.topic]
            for listener in hearing:
                told.setdefault(listener, []).append((kind(**row.payload), row.occurred))
    for listener, happened in told.items():
        listener(happened)
