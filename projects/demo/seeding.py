"""The steps that make a demo, each in one transaction that also says that it was done."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial

from django.db import connection, transaction

from core import errors, locks
from core.models import Setting
from projects.demo import history, images, log, people, rules
from projects.demo.size import SIZES, Size
from projects.models import Project
from rbac.models import User

_KEY = "demo"
# That are made in one transaction.
_DELIVERIES = 5000


@dataclass(frozen=True)
class Progress:
    """A step that was done."""

    number: int
    total: int
    what: str


def seed(name: str) -> Generator[Progress, None, None]:
    """Make what is not there yet of the demo of this size; nothing when all of it is there.

    Precondition on a platform that holds anything else, or a demo of another size; Conflict while another makes it.
    """
    with locks.sole("seed_demo") as is_alone:
        if not is_alone:
            raise errors.Conflict("another seed_demo is at work here; wait until it is done")
        yield from _seed(name)


def check_content() -> None:
    """Precondition when this database holds images of a demo that no store has."""
    row = Setting.objects.filter(pk=_KEY).first()
    if row is not None and not SIZES[row.value["size"]].is_stored:
        raise errors.Precondition(
            f"this platform holds the {row.value['size']} demo of seed_demo, whose images are rows without content: "
            "no store has what they need"
        )


def _seed(name: str) -> Iterator[Progress]:
    size = SIZES[name]
    steps = list(_steps(size))
    done = _begin(name)
    for number, (what, step) in enumerate(steps[done:], start=done + 1):
        with transaction.atomic():
            step()
            Setting.objects.filter(pk=_KEY).update(value={"size": name, "steps": number})
        yield Progress(number, len(steps), what)


def _begin(name: str) -> int:
    """How many steps are done already."""
    with transaction.atomic():
        row = Setting.objects.filter(pk=_KEY).first()
        if row is None:
            _check_empty()
            Setting.objects.create(key=_KEY, value={"size": name, "steps": 0})
            return 0
    if row.value["size"] != name:
        raise errors.Precondition(f"this platform holds the {row.value['size']} demo; another needs a new platform")
    return int(row.value["steps"])


def _check_empty() -> None:
    """Nothing that somebody made here may get mixed up with the demo's rows."""
    if project := Project.objects.order_by("pk").first():
        raise errors.Precondition(f"this platform is in use: it has the project {project.name}. A demo needs a new one")
    if user := User.objects.filter(is_sysadmin=False).order_by("pk").first():
        raise errors.Precondition(f"this platform is in use: it has the user {user.username}. A demo needs a new one")


def _steps(size: Size) -> Iterator[tuple[str, Callable[[], None]]]:
    yield f"{size.users} users, {size.groups} groups", partial(people.make_people, size)
    yield f"{size.projects} projects", partial(people.make_projects, size)
    for first in range(0, size.repositories, size.batch):
        numbers = range(first, min(first + size.batch, size.repositories))
        yield f"{numbers.stop} of {size.repositories} repositories", partial(images.make_repositories, size, numbers)
    for month in log.months():
        yield f"audit log of {month:%Y-%m}", partial(log.make_month, size, month)
    yield "statistics for the planner", _analyze
    yield "quotas", images.recount
    # At the end: what an older program has made gets them too.
    yield "immutable tag rules, webhook policies", partial(rules.make_rules, size)
    yield "months of history", history.make_months
    for first in range(0, size.deliveries, _DELIVERIES):
        numbers = range(first, min(first + _DELIVERIES, size.deliveries))
        yield f"{numbers.stop} of {size.deliveries} deliveries", partial(history.make_deliveries, size, numbers)
    yield f"{size.runs} garbage collections and purges", partial(history.make_runs, size)
    yield "statistics of these", _analyze


def _analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
