"""Events leave through the outbox: each is heard once, whatever dies, and a deaf listener makes nobody else wait."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from kombu.exceptions import OperationalError
from redis import ResponseError

from core import clock, events, locks
from core.events import emit
from core.models import Outbox, Setting
from jobservice import bell, periodic, relay
from jobservice.events import JobStarted

pytestmark = pytest.mark.django_db


class Listener:
    """Remembers what it heard, and can be deaf to a number."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.times: list[datetime] = []
        self.deaf_to: int | None = None

    def __call__(self, happened: Sequence[tuple[JobStarted, datetime]]) -> None:
        for event, occurred in happened:
            self._hear(event, occurred)

    def _hear(self, event: JobStarted, occurred: datetime) -> None:
        Setting.objects.create(key=f"heard {event.execution}", value=event.execution)
        if event.execution == self.deaf_to:
            raise OSError("deaf")
        self.heard.append(event.execution)
        self.times.append(occurred)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setattr(relay, "QUIET_SECONDS", 0.0)
    made = Listener()
    events.afterwards(JobStarted)(made)
    yield made
    del events._listeners[JobStarted]


def happen(*numbers: int) -> None:
    for number in numbers:
        with transaction.atomic():
            emit(JobStarted(actor="alice", job="TEST_WORK", execution=number))


def written() -> list[int]:
    """What listeners wrote, in the order of events; it cannot be written twice."""
    return sorted(Setting.objects.filter(key__startswith="heard ").values_list("value", flat=True))


def test_who_listens_hears_of_each_event_once_and_in_order(listener: Listener) -> None:
    happen(1, 2, 3)
    assert listener.heard == []
    assert relay.run() == 3
    assert relay.run() == 0
    assert listener.heard == [1, 2, 3]
    assert all(abs((moment - clock.now()).total_seconds()) < 60 for moment in listener.times)
    assert not Outbox.objects.exists()


def test_what_was_not_true_is_not_heard(listener: Listener) -> None:
    with transaction.atomic():
        emit(JobStarted(actor="alice", job="TEST_WORK", execution=1))
        transaction.set_rollback(True)
    relay.run()
    assert listener.heard == []


def test_events_that_nobody_wants_to_hear_of_go(listener: Listener) -> None:
    Outbox.objects.create(topic="GONE_WITH_AN_OLD_VERSION", payload={"x": 1})
    relay.run()
    assert not Outbox.objects.exists()


def test_a_deaf_listener_makes_nobody_wait_and_is_told_again(listener: Listener) -> None:
    listener.deaf_to = 2
    happen(1, 2, 3)
    relay.run()
    # Called again they were, in order; what they wrote the first time is not there.
    assert listener.heard[-2:] == [1, 3]
    assert written() == [1, 3]
    row = Outbox.objects.get()
    assert (row.attempts, row.error) == (1, "OSError: deaf")
    heard = list(listener.heard)
    listener.deaf_to = None
    relay.run()
    assert listener.heard == heard
    relay.retry_failed()
    assert listener.heard == [*heard, 2]
    assert written() == [1, 2, 3]
    assert not Outbox.objects.exists()


def test_what_failed_once_more_is_not_tried_again_at_once_because_others_were_heard(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten tries would be over in a moment, and not after ten minutes."""
    monkeypatch.setattr(relay, "BATCH", 2)
    listener.deaf_to = 2
    happen(*range(1, 8))
    Outbox.objects.update(attempts=1)
    relay.retry_failed()
    assert Outbox.objects.get(payload__execution=2).attempts == 2
    for _ in range(6):
        relay.retry_failed()
    assert Outbox.objects.get().payload["execution"] == 2
    assert written() == [1, 3, 4, 5, 6, 7]


def test_what_fails_each_time_takes_no_turn_from_what_stands_behind_it(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 1)
    listener.deaf_to = 1
    happen(1, 2)
    Outbox.objects.update(attempts=1)
    assert relay.retry_failed() == 1
    assert written() == [2]


@pytest.mark.django_db(transaction=True)
def test_while_events_keep_coming_what_failed_has_its_turn_by_the_clock(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay that is at work then does not end, and each turn is followed by another one's."""
    monkeypatch.setattr(bell, "send", lambda _: None)
    monkeypatch.setattr(relay, "TURN_SECONDS", 60.0)
    listener.deaf_to = 0
    happen(0)
    relay.run()
    assert Outbox.objects.get().attempts == 1
    listener.deaf_to = None
    at_work, enough = threading.Event(), threading.Event()

    def cause_another(happened: Sequence[tuple[JobStarted, datetime]]) -> None:
        at_work.set()
        if not enough.is_set() and happened[-1][0].execution:
            happen(happened[-1][0].execution + 1)

    def keep_relaying() -> None:
        try:
            relay.run()
        finally:
            connection.close()

    events.afterwards(JobStarted)(cause_another)
    happen(1)
    relays = threading.Thread(target=keep_relaying)
    relays.start()
    try:
        assert at_work.wait(30)
        assert periodic.run("jobservice.housekeeping.retry_failed_events")
        assert relays.is_alive()
        assert 0 in written()
    finally:
        enough.set()
        relays.join(60)
    assert not Outbox.objects.exists()


def test_what_is_never_heard_stays_for_an_operator(listener: Listener) -> None:
    listener.deaf_to = 1
    happen(1)
    relay.run()
    for _ in range(20):
        relay.retry_failed()
    assert Outbox.objects.get().attempts == relay.MOST_ATTEMPTS


def untold_events(*options: str) -> str:
    output = StringIO()
    call_command("untold_events", *options, stdout=output)
    return output.getvalue()


def never_heard(listener: Listener, number: int) -> None:
    listener.deaf_to = number
    happen(number)
    relay.run()
    for _ in range(relay.MOST_ATTEMPTS):
        relay.retry_failed()


def test_an_operator_sees_what_was_never_heard_and_has_it_told_again(listener: Listener) -> None:
    assert untold_events() == "0 events could not be told\n"
    never_heard(listener, 1)
    # What only waits for its next try is none of them.
    listener.deaf_to = 2
    happen(2)
    relay.run()
    shown = untold_events()
    assert "CREATE_JOB" in shown
    assert "OSError: deaf" in shown
    assert '"execution": 1' in shown
    assert '"execution": 2' not in shown
    assert shown.endswith("\n1 events could not be told\n")
    listener.deaf_to = None
    assert untold_events("--again").startswith("1 events are told again")
    assert relay.run() == 1
    assert written() == [1]
    assert untold_events() == "0 events could not be told\n"


def test_what_still_cannot_be_heard_comes_back(listener: Listener) -> None:
    never_heard(listener, 1)
    untold_events("--again")
    assert untold_events() == "0 events could not be told\n"
    never_heard(listener, 1)
    assert untold_events().endswith("\n2 events could not be told\n")


def test_an_operator_forgets_what_nobody_can_ever_hear_of(listener: Listener) -> None:
    never_heard(listener, 1)
    happen(2)
    assert untold_events("--forget") == "1 events are forgotten\n"
    assert relay.run() == 1
    assert not Outbox.objects.exists()


def test_one_relay_at_a_time(listener: Listener) -> None:
    happen(1)
    with locks.sole("outbox"):
        assert relay.run() == 0
    assert relay.run() == 1
    with locks.sole("outbox") as is_free:
        assert is_free


def test_of_two_relays_only_one_s_telling_counts(listener: Listener) -> None:
    """Its lock ends with a connection, and the other one may go on with its own."""
    is_first = True

    def be_overtaken(happened: Sequence[tuple[JobStarted, datetime]]) -> None:
        nonlocal is_first
        if is_first:
            is_first = False
            Outbox.objects.all().delete()

    events.afterwards(JobStarted)(be_overtaken)
    happen(1, 2)
    # What the first one wrote is taken back, and here with it that another one was quicker.
    assert relay._relay(list(relay._fresh())) == 0
    assert written() == []
    assert relay.run() == 2
    assert written() == [1, 2]


def test_bells_are_rung_only_for_what_somebody_hears_and_not_for_each(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[bell.Bell] = []
    monkeypatch.setattr(bell, "send", rung.append)
    monkeypatch.setattr(relay, "QUIET_SECONDS", 60.0)
    monkeypatch.setattr(relay, "_last_bell", -60.0)
    relay.ring()
    relay.ring()
    assert rung == [bell.Bell(relay.RELAY, (), "event")]


@pytest.mark.django_db(transaction=True)
def test_an_event_rings_after_its_commit(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[bell.Bell] = []
    monkeypatch.setattr(bell, "send", rung.append)
    monkeypatch.setattr(relay, "_last_bell", -60.0)
    with transaction.atomic():
        emit(JobStarted(actor="alice", job="TEST_WORK", execution=1))
        assert rung == []
    assert len(rung) == 1
    Outbox.objects.all().delete()


def test_every_topic_is_of_one_kind_of_event() -> None:
    topics = Counter(kind.topic for kind in events.kinds())
    assert [topic for topic, count in topics.items() if count > 1] == []


def test_a_redis_that_hangs_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, has_begun = threading.Event(), threading.Event()
    senders: list[threading.Thread] = []

    def hang(*_: object, **__: object) -> None:
        senders.append(threading.current_thread())
        has_begun.set()
        go_on.wait(30)

    monkeypatch.setattr(bell, "_ringer", None)
    monkeypatch.setattr("jobservice.bell.app.send_task", hang)
    try:
        bell.ring([(number, "event") for number in range(3)])
        assert has_begun.wait(30)
        # Ours has rung three times meanwhile, and none of them has left.
        assert len(senders) == 1
        assert senders[0] is not threading.current_thread()
    finally:
        go_on.set()


@pytest.mark.parametrize("error", [ResponseError("OOM command not allowed"), OperationalError("away"), ValueError()])
def test_whatever_goes_wrong_with_one_bell_the_next_is_rung(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[tuple[int, ...]] = []
    heard = threading.Event()

    def send(task: str, args: tuple[int, ...], **_: object) -> None:
        if threading.current_thread() is not bell._ringer:
            # An earlier test's, which rings what waited there.
            return
        rung.append(args)
        if args == (1,):
            raise error
        heard.set()

    monkeypatch.setattr(bell, "_ringer", None)
    monkeypatch.setattr("jobservice.bell.app.send_task", send)
    bell.ring([(1, "event"), (2, "event")])
    assert heard.wait(30)
    assert rung == [(1,), (2,)]


def test_bells_that_wait_are_not_hoarded(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(bell, "MOST_WAITING", 5)
    monkeypatch.setattr(bell, "_ringer", None)
    monkeypatch.setattr("jobservice.bell.app.send_task", lambda *args, **kwargs: go_on.wait(30))
    try:
        bell.ring([(number, "event") for number in range(50)])
        assert bell._ringer is not None
        assert bell._ringer.waiting.qsize() <= 5
    finally:
        go_on.set()
