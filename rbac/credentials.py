"""Checking names with passwords or secrets: the one place for the token service, the API and the pages."""

from __future__ import annotations

import hashlib
import hmac
import random
import secrets
import string
import threading
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password

from core import errors, redis
from rbac import finders, login_limit
from rbac.models import Robot, RobotSecret, User

T = TypeVar("T")
SECRET_LENGTH = 32
# Django allows Argon2 100 MB for each check: a few at once, not one per thread.
_hashing = threading.BoundedSemaphore(2)
HASHING_WAIT_SECONDS = 5.0
# One check at a time per account: when what is remembered expires under load, one request pays for all.
_flights = [threading.Lock() for _ in range(64)]


def authenticate(*, name: str, secret: str, address: str) -> User | Robot:
    """The user or robot these credentials belong to.

    Raises WrongCredentials (also for disabled accounts and expired robots: strangers learn nothing) or
    TooManyFailures.
    """
    login_limit.check(name, address)
    actor = _robot(name, secret) if name.startswith(settings.ROBOT_NAME_PREFIX) else _user(name, secret)
    if actor is None:
        login_limit.record_failure(name, address)
        raise errors.WrongCredentials
    return actor


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


def set_robot_secret(robot: Robot, secret: str | None = None) -> str:
    """Give a robot a new only secret, generated unless one is chosen, and return it."""
    generated = secret is None
    text = secret or generate_secret()
    robot.secrets.all().delete()
    RobotSecret.objects.create(
        robot=robot,
        kind=RobotSecret.Kind.GENERATED if generated else RobotSecret.Kind.CHOSEN,
        digest=_sha256(text) if generated else hashing(lambda: make_password(text)),
    )
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


def _user(name: str, secret: str) -> User | None:
    user = finders.user_named(name) if "\0" not in name else None
    if user is None or not user.has_usable_password():
        # As slow as a real check, so that answers do not tell which names exist.
        hashing(lambda: make_password(secret[:128]))
        return None
    verified = _remembered_or(user.password, secret, lambda: check_password(secret, user.password))
    return user if verified and user.is_active else None


def _robot(name: str, secret: str) -> Robot | None:
    robot = finders.robot_named(name) if "\0" not in name else None
    if robot is None or not robot.is_active:
        return None
    return robot if any(_secret_fits(kept, secret) for kept in finders.live_secrets_of(robot.pk)) else None


def _secret_fits(kept: RobotSecret, secret: str) -> bool:
    if kept.kind == RobotSecret.Kind.GENERATED:
        return hmac.compare_digest(kept.digest, _sha256(secret))
    return _remembered_or(kept.digest, secret, lambda: check_password(secret, kept.digest))


def _remembered_or(digest: str, secret: str, check: Callable[[], bool]) -> bool:
    """Whether the secret fits, from memory when it was verified a short while ago.

    The memory's key is an HMAC over the stored digest and the secret: a changed password is forgotten
    at once, and Redis holds nothing that could be used.
    """
    if len(secret) > 1024:
        return False
    mark = hmac.new(settings.CREDENTIAL_KEY.encode(), f"{digest}\0{secret}".encode(), hashlib.sha256).hexdigest()
    key = f"wharf:credential:{mark}"
    if _is_remembered(key):
        return True
    with _flights[hash(digest) % len(_flights)]:
        if _is_remembered(key):
            return True
        if not hashing(check):
            return False
        _remember(key)
        return True


def _is_remembered(key: str) -> bool:
    try:
        return bool(redis.ask(lambda r: r.exists(key)))
    except redis.Away:
        return False


def _remember(key: str) -> None:
    # Spread out, so that many clients' memories do not end at the same moment.
    lifetime = int(settings.CREDENTIAL_LIFETIME * random.uniform(0.8, 1.0))  # noqa: S311
    try:
        redis.ask(lambda r: r.set(key, "1", ex=max(1, lifetime)))
    except redis.Away:
        return


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
