"""How long each list takes on a platform of 200,000 artifacts: pages of 100, counted, in the default order.

Measured is the time from a request to the end of its answer, at a client on the same machine that asks for one page at
a time over a connection that it keeps: nginx, core and PostgreSQL together. The server's own time is less, never more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.client import Client
from bench.targets import Crowded

NAME = "lists"
MOST_MS = 100.0
"""What is promised of each page."""
PAGE_SIZE = 100
_ARTIFACTS = "/projects/shop/repositories/web/artifacts"
_HOOKS = "/projects/shop/webhook/policies"
# That project holds 2000 repositories and a crowd of everything; `web` there has 10,000 tags, and one image of `api`
# hundreds of tags and accessories. More than 10,000 messages were sent for the policy `hook`, `sent` is one of them; it
# has one task, as all have.
LISTS = (
    "/projects",
    "/projects/shop/members",
    "/projects/shop/artifacts",
    "/projects/shop/immutabletagrules",
    _HOOKS,
    f"{_HOOKS}/{{hook}}/executions",
    f"{_HOOKS}/{{hook}}/executions/{{sent}}/tasks",
    "/projects/shop/webhook/jobs?policy_id={hook}",
    "/projects/shop/logs",
    "/projects/shop/auditlog-exts",
    "/audit-logs",
    "/auditlog-exts",
    "/quotas",
    "/labels?scope=g",
    "/labels?scope=p&project_id={project}",
    "/robots",
    "/robots?q=Level=project,ProjectID={project}",
    "/repositories",
    "/projects/shop/repositories",
    _ARTIFACTS,
    f"{_ARTIFACTS}?with_label=true&with_accessory=true",
    "/projects/shop/repositories/api/artifacts/latest/tags",
    "/projects/shop/repositories/api/artifacts/latest/accessories",
    "/system/gc",
    "/system/purgeaudit",
    "/schedules",
    "/usergroups",
    "/usergroups/search?groupname=crew",
    "/users",
    "/users/search?username=a",
)


@dataclass
class Page:
    """One page of one list for somebody, and how long it took each time."""

    who: str
    path: str
    number: int
    total: int
    """Rows that the list tells to have."""
    took_ms: list[float] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        return median(self.took_ms)

    @property
    def is_reached(self) -> bool:
        return self.median_ms <= MOST_MS


def measure(target: Crowded, rounds: int) -> list[Page]:
    """The first and the last page of each list, as an admin and as a plain member; what he may not list is left out.

    Each round asks for all of them, so that what else the machine does meets them all. One more round goes before,
    which does not count.
    """
    client = Client(target.url)
    paths = _paths(client, target)
    pages = [page for who in target.accounts for path in paths for page in _ends(client, target, who, path)]
    for _ in range(rounds):
        for page in pages:
            began = time.monotonic()
            client.ask("GET", _address(page.path, page.number), target.credentials(page.who), drop=True)
            page.took_ms.append(1e3 * (time.monotonic() - began))
    return pages


def missed(pages: Sequence[Page]) -> list[str]:
    """The pages that took too long, in words."""
    return [f"{page.path} page {page.number} as {page.who}" for page in pages if not page.is_reached]


def _paths(client: Client, target: Crowded) -> list[str]:
    """The lists, with the numbers of what they are lists of."""
    hook = _first_id(client, target, f"{_HOOKS}?q=name=ci-0")
    sent = _first_id(client, target, f"{_HOOKS}/{hook}/executions?page_size=1")
    return [path.format(project=target.project, hook=hook, sent=sent) for path in LISTS]


def _first_id(client: Client, target: Crowded, path: str) -> int:
    rows = json.loads(client.ask("GET", f"/api/v2.0{path}", target.credentials("admin")).body)
    return int(rows[0]["id"])


def _ends(client: Client, target: Crowded, who: str, path: str) -> Iterator[Page]:
    """A list's first and last page, each asked for once."""
    answer = client.send("GET", _address(path, 1), target.credentials(who))
    if answer.status == 403:
        return
    rows = len(json.loads(client.ask("GET", _address(path, 1), target.credentials(who)).body))
    for page in ends(who, path, rows, int(answer.headers["x-total-count"])):
        client.ask("GET", _address(path, page.number), target.credentials(who), drop=True)
        yield page


def ends(who: str, path: str, rows: int, total: int) -> list[Page]:
    """The pages of a list to measure, once one knows how many rows its first page gave.

    ValueError when the rows are not those that the total promises, or when the admin has none: that would be fast.
    """
    if rows != min(total, PAGE_SIZE):
        raise ValueError(f"{path} gave {rows} rows of {total}")
    if who == "admin" and not total:
        raise ValueError(f"{path} is empty for the admin, which measures nothing: let seed_demo make rows of it")
    return [Page(who, path, number, total) for number in sorted({1, max(1, -(-total // PAGE_SIZE))})]


def _address(path: str, number: int) -> str:
    return f"/api/v2.0{path}{'&' if '?' in path else '?'}page_size={PAGE_SIZE}&page={number}"
