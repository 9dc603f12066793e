"""What webhooks hear of a project's storage limit: that it is near, and that it was in the way.

Both are told once, and again when something has changed: usage fell, or the limit is another one. A client that is
refused tries again, for days if nobody stops it, and each of its layers by itself.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from django.db import transaction

from core import errors, redis
from core.events import SYSTEM, emit
from core.short_memory import ShortMemory
from projects.events import QuotaExceeded, QuotaWarned
from projects.models import Project, Repository
from rbac.access import Actor

REMIND_AFTER = timedelta(days=1)
"""A project that is still refused things is told of again."""
# Who says that he tells it may die before it is true; then somebody else does.
_TO_TELL = timedelta(minutes=1)
# While Redis is away each process remembers for itself, and cannot hear that something changed.
_REMIND_ALONE_SECONDS = 60.0
_told_here: ShortMemory[bool] = ShortMemory()


@contextmanager
def telling_refusals(*, repository: Repository, actor: Actor) -> Iterator[None]:
    """`tell_refusal` of what is refused inside. Around the transaction, for what is written in there goes with it."""
    try:
        yield
    except errors.QuotaExceeded as refusal:
        tell_refusal(project=repository.project, repository=repository.name, actor=actor, refusal=refusal)
        raise


def tell_refusal(*, project: Project, repository: str, actor: Actor, refusal: errors.QuotaExceeded) -> None:
    """Let who wants to know hear that a push met the project's limit, unless they have heard of another one."""
    if not _is_first(project.pk):
        return
    try:
        with transaction.atomic():
            emit(QuotaExceeded(**_facts(project, repository, actor.name, refusal.message)))
            # Robust: the refusal is the answer, whatever Redis says.
            transaction.on_commit(functools.partial(_remember, project.pk), robust=True)
    except Exception:
        _forget(project.pk)
        raise


def tell_warning(*, repository: Repository, message: str) -> None:
    """Let them hear that the limit is near, when the caller's transaction is true."""
    emit(QuotaWarned(**_facts(repository.project, repository.name, SYSTEM, message)))


def tell_again(project_id: int) -> None:
    """Something may fit again once the caller's transaction is true: the next refusal is news."""
    # Robust: what is acknowledged by then must not be answered with an error.
    transaction.on_commit(functools.partial(_forget, project_id), robust=True)


def _is_first(project_id: int) -> bool:
    """Whether nobody has been told; of any number of callers one hears True, and has a moment to tell it."""
    key = _key(project_id)
    try:
        return bool(redis.ask(lambda r: r.set(key, "told", nx=True, ex=_TO_TELL)))
    except redis.Away:
        is_first = not _told_here.get(key)
        if is_first:
            _told_here.put(key, True, seconds=_REMIND_ALONE_SECONDS)
        return is_first


def _remember(project_id: int) -> None:
    """It is told, unless something has changed meanwhile."""
    with suppress(redis.Away):
        redis.ask(lambda r: r.expire(_key(project_id), REMIND_AFTER))


def _forget(project_id: int) -> None:
    with suppress(redis.Away):
        redis.ask(lambda r: r.delete(_key(project_id)))


def _key(project_id: int) -> str:
    return f"wharf:quota-refusal-told:{project_id}"


def _facts(project: Project, repository: str, actor: str, message: str) -> dict[str, Any]:
    return {
        "actor": actor,
        "project_id": project.pk,
        "project": project.name,
        "repository": repository,
        "message": message,
    }
