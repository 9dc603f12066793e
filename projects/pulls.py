"""Pull accounting: a pull writes to memory, a thread hands that to Redis, a job folds it into Postgres (invariant I4).

A pull waits for Redis only when nothing is held yet, and at most for its time limit. What a process holds is handed
over within a second, and before the first of it is held, Redis is told that this process holds something: should the
process be killed, that mark stays behind and becomes a gap. While Redis is away the process keeps its pulls, and since
when, and hands both over later. Times that nobody could count are recorded as gaps: what lies in a gap counts as pulled
at its end, so that neither a lost Redis nor a killed process ever makes "not pulled for 90 days" delete what is in use.
"""

from __future__ import annotations

import atexit
import threading
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import structlog
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from core import clock, redis
from core.events import emit
from projects.events import ArtifactPulled
from projects.models import Artifact, PullFold, PullGap, Tag, WebhookPolicy

Pullable = TypeVar("Pullable", Artifact, Tag)
log = structlog.get_logger(__name__)
ARTIFACT_TIMES = "wharf:pulls:artifact-times"
TAG_TIMES = "wharf:pulls:tag-times"
COUNTS = "wharf:pulls:counts"
GAPS = "wharf:pulls:gaps"
MARKER = "wharf:pulls:marker"
SHARE = "wharf:pulls:share"
"""The name of what was set aside to be folded."""
FOLD_EVERY = timedelta(minutes=1)
# Later than this, a fold may have missed what a dead process held in memory.
FOLD_LATE = 5 * FOLD_EVERY
HOLDERS = "wharf:pulls:holders"
"""Who holds pulls in memory → the second, by Redis's clock, when it last handed over or began to hold."""
HAND_OVER_EVERY = 0.25
# A living process renews its mark several times a second; with a margin for one that is starved or stopped.
HOLDER_LATE = timedelta(seconds=30)
# What a mark's time may be later than the first pull that it stands for: a turn of the thread, and Redis's time limit.
MARK_MARGIN = timedelta(seconds=5)
_MARK = "return redis.call('HSET', KEYS[1], ARGV[1], redis.call('TIME')[1])"
_GATHERED = (ARTIFACT_TIMES, TAG_TIMES, COUNTS, GAPS)
_KEPT_MOST = 100_000
# Each locks its rows by their ids, as pushes and deletions do, so that no two wait for each other.
# A child's pull counts for the indexes that hold it, and for those that hold them.
_DATE_ARTIFACTS = """
WITH RECURSIVE reached AS (
    SELECT id, at FROM unnest(%s::bigint[], %s::bigint[]) AS told (id, at)
    UNION
    SELECT parent.artifact_id, reached.at FROM reached
    JOIN projects_artifact child ON child.id = reached.id
    JOIN projects_reference parent ON parent.repository_id = child.repository_id AND parent.digest = child.digest
    WHERE parent.kind = 'child' AND parent.artifact_id IS NOT NULL
), latest AS (
    SELECT id, max(at) AS at FROM reached GROUP BY id
), held AS (
    SELECT id FROM projects_artifact WHERE id = ANY (SELECT id FROM latest) ORDER BY id FOR NO KEY UPDATE
)
UPDATE projects_artifact SET pulled = greatest(pulled, to_timestamp(latest.at))
FROM held JOIN latest USING (id) WHERE projects_artifact.id = held.id
"""
_DATE_TAGS = """
WITH told AS (
    SELECT id, at FROM unnest(%s::bigint[], %s::bigint[]) AS told (id, at)
), held AS (
    SELECT id FROM projects_tag WHERE id = ANY (SELECT id FROM told) ORDER BY id FOR NO KEY UPDATE
)
UPDATE projects_tag SET pulled = greatest(pulled, to_timestamp(told.at))
FROM held JOIN told USING (id) WHERE projects_tag.id = held.id
"""
_COUNT = """
WITH counted AS (
    SELECT repository_id AS id, sum(told.number) AS number FROM unnest(%s::bigint[], %s::bigint[]) AS told (id, number)
    JOIN projects_artifact artifact ON artifact.id = told.id GROUP BY repository_id
), held AS (
    SELECT id FROM projects_repository WHERE id = ANY (SELECT id FROM counted) ORDER BY id FOR NO KEY UPDATE
)
UPDATE projects_repository SET pull_count = pull_count + counted.number
FROM held JOIN counted USING (id) WHERE projects_repository.id = held.id
"""


class _Kept:
    """What this process could not hand over yet."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.since: float | None = None
        """When Redis stopped answering, or the memory was full."""
        self.holder = ""
        """The name under which Redis knows that something is held here; empty when it does not know."""
        self.artifacts: dict[int, int] = {}
        self.tags: dict[int, int] = {}
        self.counts: Counter[int] = Counter()

    def add(self, artifact_id: int, tag_id: int | None, now: int, number: int) -> None:
        if len(self.artifacts) >= _KEPT_MOST and artifact_id not in self.artifacts:
            self.since = self.since or clock.time()
            return
        self.artifacts[artifact_id] = max(now, self.artifacts.get(artifact_id, 0))
        self.counts[artifact_id] += number
        if tag_id:
            self.tags[tag_id] = max(now, self.tags.get(tag_id, 0))

    def take(self) -> tuple[dict[int, int], dict[int, int], Counter[int]]:
        taken = self.artifacts, self.tags, self.counts
        self.artifacts, self.tags, self.counts = {}, {}, Counter()
        return taken


_kept = _Kept()
_handing_over = threading.Lock()
_starting = threading.Lock()
_noted = threading.Event()
_thread: threading.Thread | None = None


def note(*, artifact_id: int, tag_id: int | None, count: bool) -> None:
    """An artifact was pulled just now, by a tag or by digest; `count` is False for a HEAD."""
    kept = _kept
    # Before the lock: once a minute this asks the database, and other pulls shall not wait for that.
    now = int(clock.time())
    with kept.lock:
        if not kept.holder and kept.since is None:
            _mark(kept)
        kept.add(artifact_id, tag_id, now, int(count))
    _wake()


def hand_over() -> None:
    """Give Redis what this process holds; Away when it does not answer, and then everything is kept."""
    kept = _kept
    with _handing_over:
        with kept.lock:
            taken, since, holder = kept.take(), kept.since, kept.holder or _new_holder()
        if not taken[0] and since is None:
            _unmark(kept)
            return
        try:
            redis.ask(lambda r: _write(r, taken, since, holder))
        except redis.Away:
            with kept.lock:
                _put_back(kept, taken)
            raise
        with kept.lock:
            kept.holder = holder
            if kept.since == since:
                kept.since = None


def fold() -> int:
    """Move what Redis gathered into Postgres, record gaps, and return how many artifacts were touched."""
    hand_over()
    # A fold may have died when all of its share was in Postgres and nothing of it out of Redis.
    folded = PullFold.objects.values_list("share", flat=True).first()
    gathered = redis.ask(lambda r: _take(r, folded))
    with transaction.atomic():
        _record_gaps(gathered)
        _apply(gathered)
        _announce(gathered)
    redis.ask(_drop_share)
    if gathered[HOLDERS]:
        redis.ask(lambda r: r.hdel(HOLDERS, *gathered[HOLDERS]))
    return len(gathered[ARTIFACT_TIMES])


def surely_unpulled(rows: QuerySet[Pullable], *, since: datetime) -> QuerySet[Pullable]:
    """Of these artifacts or tags those that nobody can have pulled since then.

    What lies in a time that nobody could count counts as pulled at its end.
    """
    uncounted = PullGap.objects.filter(ended__gte=since).filter(ended__gte=OuterRef("pushed"))
    return rows.filter(~Exists(uncounted)).exclude(pulled__gte=since)


# --- the pulling side ---------------------------------------------------------------------------------------
def _mark(kept: _Kept) -> None:
    """Let Redis know that something is held here, before it is."""
    holder = _new_holder()
    try:
        redis.ask(lambda r: r.eval(_MARK, 1, HOLDERS, holder))
        kept.holder = holder
    except redis.Away:
        kept.since = clock.time()


def _unmark(kept: _Kept) -> None:
    """Nothing is held any more. A mark of its own for each time, so that taking one away cannot hit the next."""
    with kept.lock:
        if kept.artifacts or not kept.holder:
            return
        holder, kept.holder = kept.holder, ""
    redis.ask(lambda r: r.hdel(HOLDERS, holder))


def _new_holder() -> str:
    return uuid.uuid4().hex


def _write(
    r: redis.Client, taken: tuple[dict[int, int], dict[int, int], Counter[int]], since: float | None, holder: str
) -> None:
    artifacts, tags, counts = taken
    pipeline = r.pipeline()
    if since is not None:
        pipeline.sadd(GAPS, f"{since}:{clock.time()}")
    if artifacts:
        pipeline.hset(ARTIFACT_TIMES, mapping={str(pk): at for pk, at in artifacts.items()})
    if tags:
        pipeline.hset(TAG_TIMES, mapping={str(pk): at for pk, at in tags.items()})
    for pk, number in counts.items():
        if number:
            pipeline.hincrby(COUNTS, str(pk), number)
    # For what was noted meanwhile.
    pipeline.eval(_MARK, 1, HOLDERS, holder)
    pipeline.execute()


def _put_back(kept: _Kept, taken: tuple[dict[int, int], dict[int, int], Counter[int]]) -> None:
    artifacts, tags, counts = taken
    if kept.since is None:
        kept.since = min(artifacts.values(), default=clock.time())
    for artifact_id, at in artifacts.items():
        kept.add(artifact_id, None, at, counts[artifact_id])
    for tag_id, at in tags.items():
        kept.tags[tag_id] = max(at, kept.tags.get(tag_id, 0))


def _wake() -> None:
    """Let the thread know that there is work; it is started when a process notes its first pull."""
    global _thread
    if _thread is None or not _thread.is_alive():
        with _starting:
            if _thread is None or not _thread.is_alive():
                _thread = threading.Thread(target=_hand_over_forever, name="pulls", daemon=True)
                _thread.start()
                atexit.register(_hand_over_quietly)
    if not _noted.is_set():
        _noted.set()


def _hand_over_forever() -> None:
    while _noted.wait():
        _noted.clear()
        time.sleep(HAND_OVER_EVERY)
        _hand_over_quietly()
        if _kept.holder or _kept.since is not None:
            _noted.set()


def _hand_over_quietly() -> None:
    try:
        hand_over()
    except redis.Away:
        # Everything is kept, and the pause before Redis is asked again is `core.redis`'s.
        return


# --- the folding side ----------------------------------------------------------------------------------------
def _take(r: redis.Client, folded: str | None) -> dict[str, dict[str, str]]:
    """Set aside what was gathered. What a fold that died left aside is finished first, unless it was folded."""
    if folded and r.get(SHARE) == folded:
        _drop_share(r)
    r.set(SHARE, uuid.uuid4().hex, nx=True)
    for key in _GATHERED:
        if not r.exists(_taken(key)) and r.exists(key):
            r.rename(key, _taken(key))
    gathered = {key: r.hgetall(_taken(key)) for key in (ARTIFACT_TIMES, TAG_TIMES, COUNTS)}
    gathered[GAPS] = dict.fromkeys(r.smembers(_taken(GAPS)), "")
    gathered[SHARE] = {"is": r.get(SHARE) or ""}
    # Of its own each time it is set anew: a fold that dies before Postgres knows it has not accounted for the loss.
    r.set(MARKER, uuid.uuid4().hex, nx=True)
    gathered[MARKER] = {"is": r.get(MARKER) or ""}
    late = r.time()[0] - HOLDER_LATE.total_seconds()
    gathered[HOLDERS] = {holder: at for holder, at in r.hgetall(HOLDERS).items() if int(at) < late}
    return gathered


def _drop_share(r: redis.Client) -> None:
    """All of it at once: what is left of it would be folded again."""
    r.delete(SHARE, *map(_taken, _GATHERED))


def _taken(key: str) -> str:
    return f"{key}:taken"


def _record_gaps(gathered: dict[str, dict[str, str]]) -> None:
    now, marker, share = clock.now(), gathered[MARKER]["is"], gathered[SHARE]["is"]
    last = PullFold.objects.select_for_update().first()
    if last is None:
        PullFold.objects.create(folded=now, marker=marker, share=share)
        return
    if last.marker != marker:
        _record_gap(last.folded, now, "Redis lost its memory")
    elif now - last.folded > FOLD_LATE:
        _record_gap(last.folded, now, "pulls were not folded")
    for gap in gathered[GAPS]:
        started, ended = (datetime.fromtimestamp(float(second), UTC) for second in gap.split(":"))
        _record_gap(started, ended, "Redis did not answer")
    for at in gathered[HOLDERS].values():
        _record_gap(datetime.fromtimestamp(int(at), UTC) - MARK_MARGIN, now, "a process died with pulls in its memory")
    last.folded, last.marker, last.share = now, marker, share
    last.save()


def _record_gap(started: datetime, ended: datetime, reason: str) -> None:
    PullGap.objects.create(started=started, ended=ended, reason=reason)
    log.warning("pull_gap", started=started.isoformat(), ended=ended.isoformat(), reason=reason)


def _apply(gathered: dict[str, dict[str, str]]) -> None:
    """A few statements, however much was pulled: whoever pushes one of these again waits until all is folded."""
    with connection.cursor() as cursor:
        for sql, key in ((_DATE_ARTIFACTS, ARTIFACT_TIMES), (_DATE_TAGS, TAG_TIMES), (_COUNT, COUNTS)):
            told = {int(pk): int(number) for pk, number in gathered[key].items()}
            cursor.execute(sql, [[*told], [*told.values()]])


def _announce(gathered: dict[str, dict[str, str]]) -> None:
    """State what was pulled, where a webhook wants to hear of it: one event for each artifact, however often."""
    pulled = {int(pk): int(number) for pk, number in gathered[COUNTS].items() if int(number)}
    wanting = WebhookPolicy.objects.wanting(ArtifactPulled.topic).values("project_id")
    wanted = Artifact.objects.live().filter(pk__in=pulled, repository__project__in=wanting)
    rows = list(wanted.select_related("repository__project").order_by("pk"))
    if not rows:
        return
    tags: dict[int, list[str]] = {}
    for artifact_id, name in (
        Tag.objects.live()
        .filter(pk__in=[int(pk) for pk in gathered[TAG_TIMES]], artifact__in=rows)
        .order_by("name")
        .values_list("artifact_id", "name")
    ):
        tags.setdefault(artifact_id, []).append(name)
    for artifact in rows:
        repository = artifact.repository
        emit(
            ArtifactPulled(
                actor="",
                project_id=repository.project_id,
                project=repository.project.name,
                repository=repository.name,
                digest=artifact.digest,
                tags=tuple(tags.get(artifact.pk, ())),
                pulls=pulled[artifact.pk],
            )
        )
