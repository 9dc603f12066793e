"""The result in words and numbers: pure, from loads to Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench import collection, deletion, jobs, webhooks
from bench.collection import Collection
from bench.deletion import Deletion
from bench.jobs import Start
from bench.lists import MOST_MS, Page, missed
from bench.load import Load
from bench.phases import Phase
from bench.webhooks import Relayed


@dataclass(frozen=True)
class Pair:
    """One round of a phase: both targets, one right after the other."""

    wharf: Load
    bare: Load

    @property
    def ratio(self) -> float:
        return self.wharf.rate / self.bare.rate


@dataclass(frozen=True)
class Result:
    """All rounds of a phase."""

    phase: Phase
    pairs: Sequence[Pair]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return median(pair.ratio for pair in self.pairs)

    @property
    def is_reached(self) -> bool:
        return self.ratio >= self.phase.least


@dataclass(frozen=True)
class Told:
    """What is measured beside the phases and the lists: as one line, and what of it was missed."""

    line: str
    missed: Sequence[str]


def as_markdown(
    results: Sequence[Result], facts: Sequence[str], pages: Sequence[Page] = (), told: Sequence[Told] = ()
) -> str:
    """The page of one run."""
    names = [result.phase.name for result in results if not result.is_reached] + missed(pages)
    names += [name for each in told for name in each.missed]
    verdict = f"Missed: {', '.join(names)}." if names else "Everything that is promised was reached."
    parts = ["# Wharf and a bare stock registry, side by side", *(f"- {fact}" for fact in facts), "", verdict, ""]
    lists = ["", *_lists(pages)] if pages else []
    besides = [line for each in told for line in ("", each.line)]
    return "\n".join([*parts, *_ratios(results), "", *_costs(results), *besides, *lists]) + "\n"


def line(result: Result) -> str:
    """One phase as one line for the terminal."""
    spread = [pair.ratio for pair in result.pairs]
    word = "reached" if result.is_reached else "MISSED"
    costs = ", ".join(f"{name} {value:.0f}" for name, value in _by_program(result).items())
    return (
        f"{result.phase.name:<38} ratio {result.ratio:.2f} [{min(spread):.2f}-{max(spread):.2f}] "
        f"(≥ {result.phase.least}: {word}); CPU µs: bare {_cost(result, 'bare'):.0f}, "
        f"Wharf {_cost(result, 'wharf'):.0f} = {costs}"
    )


def page_line(page: Page) -> str:
    """One page of a list as one line for the terminal."""
    word = "reached" if page.is_reached else "MISSED"
    return (
        f"{page.who:<7} {page.path:<82} page {page.number:<4} of {page.total:<6} rows: {page.median_ms:5.1f} ms "
        f"[{min(page.took_ms):.1f}-{max(page.took_ms):.1f}] (≤ {MOST_MS:.0f}: {word})"
    )


def of_jobs(starts: Sequence[Start]) -> Told:
    """How fast jobs were begun."""
    costs = ", ".join(f"{name} {median(start.cpu_us(name) for start in starts):.0f}" for name in starts[0].cpu)
    missing = jobs.missed(starts)
    line = (
        f"{jobs.NUMBER} jobs, from the first's submission until the last is begun: {jobs.median_rate(starts):.0f}/s "
        f"{_spread([start.rate for start in starts])} (≥ {jobs.LEAST:.0f}/s: {_word(missing)}); CPU µs a job, its end "
        f"included: {costs}"
    )
    return Told(line, missing)


def of_webhooks(relayed: Sequence[Relayed]) -> Told:
    """How fast events were relayed."""
    heard = [each.heard for each in relayed]
    costs = ", ".join(f"{name} {median(each.cpu_us(name) for each in relayed):.0f}" for name in relayed[0].cpu)
    missing = webhooks.missed(relayed)
    line = (
        f"{webhooks.NUMBER} webhook events relayed: {webhooks.median_rate(relayed):.0f}/s "
        f"{_spread([each.rate for each in relayed])} (≥ {webhooks.LEAST:.0f}/s: {_word(missing)}); sent to one "
        f"endpoint, one after the other: {median(heard):.0f}/s {_spread(heard)}; CPU µs an event: {costs}"
    )
    return Told(line, missing)


def of_collections(collections: Sequence[Collection]) -> Told:
    """What a client that pushes noticed of garbage collection, and how long that took."""
    quiet, during = [each.quiet_ms for each in collections], [each.during.late_ms for each in collections]
    ratio, ratios = collection.median_ratio(collections), [each.ratio for each in collections]
    pushes = sum(each.during.operations for each in collections)
    seconds, bare = [each.seconds for each in collections], [each.bare_seconds for each in collections]
    missing = collection.missed(collections)
    line = (
        f"Half of {collection.IMAGES} images in {collection.REPOSITORIES} repositories collected while a client pushes "
        f"({pushes} small images meanwhile, in all rounds): 99 % of its pushes within {median(during):.0f} ms "
        f"{_spread(during)}, without a collection {median(quiet):.0f} ms {_spread(quiet)}, ratio {ratio:.2f} "
        f"{_spread(ratios, 2)} (≤ {collection.MOST_RATIO}: {_word(missing)}). It takes {median(seconds):.0f} s "
        f"{_spread(seconds)}, the stock registry's garbage-collect on the same files {median(bare):.0f} s "
        f"{_spread(bare)}, while nobody can push; {median(each.freed_bytes for each in collections):.0f} bytes left "
        "each of both stores"
    )
    return Told(line, missing)


def of_deletions(deletions: Sequence[Deletion]) -> Told:
    """How long the deletion of a manifest takes among many tags."""
    ours, theirs = [each.wharf.median_ms for each in deletions], [each.bare.median_ms for each in deletions]
    missing = deletion.missed(deletions)
    line = (
        f"A manifest deleted among {deletion.TAGS} tags: {deletion.median_ms(deletions):.1f} ms {_spread(ours, 1)} "
        f"(≤ {deletion.MOST_MS:.0f}: {_word(missing)}), the bare registry {median(theirs):.1f} ms {_spread(theirs, 1)}"
    )
    return Told(line, missing)


def _spread(numbers: Sequence[float], digits: int = 0) -> str:
    return f"[{min(numbers):.{digits}f}-{max(numbers):.{digits}f}]"


def _word(missing: Sequence[str]) -> str:
    return "MISSED" if missing else "reached"


def _lists(pages: Sequence[Page]) -> list[str]:
    rows = [
        f"Lists of a platform with 200,000 artifacts: pages of 100 in the default order, counted. {MOST_MS:.0f} ms of "
        f"the server's time are promised. Told is the median of {len(pages[0].took_ms)} times from request to the end "
        "of the answer at a client on the same machine, which is more. A last page is the last one that "
        "`X-Total-Count` tells of.",
        "",
        "| list | who | page | rows | ms | times | |",
        "|---|---|---|---|---|---|---|",
    ]
    return rows + [
        f"| `{page.path}` | {page.who} | {page.number} | {page.total} | **{page.median_ms:.1f}** "
        f"| {min(page.took_ms):.1f} to {max(page.took_ms):.1f} | {'reached' if page.is_reached else '**missed**'} |"
        for page in pages
    ]


def _ratios(results: Sequence[Result]) -> list[str]:
    rows = ["| | Wharf | bare | ratio | rounds | promised | |", "|---|---|---|---|---|---|---|"]
    for result in results:
        wharf, bare = (median(load.rate for load in side) for side in _sides(result))
        spread = [pair.ratio for pair in result.pairs]
        rows.append(
            f"| {result.phase.name} | {_rate(wharf, result.phase)} | {_rate(bare, result.phase)} "
            f"| **{result.ratio:.2f}** | {min(spread):.2f} to {max(spread):.2f} | {result.phase.least} "
            f"| {'reached' if result.is_reached else '**missed**'} |"
        )
    return rows


def _costs(results: Sequence[Result]) -> list[str]:
    rows = [
        "CPU time of the servers for one operation, in microseconds (medians), and of the clients that made the load:",
        "",
        "| | bare | Wharf | of which | clients: bare, Wharf | 99 % within ms: bare, Wharf |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        wharf, bare = _sides(result)
        parts = ", ".join(f"{name} {value:.0f}" for name, value in _by_program(result).items())
        clients = ", ".join(f"{median(load.client_us for load in side):.0f}" for side in (bare, wharf))
        late = ", ".join(f"{median(load.late_ms for load in side):.1f}" for side in (bare, wharf))
        rows.append(
            f"| {result.phase.name} | {_cost(result, 'bare'):.0f} | {_cost(result, 'wharf'):.0f} "
            f"| {parts} | {clients} | {late} |"
        )
    return rows


def _sides(result: Result) -> tuple[list[Load], list[Load]]:
    return [pair.wharf for pair in result.pairs], [pair.bare for pair in result.pairs]


def _cost(result: Result, side: str) -> float:
    wharf, bare = _sides(result)
    return median(load.server_us for load in (wharf if side == "wharf" else bare))


def _by_program(result: Result) -> dict[str, float]:
    """Microseconds of each of Wharf's programs; who did next to nothing is left out."""
    wharf, _ = _sides(result)
    costs = {name: median(load.cpu_us(name) for load in wharf) for name in wharf[0].server_cpu}
    return {name: cost for name, cost in costs.items() if cost >= 1}


def _rate(rate: float, phase: Phase) -> str:
    return f"{rate * phase.operation_bytes / 1e6:.0f} MB/s" if phase.operation_bytes else f"{rate:.1f}/s"
