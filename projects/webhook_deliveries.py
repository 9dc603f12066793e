"""One message to one endpoint: tried until it has arrived, was refused several times, or nothing arrives for a day.

The messages of an endpoint are a series of tasks, so they arrive in order, each at least once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import datetime, timedelta
from enum import StrEnum

from core import clock, configuration, errors, http
from core.postgres.prepared import Columns, Statement
from jobservice.context import Context, Stopped
from projects import webhook_policies
from projects.models import Project, WebhookPolicy, WebhookTarget
from projects.webhooks import KINDS

LIMITS = http.Limits(connect_seconds=3, silence_seconds=10, total_seconds=15, most_bytes=1024)
"""Of an answer its first KiB is kept."""
REFUSALS = 3
"""So often a message is sent to an endpoint that answers, and does not want it."""
PATIENCE = timedelta(hours=24)
"""So long everything may fail before an endpoint is switched off."""
BREAK = timedelta(hours=1)
"""When nothing was tried for so long, what failed before is another story; tries are ten minutes apart at most."""
_NOT_FOLLOWED = "; what is sent is sent on by 307 and 308 alone"
# Answers that say: not now.
_LATER = (408, 425, 429)
# Asked for every message.
_TARGET = Columns(WebhookTarget, "target")
_POLICY = Columns(WebhookPolicy, "policy")
_PROJECT = Columns(Project, "project", without=("metadata", "owner_id", "created", "updated"))
_FIND = Statement(
    "bigint",
    f"""
    SELECT {_TARGET.sql}, {_POLICY.sql}, {_PROJECT.sql} FROM projects_webhooktarget target
    JOIN projects_webhookpolicy policy ON policy.id = target.policy_id
    JOIN projects_project project ON project.id = policy.project_id
    WHERE target.id = $1
    """,  # noqa: S608 - columns of our own
)


class Silence(StrEnum):
    """Why nothing is sent to an endpoint."""

    GONE = "its endpoint is gone"
    PLATFORM = "notifications are switched off for the platform (notification_enable)"
    PROJECT = "its project is deleted"
    ENDPOINT = "nothing had arrived for a day, so its endpoint was switched off"
    POLICY = "its policy is switched off"


class NotSent(errors.Precondition):
    """Nothing is sent there at present."""

    def __init__(self, why: Silence) -> None:
        self.why = why
        super().__init__(f"it cannot be sent: {why}")


class NotDelivered(errors.Refusal):
    """The endpoint did not take the message."""

    permanent = False


def deliver(ctx: Context, *, target_id: int, message_id: str, content_type: str, body: str) -> None:
    """Send a message. Stopped when nothing is to be sent there; NotDelivered when it did not arrive."""
    try:
        target = open_target(target_id)
    except NotSent as refusal:
        ctx.log.info("It is not sent: %s", refusal.why)
        raise Stopped from refusal
    headers = {"Content-Type": content_type, **_signature(target, message_id, body, int(clock.time()))}
    _log_request(ctx, target, headers, body)
    began = time.monotonic()
    try:
        answer = _post(ctx, target, headers, body)
    except http.Failure as error:
        ctx.log.warning("%s, after %d ms", error.message, _milliseconds(began))
        raise _failure(ctx, target, error.message, is_refused=error.permanent) from error
    ctx.tell(response_status=answer.status, duration_ms=_milliseconds(began))
    if not 200 <= answer.status < 300:
        is_refused = answer.status < 500 and answer.status not in _LATER
        asked = http.retry_after(answer, now=clock.time())
        raise _failure(ctx, target, _said(answer.status, asked), is_refused=is_refused, retry_after=asked)
    if target.failing_since:
        WebhookTarget.objects.filter(pk=target.pk).update(failing_since=None)


def signature(*, secret: str, message_id: str, timestamp: int, body: str) -> str:
    """Standard Webhooks' signature over id, time and body."""
    signed = f"{message_id}.{timestamp}.{body}".encode()
    digest = hmac.digest(webhook_policies.secret_key(secret), signed, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def is_last_try(*, refusals: int, failing: timedelta) -> bool:
    """Whether a message that did not arrive is given up: refused for the third time, or after a day of failures."""
    return refusals >= REFUSALS or failing >= PATIENCE


def failing_since(*, since: datetime | None, last: datetime | None, now: datetime) -> datetime:
    """Since when an endpoint that fails now has failed again and again, given its first and its last failure so far."""
    return now if since is None or (last is not None and now - last > BREAK) else since


def _target(number: int) -> WebhookTarget | None:
    """An endpoint as it is now, with its policy and project at hand."""
    row = _FIND.row(number)
    if row is None:
        return None
    target = _TARGET.instance(row[: _TARGET.count])
    target.policy = _POLICY.instance(row[_TARGET.count : -_PROJECT.count])
    target.policy.project = _PROJECT.instance(row[-_PROJECT.count :])
    return target


def silence_of(target: WebhookTarget) -> Silence | None:
    """Why nothing is sent to an endpoint; None when all is well."""
    if not configuration.get("notification_enable"):
        return Silence.PLATFORM
    if target.policy.project.deleted:
        return Silence.PROJECT
    if target.disabled:
        return Silence.ENDPOINT
    return None if target.policy.enabled else Silence.POLICY


def open_target(number: int) -> WebhookTarget:
    """An endpoint that something is sent to at present; else NotSent."""
    target = _target(number)
    if target is None:
        raise NotSent(Silence.GONE)
    if why := silence_of(target):
        raise NotSent(why)
    return target


def _signature(target: WebhookTarget, message_id: str, body: str, timestamp: int) -> dict[str, str]:
    # Without a secret: `reencrypt --forget-lost`.
    if not KINDS[target.type].is_signed or not target.policy.secret:
        return {}
    signed = signature(secret=target.policy.secret, message_id=message_id, timestamp=timestamp, body=body)
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": signed}


def _log_request(ctx: Context, target: WebhookTarget, headers: dict[str, str], body: str) -> None:
    """Without what authorises us, which only those may see who can change it."""
    ctx.log.info("POST %s", KINDS[target.type].shown(target.address))
    for name, value in {**headers, **({"Authorization": "(hidden)"} if target.auth_header else {})}.items():
        ctx.log.info("%s: %s", name, value)
    ctx.log.info("%s", body if ctx.attempt == 1 else "(the body is the first attempt's)")


def _post(ctx: Context, target: WebhookTarget, headers: dict[str, str], body: str) -> http.Answer:
    began = time.monotonic()
    answer = http.request(
        "POST",
        target.address,
        reach=http.OF_PROJECTS,
        headers={**headers, **({"Authorization": target.auth_header} if target.auth_header else {})},
        body=body.encode(),
        limits=LIMITS,
        verify=not target.skip_cert_verify,
        redirects=3,
        cut=True,
    )
    # On one line, whatever it holds.
    said = json.dumps(answer.content.decode(errors="replace"), ensure_ascii=False)
    ctx.log.info(
        "answered %d in %d ms: %s%s", answer.status, _milliseconds(began), said, "" if answer.is_whole else "…"
    )
    return answer


def _said(status: int, asked_seconds: int | None) -> str:
    """What an endpoint said that did not take the message."""
    asked = "" if asked_seconds is None else f" and asks us to wait {asked_seconds} s"
    return f"the endpoint answered {status}{asked}{_NOT_FOLLOWED if 300 <= status < 400 else ''}"


def _failure(
    ctx: Context, target: WebhookTarget, reason: str, *, is_refused: bool, retry_after: int | None = None
) -> NotDelivered:
    """Remember that it failed, switch the endpoint off if that is so for too long, and say whether to try again."""
    now = clock.now()
    since = failing_since(since=target.failing_since, last=target.last_failed, now=now)
    same = WebhookTarget.objects.filter(pk=target.pk, failing_since=target.failing_since)
    if not same.update(failing_since=since, last_failed=now):
        # Somebody saved it meanwhile, or another message arrived.
        since = now
    # Attempts are no refusals: a receiver may have been away before, and workers die.
    refusals = ctx.state.get("refusals", 0) + is_refused
    failed = NotDelivered(reason, retry_after=retry_after)
    failed.permanent = is_last_try(refusals=refusals, failing=now - since)
    if now - since >= PATIENCE:
        webhook_policies.disable_endpoint(target_id=target.pk, since=since)
    if is_refused and not failed.permanent:
        ctx.checkpoint({"refusals": refusals})
    return failed


def _milliseconds(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
