"""The life of executions and their tasks, with one worker."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models.functions import Now

from core import errors, locks
from jobservice import bell, claims, queues, runner, service, sweep, turns
from jobservice.context import Context
from jobservice.models import Execution, PausedQueue, Task
from jobservice.status import Status, Trigger
from tests import plans
from tests.jobservice.jobs import Capped, Permanent, Work, log_of, tasks_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def idle() -> None:
    Work.deed = staticmethod(lambda ctx, params: None)


def submit(job: type[Work] = Work, **wanted: Any) -> Execution:
    return service.submit(job, trigger=Trigger.MANUAL, **wanted)


@pytest.fixture
def bells(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For which tasks bells are rung."""
    rung: list[int] = []
    monkeypatch.setattr(bell, "ring", lambda tasks, **_: rung.extend(id for id, _ in tasks))
    return rung


def run(*tasks: Task) -> None:
    for task in tasks:
        runner.run(task.id, worker="test/1")


def now(execution: Execution) -> Execution:
    return Execution.objects.get(id=execution.id)


def make_due() -> None:
    Task.objects.update(due=Now())


def test_what_is_submitted_is_done() -> None:
    seen: list[Any] = []
    Work.deed = staticmethod(lambda ctx, params: seen.append(params))
    execution = submit(params={"number": 7}, vendor_id=3, extra_attrs={"dry_run": True})
    (task,) = tasks_of(execution)
    assert (now(execution).status, task.status, task.queue) == ("Running", "Pending", "interactive")
    run(task)
    (task,) = tasks_of(execution)
    assert seen == [{"number": 7}]
    assert (now(execution).status, task.status, task.run_count) == ("Success", "Success", 1)
    assert None not in (task.start_time, task.end_time, now(execution).end_time)
    assert now(execution).extra_attrs == {"dry_run": True}


def test_nothing_is_submitted_when_the_change_is_not_true() -> None:
    with transaction.atomic():
        submit()
        transaction.set_rollback(True)
    assert not Execution.objects.exists()
    assert not Task.objects.exists()


def test_an_execution_without_tasks_is_done() -> None:
    assert now(submit(tasks=[])).status == "Success"


def test_a_task_runs_once_however_often_the_bell_rings() -> None:
    seen: list[int] = []
    Work.deed = staticmethod(lambda ctx, params: seen.append(1))
    (task,) = tasks_of(submit())
    run(task, task, task)
    assert seen == [1]


def test_a_failure_is_tried_again_and_the_log_says_so() -> None:
    def fail_once(ctx: Context, params: dict[str, Any]) -> None:
        ctx.log.info("looking at %s", "things")
        if ctx.attempt == 1:
            raise OSError("the store is away")

    Work.deed = staticmethod(fail_once)
    execution = submit()
    run(*tasks_of(execution))
    (task,) = tasks_of(execution)
    assert (task.status, task.status_message) == ("Pending", "OSError: the store is away")
    run(task)  # Not due yet.
    assert tasks_of(execution)[0].run_count == 1
    make_due()
    run(task)
    assert (now(execution).status, tasks_of(execution)[0].run_count) == ("Success", 2)
    lines = log_of(task).splitlines()
    assert [line.split("] ")[1] for line in lines] == [
        "looking at things",
        "Attempt 1 failed, the next one is in 5 s: OSError: the store is away",
        "looking at things",
    ]


def failing_with(error: Exception, cause: Exception | None = None) -> None:
    def fail(ctx: Context, params: dict[str, Any]) -> None:
        raise error from cause

    Work.deed = staticmethod(fail)
    run(*tasks_of(submit()))


def test_a_failure_that_has_a_name_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that is away for a day would otherwise fill the log with tracebacks that tell nothing."""
    failing_with(errors.Unavailable("nobody listens at https://example.com"), errors.Denied("no"))
    failing_with(errors.StoreUnavailable("it is away"), ConnectionError("Connection refused"))
    named, wrapped = [record.getMessage() for record in caplog.records if "task_failed" in record.getMessage()]
    assert "'error': 'nobody listens at https://example.com'" in named
    assert "'failures': 1" in named
    assert "'cause': 'ConnectionError: Connection refused'" in wrapped
    assert "cause" not in named
    assert "Traceback" not in caplog.text


def test_a_failure_that_nobody_expected_is_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    failing_with(ZeroDivisionError("a mistake of ours"))
    assert "task_failed" in caplog.text
    assert "Traceback" in caplog.text
    assert "in fail" in caplog.text


def test_what_fails_for_good_ends_the_execution_with_its_words() -> None:
    def fail(ctx: Context, params: dict[str, Any]) -> None:
        raise Permanent("no such policy")

    Work.deed = staticmethod(fail)
    execution = submit(tasks=[{}, {}])
    first, second = tasks_of(execution)
    run(first)
    assert now(execution).status == "Running"
    Work.deed = staticmethod(lambda ctx, params: None)
    run(second)
    assert (now(execution).status, now(execution).status_message) == ("Error", "Permanent: no such policy")


def test_a_task_of_a_kind_that_nobody_knows_ends() -> None:
    execution = submit()
    Task.objects.update(vendor_type="GONE")
    run(*tasks_of(execution))
    # Perhaps only this worker is not new enough.
    (task,) = tasks_of(execution)
    assert (task.status, task.status_message) == ("Pending", "nobody here knows how to do GONE")
    for _ in range(9):
        make_due()
        run(task)
    assert (now(execution).status, "nobody here knows" in now(execution).status_message) == ("Error", True)


def test_stopping_ends_what_waits_at_once_and_what_runs_at_its_next_step() -> None:
    steps: list[int] = []

    def work(ctx: Context, params: dict[str, Any]) -> None:
        for step in range(5):
            steps.append(step)
            if step == 1:
                service.stop(execution)
            ctx.write()
            ctx.checkpoint()

    Work.deed = staticmethod(work)
    execution = submit(tasks=[{}, {}])
    first, second = tasks_of(execution)
    run(first)
    assert steps == [0, 1]
    assert [task.status for task in tasks_of(execution)] == ["Stopped", "Stopped"]
    assert now(execution).status == "Stopped"
    run(second)
    assert steps == [0, 1]


def test_progress_and_facts_are_seen_while_it_runs_and_kept_afterwards() -> None:
    seen: list[Any] = []

    def work(ctx: Context, params: dict[str, Any]) -> None:
        ctx.progress(3, 10)
        ctx.tell(freed_space=17)
        ctx.write()
        seen.append(Task.objects.values_list("done", "total", "extra_attrs").get(id=ctx.task_id))
        ctx.progress(10, 10)
        ctx.tell(purged_blobs=2)

    Work.deed = staticmethod(work)
    execution = submit(extra_attrs={"workers": 1})
    run(*tasks_of(execution))
    (task,) = tasks_of(execution)
    assert seen == [(3, 10, {"freed_space": 17})]
    assert (task.done, task.total, task.extra_attrs) == (10, 10, {"freed_space": 17, "purged_blobs": 2})
    assert now(execution).extra_attrs == {"workers": 1, "freed_space": 17, "purged_blobs": 2}


@pytest.mark.parametrize("end", ["it succeeds", "it fails for good", "it is stopped", "its workers die"])
def test_what_an_attempt_told_is_known_of_its_execution_however_that_ends(end: str) -> None:
    def work(ctx: Context, params: dict[str, Any]) -> None:
        if ctx.attempt == 1:
            ctx.tell(freed_space=17, links=1)
            raise OSError("the store is away")
        if end == "it fails for good":
            raise Permanent("no")
        ctx.tell(links=2)

    Work.deed = staticmethod(work)
    execution = submit(extra_attrs={"workers": 1})
    run(*tasks_of(execution))
    make_due()
    if end == "it is stopped":
        service.stop(execution)
    elif end == "its workers die":
        for _ in range(10):
            lose(*tasks_of(execution))
            sweep.end_lost()
    else:
        run(*tasks_of(execution))
    expected = 2 if end == "it succeeds" else 1
    assert now(execution).end_time is not None
    assert now(execution).extra_attrs == {"workers": 1, "freed_space": 17, "links": expected}


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


# --- going on with a series ------------------------------------------------------------------------------------
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


def test_what_fails_after_it_was_asked_to_stop_is_stopped() -> None:
    def fail(ctx: Context, params: dict[str, Any]) -> None:
        service.stop(execution)
        raise OSError("away")

    Work.deed = staticmethod(fail)
    execution = submit()
    run(*tasks_of(execution))
    assert now(execution).status == "Stopped"


def test_what_nobody_can_store_fails_in_words_and_leaves_nothing_running() -> None:
    def work(ctx: Context, params: dict[str, Any]) -> None:
        ctx.log.info("looking at a\udcff and \0")
        ctx.tell(name="a\udcff\0")
        ctx.checkpoint({"at": "a\udcff\0"})
        raise Permanent("cannot read a\udcff\0")

    Work.deed = staticmethod(work)
    execution = submit()
    run(*tasks_of(execution))
    assert (now(execution).status, now(execution).status_message) == ("Error", "Permanent: cannot read a?�")
    (task,) = tasks_of(execution)
    assert (task.extra_attrs, task.state) == ({"name": "a?�"}, {"at": "a?�"})
    assert "looking at a? and �" in log_of(task)


@pytest.mark.parametrize("fact", [object(), float("nan"), datetime.max])
def test_what_is_no_json_fails_where_it_is_said(fact: object) -> None:
    Work.deed = staticmethod(lambda ctx, params: ctx.tell(fact=fact))
    execution = submit()
    run(*tasks_of(execution))
    (task,) = tasks_of(execution)
    assert (task.status, task.failures) == ("Pending", 1)


def test_the_heart_beats_on_whatever_it_meets(monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[int] = []

    def hold(task: Task, **news: Any) -> bool:
        beats.append(1)
        if len(beats) < 3:
            raise [OperationalError, ValueError][len(beats) - 1]("not now")
        enough.set()
        return False

    enough = threading.Event()
    monkeypatch.setattr("jobservice.context.HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(claims, "hold", hold)
    with Context(Task(id=1, run_count=1), longest_seconds=60):
        assert enough.wait(30)


@pytest.mark.django_db(transaction=True)
def test_a_step_inside_a_transaction_is_refused() -> None:
    """The task's row would be locked until that ends: nobody could stop the task, and nobody sweep."""

    def work(ctx: Context, params: dict[str, Any]) -> None:
        with transaction.atomic():
            ctx.checkpoint()

    Work.deed = staticmethod(work)
    execution = submit()
    run(*tasks_of(execution))
    assert "durable" in tasks_of(execution)[0].status_message


def test_a_worker_that_ends_passes_its_task_on(monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[Any] = []

    def work(ctx: Context, params: dict[str, Any]) -> None:
        states.append(ctx.state)
        ctx.checkpoint({"at": 5})

    Work.deed = staticmethod(work)
    monkeypatch.setattr(bell, "send_now", bells_now := MagicMock())
    execution = submit()
    monkeypatch.setattr("jobservice.workers.is_ending", lambda: True)
    run(*tasks_of(execution))
    (task,) = tasks_of(execution)
    assert (task.status, task.failures, task.deaths) == ("Pending", 0, 0)
    assert [call.args[0].arguments for call in bells_now.call_args_list] == [(task.id,)]
    monkeypatch.setattr("jobservice.workers.is_ending", lambda: False)
    run(task)
    assert states == [{}, {"at": 5}]
    assert now(execution).status == "Success"


def test_a_paused_queue_waits() -> None:
    (task,) = tasks_of(submit())
    PausedQueue.objects.create(job_type="TEST_WORK")
    assert claims.claim(task.id, worker="test/1") is None
    PausedQueue.objects.all().delete()
    assert claims.claim(task.id, worker="test/1") is not None


def lose(task: Task) -> Task:
    """Let a worker take the task and die."""
    held = claims.claim(task.id, worker="dead/1")
    assert held is not None
    Task.objects.filter(id=task.id).update(lease=Now() - timedelta(seconds=1))
    return held


def test_what_lost_its_worker_is_begun_again_from_its_last_step() -> None:
    states: list[Any] = []

    def work(ctx: Context, params: dict[str, Any]) -> None:
        states.append(ctx.state)

    Work.deed = staticmethod(work)
    execution = submit()
    held = lose(*tasks_of(execution))
    assert claims.hold(held, state={"at": 5}) is False
    Task.objects.update(lease=Now() - timedelta(seconds=1))
    assert sweep.end_lost() == 1
    run(*tasks_of(execution))
    assert states == [{"at": 5}]
    assert now(execution).status == "Success"


def test_who_lost_his_lease_can_say_nothing_more_about_the_task() -> None:
    execution = submit()
    dead = lose(*tasks_of(execution))
    sweep.end_lost()
    again = claims.claim(dead.id, worker="test/2")
    assert again is not None
    assert claims.hold(dead) is None
    assert not claims.finish(dead, status=Status.ERROR, message="too late")
    assert not claims.give_back(dead, after=timedelta(), message="too late")
    assert claims.finish(again, status=Status.SUCCESS)
    assert (now(execution).status, now(execution).status_message) == ("Success", "")


def test_who_read_a_task_before_another_attempt_does_not_begin_it_with_what_he_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (task,) = tasks_of(submit(series="one"))

    def another_attempt(name: str) -> None:
        monkeypatch.undo()
        other = claims.claim(task.id, worker="quick/1")
        assert other is not None
        assert claims.give_back(other, after=timedelta(), message="its worker ends", state={"at": 5})

    monkeypatch.setattr(locks, "wait_in_transaction", another_attempt)
    assert claims.claim(task.id, worker="slow/1") is None
    again = claims.claim(task.id, worker="next/1")
    assert again is not None
    assert (again.state, again.run_count) == ({"at": 5}, 2)


def test_what_kills_its_workers_ends() -> None:
    execution = submit()
    for _ in range(10):
        lose(*tasks_of(execution))
        sweep.end_lost()
    assert (now(execution).status, now(execution).status_message) == ("Error", "its workers died 10 times")


def test_what_was_to_stop_and_lost_its_worker_is_stopped() -> None:
    execution = submit()
    lose(*tasks_of(execution))
    service.stop(execution)
    sweep.end_lost()
    assert now(execution).status == "Stopped"


def test_workers_that_died_are_no_failures() -> None:
    execution = submit()
    for _ in range(2):
        lose(*tasks_of(execution))
        sweep.end_lost()

    def fail(ctx: Context, params: dict[str, Any]) -> None:
        raise OSError("away")

    Work.deed = staticmethod(fail)
    run(*tasks_of(execution))
    (task,) = tasks_of(execution)
    assert (task.status, task.run_count, task.failures, task.deaths) == ("Pending", 3, 1, 2)
    make_due()
    run(task)
    # Who died could not say so in the log, and the one that failed has.
    assert [line.split("] ")[1] for line in log_of(task).splitlines()] == [
        "Attempt 3 goes on: of the one before, its worker died",
        "Attempt 3 failed, the next one is in 5 s: OSError: away",
        "Attempt 4 failed, the next one is in 10 s: OSError: away",
    ]


def test_a_worker_that_was_only_slow_keeps_its_task() -> None:
    """Between the look and the verdict its lease was prolonged."""
    held = lose(*tasks_of(submit()))
    claims.hold(held)
    assert not sweep._end_lost(held.id)
    assert claims.hold(held) is False


@pytest.mark.django_db(transaction=True)
def test_the_sweep_waits_for_nobody_who_holds_a_task() -> None:
    held = lose(*tasks_of(submit()))
    other = connection.copy()
    try:
        other.set_autocommit(False)
        other.cursor().execute("SELECT 1 FROM job_task WHERE id = %s FOR UPDATE", [held.id])
        assert sweep.end_lost() == 0
        # PostgreSQL notices a connection that is closed later than we do.
        other.rollback()
    finally:
        other.close()
    assert sweep.end_lost() == 1


def test_work_that_takes_too_long_ends() -> None:
    def forever(ctx: Context, params: dict[str, Any]) -> None:
        while True:
            ctx.checkpoint()

    (task,) = tasks_of(submit())
    held = claims.claim(task.id, worker="test/1")
    assert held is not None
    Work.deed = staticmethod(forever)
    longest, Work.longest = Work.longest, timedelta(seconds=0.05)
    try:
        runner.run_claimed(held)
    finally:
        Work.longest = longest
    assert Task.objects.get(id=task.id).status == "Error"


def test_the_log_has_an_end_but_warnings_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobservice.context.LOG_MOST_BYTES", 300)

    def talk(ctx: Context, params: dict[str, Any]) -> None:
        for number in range(20):
            ctx.log.info("line %d", number)
        ctx.log.warning("look at \0 this")

    Work.deed = staticmethod(talk)
    (task,) = tasks_of(submit())
    run(task)
    log = log_of(task)
    assert [words in log for words in ("line 5", "line 19", "has warnings only", "look at � this")] == [
        True, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(("age", "expected"), [(50, []), (70, [0])])
def test_bells_that_nobody_heard_are_rung_again(age: int, expected: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[int] = []
    task, later = tasks_of(submit(tasks=[{}, {}], series="one"))
    monkeypatch.setattr("jobservice.bell.ring", lambda tasks: rung.extend(id for id, _ in tasks))
    monkeypatch.setattr(sweep, "_queues_with_bells", lambda: ["bulk"])
    Task.objects.update(due=Now() - timedelta(hours=1), rung=Now() - timedelta(seconds=age))
    sweep.ring_again()
    assert rung == [[task, later][place].id for place in expected]
    sweep.ring_again()
    assert len(rung) == len(expected)


def test_bells_that_wait_in_a_queue_are_not_rung_again_for_ten_minutes(
    bells: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (task,) = tasks_of(submit())
    monkeypatch.setattr(sweep, "_queues_with_bells", lambda: ["interactive"])
    for minutes, expected in ((9, []), (11, [task.id])):
        Task.objects.update(due=Now() - timedelta(hours=1), rung=Now() - timedelta(minutes=minutes))
        sweep.ring_again()
        assert bells == expected


def test_what_is_tried_again_is_rung_for_when_it_is_due(bells: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(ctx: Context, params: dict[str, Any]) -> None:
        raise OSError("away")

    Work.deed = staticmethod(fail)
    (task,) = tasks_of(submit())
    run(task)
    assert bells == [task.id]  # In five seconds.
    sweep.ring_again()
    assert bells == [task.id]
    Task.objects.update(rung=Now() - timedelta(seconds=2), due=Now() - timedelta(seconds=1))
    sweep.ring_again()
    assert bells == [task.id, task.id]


def test_those_that_may_not_begin_hide_nobody_from_the_sweep(bells: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "MOST_AT_ONCE", 5)
    monkeypatch.setattr(sweep, "_queues_with_bells", lambda: [])
    crowd, (lone,) = tasks_of(submit(Capped, tasks=[{}] * 10)), tasks_of(submit())
    assert claims.claim(crowd[0].id, worker="test/1")
    Task.objects.update(due=Now() - timedelta(hours=1), rung=Now() - timedelta(hours=1))
    sweep.ring_again()
    assert sorted(bells) == [crowd[1].id, lone.id]
