"""Whose turn it is: in a series one after the other, of a kind as many as may, and who is told by a bell."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from deploy import job_caps
from jobservice import claims, queues, runner, service, sweep, turns
from jobservice.context import Context
from jobservice.job import JOBS
from jobservice.models import PausedQueue, Task
from jobservice.status import Status, Trigger
from tests import plans
from tests.jobservice.jobs import Capped, Permanent, Work, make_due, now, run, submit, tasks_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("idle")]


def test_a_series_runs_in_order_and_a_retry_keeps_its_place() -> None:
    seen: list[int] = []

    def work(ctx: Context, params: dict[str, Any]) -> None:
        seen.append(params["number"])
        if params["number"] == 1 and ctx.attempt == 1:
            raise OSError("away")

    Work.deed = staticmethod(work)
    first, second = submit(params={"number": 1}, series="receiver"), submit(params={"number": 2}, series="receiver")
    run(*tasks_of(second))
    assert seen == []
    run(*tasks_of(first))
    assert seen == [1]
    make_due()
    run(*tasks_of(first))
    assert seen == [1, 1, 2]


def test_who_ends_a_task_goes_on_with_its_series_and_rings_for_nobody(bells: list[int]) -> None:
    seen: list[Any] = []
    Work.deed = staticmethod(lambda ctx, params: seen.append((ctx.task.worker, ctx.task.status, ctx.attempt, params)))
    made = [submit(params={"number": number}, series="one") for number in range(3)]
    run(*tasks_of(made[0]))
    assert seen == [("test/1", "Running", 1, {"number": number}) for number in range(3)]
    assert [now(execution).status for execution in made] == ["Success"] * 3
    assert bells == []


def test_at_no_moment_two_of_a_series_run_and_at_none_nobody_does() -> None:
    """So nobody else can begin one, whatever bells he hears."""
    running: list[Any] = []
    made = [submit(series="one") for _ in range(3)]

    def work(ctx: Context, params: dict[str, Any]) -> None:
        running.append(list(Task.objects.running().values_list("id", flat=True)))
        for execution in made:
            assert claims.claim(tasks_of(execution)[0].id, worker="other/1") is None

    Work.deed = staticmethod(work)
    run(*tasks_of(made[0]))
    assert running == [[task.id] for execution in made for task in tasks_of(execution)]
    assert [now(execution).status for execution in made] == ["Success"] * 3


def test_a_series_goes_on_after_what_failed_for_good_or_was_stopped() -> None:
    seen: list[int] = []

    def work(ctx: Context, params: dict[str, Any]) -> None:
        seen.append(params["number"])
        if params["number"] == 0:
            raise Permanent("no")
        if params["number"] == 1:
            service.stop(made[1])
            ctx.write()
            ctx.checkpoint()

    Work.deed = staticmethod(work)
    made = [submit(params={"number": number}, series="one") for number in range(3)]
    run(*tasks_of(made[0]))
    assert seen == [0, 1, 2]
    assert [now(execution).status for execution in made] == ["Error", "Stopped", "Success"]


@pytest.mark.parametrize("reason", ["its time is over", "its worker ends"])
def test_a_series_is_left_to_others(reason: str, bells: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    if reason == "its time is over":
        monkeypatch.setattr(runner, "TURN_SECONDS", 0.0)
    else:
        monkeypatch.setattr("jobservice.workers.is_ending", lambda: True)
    first, second, third = (tasks_of(submit(series="one"))[0] for _ in range(3))
    run(first)
    assert [task.status for task in Task.objects.order_by("id")] == ["Success", "Pending", "Pending"]
    assert bells == [second.id]
    run(second)
    assert bells == [second.id, third.id]


@pytest.mark.parametrize(
    ("change", "rung"),
    [
        ({"vendor_type": Capped.vendor_type}, True),
        ({"queue": "bulk"}, True),
        ({"due": Now() + timedelta(hours=1)}, False),
        ({"status": Status.RUNNING}, False),
    ],
)
def test_what_another_worker_or_nobody_should_begin_is_not_gone_on_with_nor_overtaken(
    change: dict[str, Any], rung: bool, bells: list[int]
) -> None:
    first, second, third = (tasks_of(submit(series="one"))[0] for _ in range(3))

    def work(ctx: Context, params: dict[str, Any]) -> None:
        Task.objects.filter(id=second.id).update(**change)

    Work.deed = staticmethod(work)
    run(first)
    assert [Task.objects.get(id=task.id).run_count for task in (first, second, third)] == [1, 0, 0]
    assert bells == [second.id] * rung


def test_a_series_does_not_go_on_while_its_queue_is_paused(bells: list[int]) -> None:
    Work.deed = staticmethod(lambda ctx, params: queues.pause("TEST_WORK", actor="root"))
    first, second = (tasks_of(submit(series="one"))[0] for _ in range(2))
    run(first)
    assert (Task.objects.get(id=second.id).status, bells) == ("Pending", [])


def test_a_series_of_a_kind_of_which_some_may_run_takes_no_room_from_another(bells: list[int]) -> None:
    others = tasks_of(submit(Capped, tasks=[{}] * 3))
    held = claims.claim(others[0].id, worker="other/1")
    assert held is not None
    seen: list[int] = []
    Work.deed = staticmethod(lambda ctx, params: seen.append(Task.objects.running().count()))
    series = [tasks_of(submit(Capped, series="one"))[0] for _ in range(3)]
    run(series[0])
    assert seen == [2, 2, 2]
    # Now that it is at its end, another one may.
    assert bells == [others[1].id]


def test_who_lost_his_task_does_not_go_on_with_its_series(bells: list[int]) -> None:
    """He holds nothing that keeps others from it: it is for who hears the bell."""
    first, second = (tasks_of(submit(series="one"))[0] for _ in range(2))

    def lose_it(ctx: Context, params: dict[str, Any]) -> None:
        Task.objects.filter(id=first.id).update(lease=Now() - timedelta(seconds=1))
        sweep.end_lost()
        again = claims.claim(first.id, worker="other/1")
        assert again is not None
        assert claims.finish(again, status=Status.SUCCESS)

    Work.deed = staticmethod(lose_it)
    run(first)
    assert Task.objects.get(id=second.id).run_count == 0
    assert bells[-1] == second.id


@pytest.mark.django_db(transaction=True)
def test_who_goes_on_waits_for_nobody_and_overtakes_nobody(bells: list[int]) -> None:
    """Somebody is at the row of the next one: it waits for its bell, and so does the one behind it."""
    first, second, third = (tasks_of(submit(series="one"))[0] for _ in range(3))
    other = connection.copy()
    try:
        other.set_autocommit(False)
        other.cursor().execute("SELECT 1 FROM job_task WHERE id = %s FOR UPDATE", [second.id])
        run(first)
        other.rollback()
    finally:
        other.close()
    assert [Task.objects.get(id=task.id).status for task in (first, second, third)] == ["Success", "Pending", "Pending"]
    assert bells[-1] == second.id
    run(second)
    assert Task.objects.get(id=third.id).status == "Success"


def test_what_a_task_of_a_series_costs_is_counted() -> None:
    """One transaction, which is a savepoint here: its end, its execution's row, tasks and end, the next one's begin."""
    costs = []
    for number in (1, 11):
        made = [submit(series=f"of {number}", params={"number": each}) for each in range(number)]
        with plans.statements() as asked:
            run(*tasks_of(made[0]))
        costs.append(len(asked))
        assert {now(execution).status for execution in made} == {"Success"}
    assert costs[1] - costs[0] == 10 * (2 + 5)


def test_no_more_of_a_kind_run_than_may() -> None:
    tasks = tasks_of(submit(Capped, tasks=[{}, {}, {}]))
    held = [claims.claim(task.id, worker="test/1") for task in tasks]
    assert [task is not None for task in held] == [True, True, False]
    assert held[0] is not None
    claims.finish(held[0], status=Status.SUCCESS)
    assert turns.after(held[0]) == [(tasks[2].id, "bulk")]
    assert claims.claim(tasks[2].id, worker="test/1") is not None


@pytest.mark.parametrize(
    ("job", "wanted", "expected"),
    [(Work, {}, None), (Work, {"TEST_WORK": 2}, 2), (Capped, {}, 2), (Capped, {"TEST_CAPPED": 1}, 1),
     (Capped, {"TEST_WORK": 1}, 2), (Capped, {"TEST_CAPPED": 3}, 2)],
)  # fmt: skip
def test_as_many_run_as_the_operator_wants_but_never_more_than_may(
    job: type[Work], wanted: dict[str, int], expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "JOB_CAPS", wanted)
    assert turns.most_of(job.vendor_type) == expected


def test_a_kind_without_a_cap_of_its_own_has_the_operators(
    bells: list[int], monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    monkeypatch.setattr(settings, "JOB_CAPS", {"TEST_WORK": 2})
    with django_capture_on_commit_callbacks(execute=True):
        tasks = tasks_of(submit(tasks=[{}] * 4))
    assert bells == [task.id for task in tasks[:2]]
    held = [claims.claim(task.id, worker="test/1") for task in tasks]
    assert [task is not None for task in held] == [True, True, False, False]
    assert held[0] is not None
    claims.finish(held[0], status=Status.SUCCESS)
    assert turns.after(held[0]) == [(tasks[2].id, "interactive")]


def test_make_up_knows_every_kind_of_job_and_how_many_may_run() -> None:
    jobs = {kind: job.most_at_once for kind, job in JOBS.items() if not kind.startswith("TEST_")}
    assert jobs == job_caps.MOST
    table = (settings.BASE_DIR / "docs" / "jobs.md").read_text().split("## How many at once")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)) == set(jobs)


def test_when_two_end_at_once_two_follow() -> None:
    tasks = tasks_of(submit(Capped, tasks=[{}] * 5))
    first, second = (claims.claim(task.id, worker="test/1") for task in tasks[:2])
    assert first
    assert second
    claims.finish(first, status=Status.SUCCESS)
    claims.finish(second, status=Status.SUCCESS)
    assert [id for id, _ in turns.after(second)] == [tasks[2].id, tasks[3].id]


def test_who_waits_for_his_series_takes_nobody_elses_turn() -> None:
    one, two, three = (tasks_of(submit(Capped, series=series))[0] for series in ("x", "x", "y"))
    held = claims.claim(one.id, worker="test/1")
    assert held
    assert turns.of_type("TEST_CAPPED") == [(three.id, "bulk")]
    claims.finish(held, status=Status.SUCCESS)
    assert turns.after(held) == [(two.id, "bulk"), (three.id, "bulk")]


def test_of_many_that_are_submitted_together_those_hear_a_bell_that_may_begin(
    bells: list[int], django_capture_on_commit_callbacks: Any
) -> None:
    def order(job: type[Work], series: str = "", count: int = 1) -> service.Order:
        return service.Order(job=job, trigger=Trigger.EVENT, tasks=[{}] * count, series=series)

    orders = [order(Work, "x"), order(Capped, "y", 2), order(Work, "x"), order(Work, "", 2), order(Capped, "", 2)]
    with django_capture_on_commit_callbacks(execute=True):
        made = [tasks_of(execution) for execution in service.submit_all(orders)]
    assert bells == [made[0][0].id, made[1][0].id, made[3][0].id, made[3][1].id, made[4][0].id]
    assert [[task.series for task in tasks] for tasks in made] == [["x"], ["y", "y"], ["x"], ["", ""], ["", ""]]


def test_a_bell_is_rung_for_as_many_as_may_run(bells: list[int], django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        execution = submit(Capped, tasks=[{}] * 5)
    assert bells == [task.id for task in tasks_of(execution)[:2]]


def test_who_stood_behind_one_that_is_stopped_is_rung_for(
    bells: list[int], django_capture_on_commit_callbacks: Any
) -> None:
    first, second = submit(series="one"), submit(series="one")
    with django_capture_on_commit_callbacks(execute=True):
        service.stop(first)
    assert bells == [task.id for task in tasks_of(second)]


def test_a_queue_that_is_resumed_is_rung_for(bells: list[int], django_capture_on_commit_callbacks: Any) -> None:
    queues.pause("TEST_WORK", actor="root")
    execution = submit(tasks=[{}, {}])
    assert turns.of_type("TEST_WORK") == []
    with django_capture_on_commit_callbacks(execute=True):
        queues.resume("TEST_WORK", actor="root")
    assert bells == [task.id for task in tasks_of(execution)]


def test_a_paused_queue_waits() -> None:
    (task,) = tasks_of(submit())
    PausedQueue.objects.create(job_type="TEST_WORK")
    assert claims.claim(task.id, worker="test/1") is None
    PausedQueue.objects.all().delete()
    assert claims.claim(task.id, worker="test/1") is not None
