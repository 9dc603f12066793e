"""The platform's time is the database's, whatever the machine's clock says."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError, connection

from core import clock
from core.sessions import SessionStore
from core.store import signing
from rbac.models import Robot
from tests import factories

pytestmark = pytest.mark.django_db
TEN_MINUTES = 600


@pytest.fixture(params=[TEN_MINUTES, -TEN_MINUTES], ids=["ahead", "behind"])
def wrong_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """This machine's clock is wrong by so many seconds, and nothing was read from the database yet."""
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + request.param)
    monkeypatch.setattr(clock, "_reading", None)
    return int(request.param)


def database_time() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        return float(cursor.fetchone()[0])


def test_a_wrong_clock_does_not_matter(wrong_clock: int) -> None:
    assert clock.time() == pytest.approx(database_time(), abs=2)
    assert abs(clock.time() - time.time()) > TEN_MINUTES / 2
    assert clock.now().timestamp() == pytest.approx(database_time(), abs=2)


def test_a_wrong_clock_is_reported(wrong_clock: int, caplog: pytest.LogCaptureFixture) -> None:
    clock.time()
    assert f"'seconds_ahead_of_database': {wrong_clock}" in caplog.text
    assert "clock_differs" in caplog.text


def test_the_database_is_asked_once_a_minute_and_not_in_the_callers_transaction(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    asked, read = [], clock._read

    def ask() -> clock.Reading:
        asked.append(1)
        return read()

    monkeypatch.setattr(clock, "_read", ask)
    monkeypatch.setattr(clock, "_reading", None)
    uptime = clock._uptime()
    monkeypatch.setattr(clock, "_uptime", lambda: uptime)
    with django_assert_num_queries(0):
        clock.time()
        clock.time()
        assert len(asked) == 1
        uptime += clock.READ_AGAIN_SECONDS
        clock.time()
        assert len(asked) == 2


def test_with_a_dead_database_the_time_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def dead() -> clock.Reading:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(clock, "_read", dead)
    monkeypatch.setattr(clock, "_read_again_at", 0.0)
    assert clock.time() == pytest.approx(time.time(), abs=2)
    monkeypatch.setattr(clock, "_reading", None)
    with pytest.raises(OperationalError):
        clock.time()


def test_tokens_are_dated_by_the_platforms_clock(wrong_clock: int) -> None:
    """Another replica, and the registry, would refuse what begins in the future or ended in the past."""
    import jwt

    text = signing.sign(subject="alice", access=[], lifetime=300)
    claims = jwt.decode(text, options={"verify_signature": False})
    assert claims["iat"] == claims["nbf"] == pytest.approx(database_time(), abs=2)
    assert claims["exp"] == claims["iat"] + 300
    assert signing.verify(text).subject == "alice"


def test_an_expired_token_is_expired_for_a_slow_clock_too(wrong_clock: int) -> None:
    text = signing.sign(subject="alice", access=[], lifetime=-1)
    with pytest.raises(signing.InvalidToken, match="expired"):
        signing.verify(text)


def test_a_remembered_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    text = signing.sign(subject="alice", access=[], lifetime=300)
    assert signing.verify(text).subject == "alice"
    later = clock.Reading(clock._uptime(), time.time() + 301)
    monkeypatch.setattr(clock, "_reading", later)
    with pytest.raises(signing.InvalidToken, match="expired"):
        signing.verify(text)


def test_a_session_lasts_its_hour_on_every_replica(wrong_clock: int) -> None:
    session = SessionStore()
    session["who"] = "alice"
    session.save()
    row = session.model.objects.get(session_key=session.session_key)
    assert row.expire_date.timestamp() == pytest.approx(database_time() + 3600, abs=5)
    # As another replica reads it when Redis lost its memory.
    cache.clear()
    again = SessionStore(session.session_key)
    assert again["who"] == "alice"
    row.expire_date = clock.now() - timedelta(seconds=5)
    row.save()
    cache.clear()
    assert "who" not in SessionStore(session.session_key)


def test_a_robot_expires_by_the_platforms_clock(wrong_clock: int) -> None:
    robot = Robot(expires=clock.now() + timedelta(seconds=60))
    assert not robot.is_expired
    robot.expires = clock.now() - timedelta(seconds=60)
    assert robot.is_expired


def test_pushes_are_dated_by_the_platforms_clock(wrong_clock: int) -> None:
    alice = factories.user("alice")
    place = factories.repository(factories.project("team", alice), "app")
    artifact = factories.push(place, alice, "v1")
    moments = [artifact.pushed, artifact.tags.get().pushed, place.created]
    assert [moment.timestamp() for moment in moments] == pytest.approx([database_time()] * 3, abs=10)
