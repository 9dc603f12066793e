"""What it takes to delete a manifest where there are many tags: the stock registry looks through all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench import load, stores, targets
from bench.client import Client
from bench.images import Image
from bench.load import Load
from bench.targets import Stocked, Target

NAME = "deletion"
TAGS = 10_000
NUMBER = 50
"""Deleted one after the other by one client, in each round and of each server."""
MOST_MS = 10.0
"""Promised, from request to answer."""
_REPOSITORY = "tags/app"


@dataclass(frozen=True)
class Deletion:
    """One round."""

    wharf: Load
    bare: Load


def measure(wharf: Stocked, rounds: int) -> list[Deletion]:
    """Both servers with the same repository, which loses what each round deletes."""
    with TemporaryDirectory(prefix="wharf-bench-") as folder:
        made = stores.fill(Path(folder), _REPOSITORY, TAGS, tagged=TAGS)
        wharf.adopt(Path(folder))
        ours = wharf.target.of(_REPOSITORY)
        with targets.bare_registry(Path(folder), deletes=True) as bare:
            return [_round(ours, bare.of(_REPOSITORY), made[NUMBER * number :][:NUMBER]) for number in range(rounds)]


def missed(deletions: Sequence[Deletion]) -> list[str]:
    """What was not reached, in words."""
    return ["deletion among many tags"] if deletions and median_ms(deletions) > MOST_MS else []


def median_ms(deletions: Sequence[Deletion]) -> float:
    return median(each.wharf.median_ms for each in deletions)


def _round(wharf: Target, bare: Target, doomed: Sequence[Image]) -> Deletion:
    return Deletion(_delete(wharf, doomed), _delete(bare, doomed))


def _delete(target: Target, doomed: Sequence[Image]) -> Load:
    def prepare(number: int) -> load.Work:
        client = Client(target.url)
        headers = target.headers(client, "delete")

        def delete(image: Image) -> None:
            client.ask("DELETE", f"/v2/{target.repository}/manifests/{image.digest}", headers, expect=202)

        return lambda: [load.timed(partial(delete, image)) for image in doomed]

    return load.together(target, 1, prepare)
