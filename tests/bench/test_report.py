"""What the benchmark's page says: ratios of paired rounds, and a miss stated as a miss."""

from __future__ import annotations

from collections.abc import Iterable

from django.urls import resolve

from bench import lists, report
from bench.collection import Collection
from bench.deletion import Deletion
from bench.jobs import NUMBER, Start
from bench.lists import Page
from bench.load import Load
from bench.phases import PHASES
from bench.report import Pair, Result
from tests.api.test_lists import TABLE

BY_TAG = PHASES[0]
BIG_BLOB = next(phase for phase in PHASES if phase.operation_bytes)


def load(rate: float, **cpu: float) -> Load:
    """One second of it; `cpu` in seconds of each program."""
    return Load(int(rate), 1.0, 1.0, 2.0, client_cpu=0.5, server_cpu=cpu)


def pushes(typical: float = 1, late: float = 2) -> Load:
    """One operation in milliseconds: the median, and what 99 of 100 are done within."""
    return Load(100, 1.0, typical, late, client_cpu=0.5, server_cpu={})


def result(*rates: tuple[float, float]) -> Result:
    pairs = [Pair(load(wharf, core=0.9, nginx=0.1), load(bare, registry=1.0)) for wharf, bare in rates]
    return Result(BY_TAG, pairs)


def test_a_ratio_is_the_median_of_the_rounds_and_not_of_the_rates() -> None:
    """A machine that slows down between rounds slows both down."""
    assert result((2000, 1000), (300, 100), (1000, 1000)).ratio == 2


def test_a_miss_is_stated_as_a_miss() -> None:
    page = report.as_markdown([result((1100, 1000))], ["two cores"])
    assert f"Missed: {BY_TAG.name}." in page
    assert "| **1.10** | 1.10 to 1.10 | 1.2 | **missed** |" in page
    assert "- two cores" in page


def test_what_is_reached_is_said_too() -> None:
    page = report.as_markdown([result((1300, 1000), (1200, 1000))], [])
    assert "Everything that is promised was reached." in page
    assert "| **1.25** | 1.20 to 1.30 | 1.2 | reached |" in page


def test_costs_are_told_for_one_operation_and_by_program() -> None:
    page = report.as_markdown([result((1000, 500))], [])
    assert "| 2000 | 1000 | core 900, nginx 100 | 1000, 500 | 2.0, 2.0 |" in page


def test_big_blobs_are_told_in_megabytes() -> None:
    page = report.as_markdown([Result(BIG_BLOB, [Pair(load(2, core=1), load(4, registry=1))])], [])
    assert "537 MB/s | 1074 MB/s | **0.50**" in page


def test_a_list_is_judged_by_its_median_and_a_slow_page_stated_as_missed() -> None:
    quick = Page("admin", "/projects", 1, 1000, [900.0, 99.0, 20.0])
    slow = Page("member", "/repositories", 58, 5783, [90.0, 101.0, 130.0])
    page = report.as_markdown([result((1300, 1000))], [], [quick, slow])
    assert "Missed: /repositories page 58 as member." in page
    assert "| `/projects` | admin | 1 | 1000 | **99.0** | 20.0 to 900.0 | reached |" in page
    assert "| `/repositories` | member | 58 | 5783 | **101.0** | 90.0 to 130.0 | **missed** |" in page


def test_jobs_are_judged_by_the_median_of_the_rounds() -> None:
    starts = [Start(NUMBER / rate, {"worker": NUMBER * 0.005}) for rate in (90, 101, 300)]
    page = report.as_markdown([result((1300, 1000))], [], [], [report.of_jobs(starts)])
    assert "101/s [90-300] (≥ 100/s: reached); CPU µs a job, its end included: worker 5000" in page
    missed = report.as_markdown([result((1300, 1000))], [], [], [report.of_jobs(starts[:1])])
    assert "Missed: 1000 jobs." in missed


def test_a_collection_is_judged_by_the_median_of_the_rounds_slowest_pushes() -> None:
    rounds = [
        Collection(
            before=pushes(late=90), during=pushes(late=late), after=pushes(late=110), seconds=40.0, freed_bytes=5,
            bare_seconds=9.0,
        )
        for late in (100, 129, 200)
    ]  # fmt: skip
    told = report.of_collections(rounds)
    assert "ratio 1.29 [1.00-2.00] (≤ 1.3: reached)" in told.line
    assert "It takes 40 s [40-40], the stock registry's garbage-collect on the same files 9 s [9-9]" in told.line
    assert not told.missed
    assert report.of_collections(rounds[2:]).missed == ["pushes during a collection"]


def test_deletions_are_judged_by_the_median_of_the_rounds() -> None:
    rounds = [Deletion(wharf=pushes(typical=ms), bare=pushes(typical=130)) for ms in (4, 9.9, 60)]
    told = report.of_deletions(rounds)
    assert "9.9 ms [4.0-60.0] (≤ 10: reached), the bare registry 130.0 ms [130.0-130.0]" in told.line
    assert report.of_deletions(rounds[2:]).missed == ["deletion among many tags"]


def test_every_list_is_measured() -> None:
    """Those of the table of queries, each by its route."""

    def routes(paths: Iterable[str]) -> set[str]:
        return {resolve(f"/api/v2.0{path.partition('?')[0]}").route for path in paths}

    assert routes(lists.LISTS) == routes(TABLE)
