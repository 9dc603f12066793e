"""`make bench`: measure both servers in turns, then all else; write bench/results/<date and time>.md."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import collection, deletion, jobs, lists, report, targets, webhooks
from bench.lists import Page
from bench.phases import PHASES, Bench, Effort, Phase
from bench.report import Pair, Result, Told

RESULTS = Path(__file__).parent / "results"
FULL = Effort(seconds=5, images=10, big_blobs=8)
QUICK = Effort(seconds=1, images=10, big_blobs=8)


def main() -> int:
    """0 when everything that is promised was reached."""
    given = _arguments()
    effort = QUICK if given.quick else FULL
    rounds = given.rounds or (1 if given.quick else 5)
    phases = [phase for phase in PHASES if _is_wanted(phase.name, given)]
    results = _compare(phases, effort, rounds, given.var) if phases else []
    # What takes minutes to fill is no glance.
    slow = {lists.NAME, collection.NAME, deletion.NAME} if given.quick and not given.only else set()
    wanted = {name for name in (*BESIDES, lists.NAME) if _is_wanted(name, given) and name not in slow}
    pages = _look_through_lists(rounds, given.var) if lists.NAME in wanted else []
    told = [_tell(measure(rounds, _beside(given.var, name))) for name, measure in BESIDES.items() if name in wanted]
    if not given.quick and not given.only:
        _write(results, pages, told, effort)
    is_all_reached = all(result.is_reached for result in results) and not any(each.missed for each in told)
    return 0 if is_all_reached and not lists.missed(pages) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round; nothing is written")
    parser.add_argument("--rounds", type=int, help="how often each phase is measured (5)")
    parser.add_argument(
        "--only", action="append", help=f"a part of a phase's name, or {', '.join(BESIDES)}, lists; nothing is written"
    )
    parser.add_argument("--var", type=Path, help="keep Wharf's folder here, for a faster start the next time")
    return parser.parse_args()


def _is_wanted(name: str, given: argparse.Namespace) -> bool:
    return not given.only or any(word in name for word in given.only)


def _compare(phases: list[Phase], effort: Effort, rounds: int, var: Path | None) -> list[Result]:
    """Wharf and the bare registry, by these phases."""
    if shutil.which("wrk") is None:
        sys.exit("wharf: the benchmark needs wrk (apt-get install wrk)")
    with targets.bare_registry() as bare, targets.wharf(var) as wharf:
        return _measure(Bench(wharf, effort), Bench(bare, effort), phases, rounds)


def _look_through_lists(rounds: int, var: Path | None) -> list[Page]:
    """Both ends of every list, on a platform of their own: 200,000 artifacts are no part of the other phases."""
    with targets.crowded(_beside(var, lists.NAME)) as crowd:
        print(crowd.seeded, flush=True)
        pages = lists.measure(crowd, rounds)
    print(*map(report.page_line, pages), sep="\n", flush=True)
    return pages


def _beside(var: Path | None, name: str) -> Path | None:
    """The folder of another platform that is kept."""
    return var.with_name(f"{var.name}-{name}") if var else None


def _start_jobs(rounds: int, var: Path | None) -> Told:
    return report.of_jobs(jobs.measure(rounds, var))


def _relay(rounds: int, var: Path | None) -> Told:
    return report.of_webhooks(webhooks.measure(rounds, var))


def _collect(rounds: int, var: Path | None) -> Told:
    with targets.stocked(var) as wharf:
        return report.of_collections(collection.measure(wharf, rounds))


def _delete(rounds: int, var: Path | None) -> Told:
    with targets.stocked(var) as wharf:
        return report.of_deletions(deletion.measure(wharf, rounds))


BESIDES: dict[str, Callable[[int, Path | None], Told]] = {
    jobs.NAME: _start_jobs,
    webhooks.NAME: _relay,
    deletion.NAME: _delete,
    collection.NAME: _collect,
}
"""Each on a platform of its own, so that none finds what another left."""


def _tell(told: Told) -> Told:
    print(told.line, flush=True)
    return told


def _measure(wharf: Bench, bare: Bench, phases: list[Phase], rounds: int) -> list[Result]:
    wharf.prepare()
    bare.prepare()
    pairs: dict[str, list[Pair]] = {phase.name: [] for phase in phases}
    for number in range(rounds):
        for phase in phases:
            pairs[phase.name].append(_pair(phase, wharf, bare, wharf_first=bool(number % 2)))
            print(f"[{number + 1}/{rounds}] {report.line(Result(phase, pairs[phase.name][-1:]))}", flush=True)
    results = [Result(phase, pairs[phase.name]) for phase in phases]
    if rounds > 1:
        print("\nall rounds:", *map(report.line, results), sep="\n")
    return results


def _pair(phase: Phase, wharf: Bench, bare: Bench, *, wharf_first: bool) -> Pair:
    """Both, right after one another, so that what else the machine does meets both."""
    if wharf_first:
        ours = phase.wharf(wharf)
        return Pair(ours, phase.bare(bare))
    theirs = phase.bare(bare)
    return Pair(phase.wharf(wharf), theirs)


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True, check=False).stdout.strip()


def _write(results: list[Result], pages: list[Page], told: list[Told], effort: Effort) -> None:
    now = datetime.now(UTC)
    facts = [
        f"{now:%Y-%m-%d %H:%M} UTC, commit {_commit()}",
        f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}",
        f"{len(results[0].pairs)} rounds, both in turns; a ratio is the median of the rounds' ratios of operations "
        "per second",
        f"{effort.seconds} s a pass, {effort.clients} clients for pulls and pushes ({effort.images} images each), "
        f"{effort.connections} connections for small requests",
        "bare: docker-registry with the configuration of the image registry:2, without TLS, tokens and nginx; as that "
        "has it, it logs every request and collects garbage at Go's default, which Wharf's own registry does not",
        f"load while it ran: {os.getloadavg()[1]:.1f} (5 minutes)",
    ]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%d-%H%M}.md"
    path.write_text(report.as_markdown(results, facts, pages, told))
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    # Who is asked to end stops the servers that he started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
