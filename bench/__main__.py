"""`make bench`: measure both servers in turns, then lists, jobs, webhooks; write bench/results/<date and time>.md."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import jobs, lists, report, targets, webhooks
from bench.jobs import Start
from bench.lists import Page
from bench.phases import PHASES, Bench, Effort, Phase
from bench.report import Pair, Result
from bench.webhooks import Relayed

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
    # Its platform takes minutes to fill, which is no glance.
    wants_lists = _is_wanted(lists.NAME, given) and not (given.quick and not given.only)
    pages = _look_through_lists(rounds, given.var) if wants_lists else []
    starts = _start_jobs(rounds, given.var) if _is_wanted(jobs.NAME, given) else []
    relayed = _relay(rounds, given.var) if _is_wanted(webhooks.NAME, given) else []
    if not given.quick and not given.only:
        _write(results, pages, starts, relayed, effort)
    missed = [*jobs.missed(starts), *webhooks.missed(relayed), *lists.missed(pages)]
    return 1 if missed or any(not result.is_reached for result in results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round; nothing is written")
    parser.add_argument("--rounds", type=int, help="how often each phase is measured (5)")
    parser.add_argument(
        "--only", action="append", help="a part of a phase's name, `lists`, `jobs`, or `webhooks`; nothing is written"
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
    with targets.crowded(var.with_name(f"{var.name}-lists") if var else None) as crowd:
        print(crowd.seeded, flush=True)
        pages = lists.measure(crowd, rounds)
    print(*map(report.page_line, pages), sep="\n", flush=True)
    return pages


def _start_jobs(rounds: int, var: Path | None) -> list[Start]:
    """On a platform of their own, whose worker is the benchmark's."""
    starts = jobs.measure(rounds, var.with_name(f"{var.name}-jobs") if var else None)
    print(report.jobs_line(starts), flush=True)
    return starts


def _relay(rounds: int, var: Path | None) -> list[Relayed]:
    """On a platform of their own, whose webhooks may call this machine."""
    relayed = webhooks.measure(rounds, var.with_name(f"{var.name}-webhooks") if var else None)
    print(report.webhooks_line(relayed), flush=True)
    return relayed


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


def _write(
    results: list[Result], pages: list[Page], starts: list[Start], relayed: list[Relayed], effort: Effort
) -> None:
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
    path.write_text(report.as_markdown(results, facts, pages, starts, relayed))
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    # Who is asked to end stops the servers that he started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
