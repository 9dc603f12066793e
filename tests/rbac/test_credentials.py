"""Passwords and secrets: verified once, remembered shortly, forgotten at once; failures are limited."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from core import errors, redis
from core.short_memory import ShortMemory
from rbac import credentials, login_limit
from rbac.models import User
from tests import factories
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db
HERE = "192.0.2.1"


def sign_in(name: str, secret: str = PASSWORD, address: str = HERE) -> Any:
    return credentials.authenticate(name=name, secret=secret, address=address)


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each Argon2 that is computed."""
    seen: list[int] = []
    real = credentials.hashing

    def counted(work: Any) -> Any:
        seen.append(1)
        return real(work)

    monkeypatch.setattr(credentials, "hashing", counted)
    return seen


def fail(times: int, name: str = "alice") -> None:
    for _ in range(times):
        with pytest.raises(errors.WrongCredentials):
            sign_in(name, "wrong")


def forget_as_another_process() -> None:
    login_limit._seen, credentials._verified_here = ShortMemory(), ShortMemory()


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each question to Redis."""
    seen: list[int] = []
    real = redis.ask

    def counted(question: Any) -> Any:
        seen.append(1)
        return real(question)

    monkeypatch.setattr(redis, "ask", counted)
    return seen


@pytest.fixture
def redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_: Any) -> Any:
        raise redis.Away

    monkeypatch.setattr(redis, "ask", ask)


def test_a_verified_password_is_remembered(alice: User, hashes: list[int]) -> None:
    for _ in range(3):
        assert sign_in("alice") == alice
    assert len(hashes) == 1


def test_what_is_remembered_holds_no_password(alice: User) -> None:
    sign_in("alice")
    keys = redis.ask(lambda r: [(key, r.get(key)) for key in r.keys("*")])
    assert keys
    assert all(PASSWORD not in key + str(value) and "alice" not in key + str(value) for key, value in keys)
    lifetimes = redis.ask(lambda r: [r.ttl(key) for key in r.keys("*")])
    assert all(0 < lifetime <= 300 for lifetime in lifetimes)


def test_a_changed_password_is_forgotten_at_once(alice: User) -> None:
    sign_in("alice")
    alice.set_password("Another12345")
    alice.save()
    with pytest.raises(errors.WrongCredentials):
        sign_in("alice")
    assert sign_in("alice", "Another12345") == alice


def test_a_disabled_account_is_out_although_remembered(alice: User) -> None:
    sign_in("alice")
    alice.is_active = False
    alice.save()
    with pytest.raises(errors.WrongCredentials):
        sign_in("alice")


@pytest.mark.django_db(transaction=True)
def test_many_at_once_pay_for_one_verification(hashes: list[int]) -> None:
    factories.user("alice")
    results: list[Any] = []

    def run() -> None:
        results.append(sign_in("alice").name)
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["alice"] * 12
    assert len(hashes) == 1


def test_an_unknown_user_costs_as_much_as_a_wrong_password(alice: User, hashes: list[int]) -> None:
    for name in ("alice", "nobody"):
        with pytest.raises(errors.WrongCredentials):
            sign_in(name, "wrong")
    assert len(hashes) == 2


def test_ten_failures_then_wait_but_only_from_there(alice: User) -> None:
    fail(10)
    with pytest.raises(errors.TooManyFailures) as refused:
        sign_in("alice")
    assert 1 <= (refused.value.retry_after or 0) <= 60
    assert sign_in("alice", address="192.0.2.2") == alice


def test_the_limit_holds_without_redis(alice: User, redis_is_away: None) -> None:
    fail(10)
    with pytest.raises(errors.TooManyFailures):
        sign_in("alice")
    assert sign_in("alice", address="192.0.2.2") == alice


def test_a_process_remembers_without_redis_too(alice: User, redis_is_away: None, hashes: list[int]) -> None:
    assert sign_in("alice") == alice
    assert sign_in("alice") == alice
    assert len(hashes) == 1


def test_what_another_process_verified_is_found_in_redis(alice: User, hashes: list[int]) -> None:
    sign_in("alice")
    forget_as_another_process()
    assert sign_in("alice") == alice
    assert len(hashes) == 1


def test_what_this_process_verified_is_not_asked_of_redis(alice: User, questions: list[int]) -> None:
    sign_in("alice")
    questions.clear()
    assert sign_in("alice") == alice
    assert questions == []


def test_a_robots_own_secret_is_not_asked_of_redis(db: None, questions: list[int]) -> None:
    robot, secret = factories.robot("ci", [])
    assert sign_in(robot.name, secret) == robot
    assert questions == []


def test_who_guesses_elsewhere_too_has_one_guess_here_and_is_then_kept_out(alice: User) -> None:
    sign_in("alice")
    fail(10)
    login_limit._seen = ShortMemory()
    # As another process that verified the password lately and saw nobody fail.
    assert sign_in("alice") == alice
    with pytest.raises(errors.TooManyFailures):
        sign_in("alice", "wrong")
    with pytest.raises(errors.TooManyFailures):
        sign_in("alice")


def test_a_robots_secret_is_guessed_ten_times_a_minute(db: None) -> None:
    robot, _ = factories.robot("ci", [])
    fail(10, robot.name)
    with pytest.raises(errors.TooManyFailures):
        sign_in(robot.name, "wrong")


def test_a_generated_secret_costs_no_argon2_and_a_chosen_one_does(hashes: list[int]) -> None:
    robot, secret = factories.robot("ci", [])
    assert sign_in(robot.name, secret) == robot
    assert len(hashes) == 0
    credentials.set_robot_secret(robot, "Chosen12345")
    assert sign_in(robot.name, "Chosen12345") == robot
    # One to keep it, one to check it.
    assert len(hashes) == 2
    with pytest.raises(errors.WrongCredentials):
        sign_in(robot.name, secret)


def test_generated_secrets_are_strong_and_stored_hashed() -> None:
    robot, secret = factories.robot("ci", [])
    assert len(secret) == 32
    assert any(c.isupper() for c in secret)
    assert any(c.islower() for c in secret)
    assert any(c.isdigit() for c in secret)
    assert secret not in robot.secrets.get().digest


@pytest.mark.parametrize("change", [{"disabled": True}, {"expires": timezone.now() - timedelta(seconds=1)}])
def test_a_disabled_or_expired_robot_is_out(change: dict[str, Any]) -> None:
    robot, secret = factories.robot("ci", [], **change)
    with pytest.raises(errors.WrongCredentials):
        sign_in(robot.name, secret)


@pytest.mark.parametrize("name", ["", "\0", "a" * 5000, "robot$\0", "ünïcödé"])
def test_strange_names_are_just_wrong(name: str) -> None:
    with pytest.raises(errors.WrongCredentials):
        sign_in(name, "x")


def test_a_flood_of_logins_is_told_to_come_again(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "HASHING_WAIT_SECONDS", 0.05)
    with credentials._hashing, credentials._hashing, pytest.raises(errors.Unavailable):
        sign_in("alice")
    assert sign_in("alice") == alice


def test_an_endless_password_is_not_hashed(alice: User, hashes: list[int]) -> None:
    with pytest.raises(errors.WrongCredentials):
        sign_in("alice", "x" * 100_000)
    assert hashes == []


@pytest.mark.parametrize(
    "name", ["alice", "nobody", "robot$generated", "robot$chosen", "robot$unknown", "robot$team+x"]
)
def test_how_long_a_wrong_secret_takes_does_not_tell_who_is_there(hashes: list[int], name: str) -> None:
    factories.user("alice")
    factories.robot("generated", [])
    chosen, _ = factories.robot("chosen", [])
    credentials.set_robot_secret(chosen, "Chosen-123")
    hashes.clear()
    with pytest.raises(errors.WrongCredentials):
        sign_in(name, "wrong")
    assert len(hashes) == 1
