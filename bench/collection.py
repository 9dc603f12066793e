"""Garbage collection while a client pushes: what the client notices of it, and how long it takes.

Beside it the stock registry's own collector on the same files. That one needs the registry stopped, or read-only,
for as long as it works: no push goes on meanwhile.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench import load, stores, targets
from bench.client import Client, Failed
from bench.load import Load, Work
from bench.targets import Stocked, Target

NAME = "collection"
REPOSITORIES, IMAGES = 40, 20_000
"""So many images in all repositories together; half of them are deleted."""
PUSHES = 500
"""Before, and after; during the collection as many as it lasts."""
MOST_RATIO = 1.3
"""Of the time within which 99 of 100 pushes are done, with a collection at work to without."""
_RUNS = "/api/v2.0/system/gc"
# Half of them were deleted yesterday, and nobody counted on anything since: longer ago than the grace.
_AGE = """
from datetime import timedelta
from django.db import connection
from core import clock
from projects import quotas
from projects.models import Artifact, Project, RepositoryBlob
yesterday = clock.now() - timedelta(days=1)
here = Artifact.objects.filter(repository__project__name={project!r})
here.filter(tags=None).update(deleted=yesterday)
RepositoryBlob.objects.filter(repository__project__name={project!r}).update(touched=yesterday)
quotas.recount(project=Project.objects.get(name={project!r}))
connection.cursor().execute("VACUUM ANALYZE")
"""


@dataclass(frozen=True)
class Collection:
    """One round."""

    before: Load
    during: Load
    after: Load
    seconds: float
    """From the order until the run's end."""
    freed_bytes: int
    """Left the store, of both alike."""
    bare_seconds: float

    @property
    def quiet_ms(self) -> float:
        """Within which 99 of 100 pushes were done without a collection."""
        return (self.before.late_ms + self.after.late_ms) / 2

    @property
    def ratio(self) -> float:
        return self.during.late_ms / self.quiet_ms


def measure(wharf: Stocked, rounds: int) -> list[Collection]:
    """Each round with new images, in a project of its own; what the earlier ones kept stays there."""
    return [_round(wharf, f"round{number}") for number in range(rounds)]


def missed(collections: Sequence[Collection]) -> list[str]:
    """What was not reached, in words."""
    return ["pushes during a collection"] if collections and median_ratio(collections) > MOST_RATIO else []


def median_ratio(collections: Sequence[Collection]) -> float:
    return median(each.ratio for each in collections)


def _round(wharf: Stocked, project: str) -> Collection:
    """Fill both stores alike, then push before, during and after a collection; Failed when one frees other bytes."""
    with TemporaryDirectory(prefix="wharf-bench-") as folder:
        bare_store = Path(folder)
        each = IMAGES // REPOSITORIES
        for number in range(REPOSITORIES):
            stores.fill(bare_store, f"{project}/app{number}", each, tagged=each // 2)
        wharf.adopt(bare_store)
        there = stores.data_bytes(bare_store)
        bare_seconds = targets.collect_offline(bare_store)
        bare_freed = there - stores.data_bytes(bare_store)
    wharf.manage("shell", "-c", _AGE.format(project=project))
    before = _push(wharf.target, lambda: _times(PUSHES))
    there = stores.data_bytes(wharf.store)
    during = _push(wharf.target, lambda: _while_collecting(wharf.target))
    freed = there + during.operations * stores.image_bytes() - stores.data_bytes(wharf.store)
    after = _push(wharf.target, lambda: _times(PUSHES))
    seconds, told = _last_run(wharf.target)
    if not bare_freed == freed == told["freed_space"]:
        raise Failed(f"{freed} bytes left Wharf's store, {bare_freed} the other; the run tells {told}")
    return Collection(before, during, after, seconds, freed, bare_seconds)


def _push(target: Target, whether: Callable[[], Callable[[], bool]]) -> Load:
    """One client that pushes new images for as long as it is told to go on."""

    def prepare(number: int) -> Work:
        client = Client(target.url)

        def work() -> list[float]:
            took, goes_on = list[float](), whether()
            while goes_on():
                took.append(load.timed(partial(target.push, client, stores.make_image())))
            return took

        return work

    return load.together(target, 1, prepare)


def _times(number: int) -> Callable[[], bool]:
    left = iter(range(number))
    return lambda: next(left, None) is not None


def _while_collecting(target: Target) -> Callable[[], bool]:
    """Starts a collection; whether it is still at work, asked once a second."""
    client, asked, answer = Client(target.url), time.monotonic(), True
    body = json.dumps({"schedule": {"type": "Manual"}, "parameters": {}}).encode()
    headers = {**target.credentials("user"), "Content-Type": "application/json"}
    client.ask("POST", f"{_RUNS}/schedule", headers, [body], expect=201)

    def goes_on() -> bool:
        nonlocal asked, answer
        if time.monotonic() - asked > 1:
            asked, answer = time.monotonic(), _newest(client, target)["job_status"] in ("Pending", "Running")
        return answer

    return goes_on


def _newest(client: Client, target: Target) -> dict[str, str]:
    answer = client.ask("GET", f"{_RUNS}?page_size=1", target.credentials("user"))
    newest: dict[str, str] = json.loads(answer.body)[0]
    return newest


def _last_run(target: Target) -> tuple[float, dict[str, int]]:
    """Its seconds, and what it tells of itself; Failed when it did not succeed."""
    row = _newest(Client(target.url), target)
    if row["job_status"] != "Success":
        raise Failed(f"the collection ended as {row['job_status']}")
    began, ended = (datetime.fromisoformat(row[name]) for name in ("creation_time", "update_time"))
    return (ended - began).total_seconds(), json.loads(row["job_parameters"])
