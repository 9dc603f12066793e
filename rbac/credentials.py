"""Checking names with passwords or secrets: the one place for the token service, the API and the pages."""

from __future__ import annotations

import hashlib
import hmac
import random
import secrets
import string
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.db.models import Q

from core import clock, errors, redis
from core.short_memory import ShortMemory
from rbac import finders, login_limit
from rbac.models import Robot, RobotSecret, User
from rbac.models.robot import kept_name
from rbac.models.user import is_username

T = TypeVar("T")
SECRET_LENGTH = 32
# What is left of a generated secret is still far more than anybody guesses.
PREFIX_LENGTH = 4
# Whoever guesses costs as many slow hashes as a robot has chosen secrets.
MOST_SECRETS = 5
LONGEST_SECRET = 1024
# Django allows Argon2 100 MB for each check: a few at once, not one per thread.
_hashing = threading.BoundedSemaphore(2)
HASHING_WAIT_SECONDS = 5.0
# One check at a time of the same: when what is remembered expires under load, one request pays for all.
_flights = [threading.Lock() for _ in range(64)]
# What Django calls unusable: it takes as long as a real one to check, so that answers do not tell which names exist.
_NOBODYS = "!"
# In Redis for all processes, and for a part of that time in each without a question to it.
_KEY = "wharf:credential:"
HERE_SECONDS = 60.0
_verified_here: ShortMemory[bool] = ShortMemory()


def authenticate(*, name: str, secret: str, address: str) -> User | Robot:
    """The user or robot these credentials belong to.

    Raises WrongCredentials (also for disabled accounts and expired robots: strangers learn nothing) or
    TooManyFailures.
    """
    account = _account(name)
    # Without a question to Redis: nobody guesses 32 random letters, or at his first try what was right a moment ago.
    fits = _fits_generated(account, secret) or (login_limit.is_quiet(name, address) and _fitted_here(account, secret))
    if not fits:
        login_limit.check(name, address)
        fits = _fits_chosen(account, secret)
    if not fits or account.actor is None or not account.actor.is_active:
        login_limit.record_failure(name, address)
        raise errors.WrongCredentials
    return account.actor


def generate_secret() -> str:
    """A robot's secret: 32 random letters and digits with at least one of each kind."""
    alphabet = string.ascii_letters + string.digits
    while True:
        secret = "".join(secrets.choice(alphabet) for _ in range(SECRET_LENGTH))
        if all(
            any(character in kind for character in secret)
            for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits)
        ):
            return secret


def set_robot_secret(robot: Robot, secret: str | None = None, *, grace: timedelta = timedelta()) -> str:
    """Give a robot a new secret, generated unless one is chosen, and return it; the old ones end after `grace`.

    Precondition when the robot would have more than MOST_SECRETS at once.
    """
    _end_secrets(robot, grace)
    if secret is not None:
        chosen = secret
        robot.secrets.create(kind=RobotSecret.Kind.CHOSEN, digest=hashing(lambda: make_password(chosen)))
        return secret
    text = generate_secret()
    robot.secrets.create(kind=RobotSecret.Kind.GENERATED, digest=_sha256(text), prefix=text[:PREFIX_LENGTH])
    return text


def hashing(work: Callable[[], T]) -> T:
    """What a slow hash gives, a few at once: each takes memory that a hundred threads together do not have."""
    # A flood of wrong passwords must not hold every thread: whoever waits too long is told to come again.
    if not _hashing.acquire(timeout=HASHING_WAIT_SECONDS):
        raise errors.Unavailable("Too many logins at once; try again.")
    try:
        return work()
    finally:
        _hashing.release()


@dataclass(frozen=True)
class _Account:
    """Who has a name, and the hashes of the secrets that fit."""

    actor: User | Robot | None
    generated: Sequence[str] = ()
    """Hexadecimal SHA-256."""
    chosen: Sequence[str] = ()
    """Argon2."""


def _end_secrets(robot: Robot, grace: timedelta) -> None:
    """Let what a robot has end after a while, or at once; what ends sooner keeps its time."""
    end = clock.now() + grace
    if grace:
        robot.secrets.filter(expires__lte=clock.now()).delete()
        if robot.secrets.count() >= MOST_SECRETS:
            raise errors.Precondition(
                f"robot {robot.name} has {MOST_SECRETS} secrets that are still good: revoke one, or leave out the grace"
            )
        robot.secrets.filter(Q(expires__isnull=True) | Q(expires__gt=end)).update(expires=end)
    else:
        robot.secrets.all().delete()


def _account(name: str) -> _Account:
    kept = kept_name(name)
    account = _robot(kept) if kept else None
    if account and (account.actor or not is_username(name)):
        return account
    # The configured prefix may be of letters, with which people's names begin too.
    return _user(name)


def _user(name: str) -> _Account:
    user = finders.user_named(name) if "\0" not in name else None
    return _Account(user, chosen=[user.password if user else _NOBODYS])


def _robot(kept: str) -> _Account:
    robot, digests = finders.robot_with_live_secrets(kept) if "\0" not in kept else (None, {})
    kinds = RobotSecret.Kind
    return _Account(robot, generated=digests.get(kinds.GENERATED, []), chosen=digests.get(kinds.CHOSEN) or [_NOBODYS])


def _fits_generated(account: _Account, secret: str) -> bool:
    given = _sha256(secret)
    return any(hmac.compare_digest(digest, given) for digest in account.generated)


def _fitted_here(account: _Account, secret: str) -> bool:
    """Whether this process verified the secret a short while ago."""
    return any(_verified_here.get(_mark(digest, secret)) for digest in account.chosen)


def _fits_chosen(account: _Account, secret: str) -> bool:
    return len(secret) <= LONGEST_SECRET and any(_verify(digest, secret) for digest in account.chosen)


def _verify(digest: str, secret: str) -> bool:
    """Whether the secret fits, from memory when it was verified a short while ago."""
    mark = _mark(digest, secret)
    if _is_remembered(mark):
        return True
    with _flights[hash(mark) % len(_flights)]:
        if _is_remembered(mark):
            return True
        if not hashing(lambda: check_password(secret, digest)):
            return False
        _remember(mark)
        return True


def _mark(digest: str, secret: str) -> str:
    """What is remembered of a verified secret.

    An HMAC over the stored digest and the secret: a changed password is forgotten at once, and the memory holds
    nothing that could be used.
    """
    return hmac.digest(settings.CREDENTIAL_KEY.encode(), f"{digest}\0{secret}".encode(), "sha256").hex()


def _is_remembered(mark: str) -> bool:
    if _verified_here.get(mark):
        return True
    try:
        known = bool(redis.ask(lambda r: r.exists(_KEY + mark)))
    except redis.Away:
        return False
    if known:
        _remember_here(mark)
    return known


def _remember(mark: str) -> None:
    _remember_here(mark)
    # Spread out, so that many clients' memories do not end at the same moment.
    lifetime = int(settings.CREDENTIAL_LIFETIME * random.uniform(0.8, 1.0))  # noqa: S311
    try:
        redis.ask(lambda r: r.set(_KEY + mark, "1", ex=max(1, lifetime)))
    except redis.Away:
        return


def _remember_here(mark: str) -> None:
    _verified_here.put(mark, True, seconds=min(HERE_SECONDS, settings.CREDENTIAL_LIFETIME))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
