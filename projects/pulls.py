"""Pull accounting: a pull writes to Redis, a job folds that into Postgres (invariant I4).

While Redis is away a process keeps its pulls, and since when, in memory and hands both over later. Times that
nobody could count are recorded as gaps: what lies in a gap counts as pulled at its end, so that a lost Redis
never makes "not pulled for 90 days" delete what is in use.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from core import redis
from projects.models import Artifact, PullFold, PullGap, Reference, Repository, Tag

log = structlog.get_logger(__name__)
ARTIFACT_TIMES = "wharf:pulls:artifact-times"
TAG_TIMES = "wharf:pulls:tag-times"
COUNTS = "wharf:pulls:counts"
GAPS = "wharf:pulls:gaps"
MARKER = "wharf:pulls:marker"
FOLD_EVERY = timedelta(minutes=1)
# Later than this, a fold may have missed what a dead process held in memory.
FOLD_LATE = 5 * FOLD_EVERY
_KEPT_MOST = 100_000


class _Kept:
    """What this process could not hand over yet."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.since: float | None = None
        self.artifacts: dict[int, int] = {}
        self.tags: dict[int, int] = {}
        self.counts: Counter[int] = Counter()


_kept = _Kept()


def note(*, artifact_id: int, tag_id: int | None, count: bool) -> None:
    """An artifact was pulled just now, by a tag or by digest; `count` is False for a HEAD."""
    now = int(time.time())
    try:
        if _kept.since is not None:
            _hand_over()
        redis.ask(lambda r: _write(r, {artifact_id: now}, {tag_id: now} if tag_id else {}, {artifact_id: int(count)}))
    except redis.Away:
        _keep(artifact_id, tag_id, now, count)


def fold() -> int:
    """Move what Redis gathered into Postgres, record gaps, and return how many artifacts were touched."""
    gathered = redis.ask(_take)
    with transaction.atomic():
        _record_gaps(gathered)
        _apply(gathered)
    redis.ask(lambda r: r.delete(*(_taken(key) for key in (ARTIFACT_TIMES, TAG_TIMES, COUNTS, GAPS))))
    return len(gathered[ARTIFACT_TIMES])


# --- the pulling side ---------------------------------------------------------------------------------------
def _write(r: redis.Client, artifacts: dict[int, int], tags: dict[int, int], counts: dict[int, int]) -> None:
    pipeline = r.pipeline(transaction=False)
    if artifacts:
        pipeline.hset(ARTIFACT_TIMES, mapping={str(pk): at for pk, at in artifacts.items()})
    if tags:
        pipeline.hset(TAG_TIMES, mapping={str(pk): at for pk, at in tags.items()})
    for pk, number in counts.items():
        if number:
            pipeline.hincrby(COUNTS, str(pk), number)
    pipeline.execute()


def _keep(artifact_id: int, tag_id: int | None, now: int, count: bool) -> None:
    with _kept.lock:
        if _kept.since is None:
            _kept.since = time.time()
        if len(_kept.artifacts) < _KEPT_MOST:
            _kept.artifacts[artifact_id] = now
            _kept.counts[artifact_id] += int(count)
            if tag_id:
                _kept.tags[tag_id] = now


def _hand_over() -> None:
    """Give Redis what was kept while it was away; Away while it still is."""
    with _kept.lock:
        since = _kept.since
        if since is None:
            return
        gap = f"{since}:{time.time()}"
        redis.ask(lambda r: r.sadd(GAPS, gap))
        redis.ask(lambda r: _write(r, _kept.artifacts, _kept.tags, dict(_kept.counts)))
        _kept.since = None
        _kept.artifacts, _kept.tags, _kept.counts = {}, {}, Counter()


# --- the folding side ----------------------------------------------------------------------------------------
def _take(r: redis.Client) -> dict[str, dict[str, str]]:
    """Set aside what was gathered. A fold that died left its share aside: that one is finished first."""
    for key in (ARTIFACT_TIMES, TAG_TIMES, COUNTS, GAPS):
        if not r.exists(_taken(key)) and r.exists(key):
            r.rename(key, _taken(key))
    gathered = {key: r.hgetall(_taken(key)) for key in (ARTIFACT_TIMES, TAG_TIMES, COUNTS)}
    gathered[GAPS] = dict.fromkeys(r.smembers(_taken(GAPS)), "")
    gathered[MARKER] = {"set": r.set(MARKER, "1", get=True) or ""}
    return gathered


def _taken(key: str) -> str:
    return f"{key}:taken"


def _record_gaps(gathered: dict[str, dict[str, str]]) -> None:
    now = timezone.now()
    last = PullFold.objects.select_for_update().first()
    if last is None:
        PullFold.objects.create(folded=now)
        return
    if not gathered[MARKER]["set"]:
        _record_gap(last.folded, now, "Redis lost its memory")
    elif now - last.folded > FOLD_LATE:
        _record_gap(last.folded, now, "pulls were not folded")
    for gap in gathered[GAPS]:
        started, ended = (datetime.fromtimestamp(float(second), UTC) for second in gap.split(":"))
        _record_gap(started, ended, "Redis did not answer")
    last.folded = now
    last.save()


def _record_gap(started: datetime, ended: datetime, reason: str) -> None:
    PullGap.objects.create(started=started, ended=ended, reason=reason)
    log.warning("pull_gap", started=started.isoformat(), ended=ended.isoformat(), reason=reason)


def _apply(gathered: dict[str, dict[str, str]]) -> None:
    times = {int(pk): datetime.fromtimestamp(int(at), UTC) for pk, at in gathered[ARTIFACT_TIMES].items()}
    for artifact_id, at in times.items():
        Artifact.objects.filter(pk=artifact_id).update(pulled=Greatest("pulled", at))
        _apply_to_parents(artifact_id, at)
    for pk_text, at_text in gathered[TAG_TIMES].items():
        moment = datetime.fromtimestamp(int(at_text), UTC)
        Tag.objects.filter(pk=int(pk_text)).update(pulled=Greatest("pulled", moment))
    counts: Counter[int] = Counter()
    owners = dict(
        Artifact.objects.filter(pk__in=[int(pk) for pk in gathered[COUNTS]]).values_list("pk", "repository_id")
    )
    for pk_text, number in gathered[COUNTS].items():
        if int(pk_text) in owners:
            counts[owners[int(pk_text)]] += int(number)
    for repository_id, pulled in counts.items():
        Repository.objects.filter(pk=repository_id).update(pull_count=F("pull_count") + pulled)


def _apply_to_parents(artifact_id: int, at: datetime) -> None:
    """A child's pull counts for the indexes that hold it."""
    child = Artifact.objects.filter(pk=artifact_id).values("manifest_id", "repository_id").first()
    if child is None:
        return
    parents = Reference.objects.live().filter(
        kind=Reference.Kind.CHILD, digest=child["manifest_id"], repository_id=child["repository_id"]
    )
    Artifact.objects.filter(pk__in=parents.values("artifact_id")).update(pulled=Greatest("pulled", at))
