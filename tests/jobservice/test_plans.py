"""What the statements about tasks look at when there are many of them: those that wait, and those that are over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from jobservice import bell, claims, runner, sweep, turns, workers
from jobservice.context import Context
from jobservice.models import Execution, Task
from jobservice.status import Status, Trigger
from tests.jobservice.jobs import Work
from tests.plans import nodes, rows_of, statements

pytestmark = pytest.mark.django_db
MANY, FEW = 5_000, 20

CROWD = """
INSERT INTO job_task (execution_id, vendor_type, job_id, queue, status, series, rung, due)
SELECT %s, 'TEST_WORK', gen_random_uuid(), 'bulk', %s, %s, now() - interval '1 hour', now() - interval '1 hour'
FROM generate_series(1, %s)
"""


@pytest.fixture(autouse=True)
def crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """An execution of many tasks, half of them over, and one of as many in a series."""
    monkeypatch.setattr(bell, "send", lambda _: None)
    monkeypatch.setattr(Work, "deed", staticmethod(lambda ctx, params: None))
    with connection.cursor() as cursor:
        for series in ("", "long"):
            execution = Execution.objects.create(vendor_type=Work.vendor_type, trigger=Trigger.MANUAL)
            for status in (Status.SUCCESS, Status.PENDING):
                cursor.execute(CROWD, [execution.id, status.value, series, MANY])
        cursor.execute("ANALYZE job_task")


def first_of(series: str) -> Task:
    return Task.objects.pending().filter(series=series).order_by("id")[0]


def most_rows(do: Callable[[], object]) -> int:
    """The most rows that a part of any SELECT that it asks, or of any prepared statement, looks at.

    Not counted is what a bitmap takes from an index: some hundred entries a page, and dead ones among them.
    """
    with statements() as asked:
        do()
    with transaction.atomic():
        plans = [list(nodes(sql, *arguments)) for sql, arguments in asked if sql.startswith(("SELECT", "EXECUTE"))]
        transaction.set_rollback(True)
    return max(rows_of(node) for plan in plans for node in plan if node["Node Type"] != "Bitmap Index Scan")


@pytest.mark.parametrize("series", ["", "long"])
def test_one_of_many_is_claimed_and_ended_like_one_of_few(series: str) -> None:
    task = first_of(series)
    assert most_rows(lambda: runner.run_claimed(claims.claim(task.id, worker="test/1") or task)) <= FEW
    assert Task.objects.get(id=task.id).status == "Success"


def test_a_long_series_goes_on_at_the_cost_of_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    def three(ctx: Context, params: dict[str, Any]) -> None:
        done.append(ctx.task_id)
        if len(done) == 3:
            monkeypatch.setattr(workers, "is_ending", lambda: True)

    monkeypatch.setattr(Work, "deed", staticmethod(three))
    first = first_of("long")
    assert most_rows(lambda: runner.run(first.id, worker="test/1")) <= FEW
    assert done == [first.id, first.id + 1, first.id + 2]


def test_who_follows_in_a_long_series_is_found_at_once() -> None:
    task = first_of("long")
    assert most_rows(lambda: turns.after(task)) <= FEW
    assert turns.after(task) == [(task.id, "bulk")]


def test_who_follows_of_a_kind_is_found_without_a_question_to_each_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "JOB_CAPS", {Work.vendor_type: 3})
    held = claims.claim(first_of("long").id, worker="test/1")
    assert held is not None
    without = Task.objects.pending().filter(series="").order_by("id").values_list("id", "queue")
    expected = list(without[:2])
    with statements() as asked:
        assert turns.of_type(Work.vendor_type) == expected
    looks = [
        node["Actual Loops"]
        for sql, arguments in asked
        for node in nodes(sql, *arguments)
        if "Scan" in node["Node Type"]
    ]
    assert max(looks) <= FEW


def test_the_sweep_looks_once_at_each_that_waits() -> None:
    assert most_rows(lambda: (sweep.end_lost(), sweep.ring_again())) <= 2 * MANY
    assert not Task.objects.pending().filter(series="", rung__lt=Now() - timedelta(minutes=1)).exists()
