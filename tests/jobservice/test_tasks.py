"""The life of executions and their tasks, with one worker."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.db import OperationalError, transaction

from core import errors
from jobservice import bell, claims, runner, service, sweep
from jobservice.context import Context
from jobservice.models import Execution, Task
from tests.jobservice.jobs import Permanent, Work, log_of, lose, make_due, now, run, submit, tasks_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("idle")]


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
