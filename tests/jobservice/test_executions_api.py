"""Executions of policies and their tasks over the API: what every room that runs by policies builds on."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate

from core import errors
from jobservice import service
from jobservice.api import executions
from jobservice.models import Execution, Task, TaskLog
from jobservice.status import Status, Trigger
from rbac.models import User
from tests import plans, rows
from tests.contracts import contract
from tests.jobservice.jobs import Capped, Work, tasks_of

pytestmark = pytest.mark.django_db
POLICY, OTHER = 7, 8
DEFINITIONS = contract.definitions({})


class OfWork:
    resource = "replication"

    def executions(self: Any) -> QuerySet[Execution]:
        if self.kwargs["policy_id"] not in (POLICY, OTHER):
            raise errors.NotFound("policy not found")
        return Execution.objects.filter(vendor_type=Work.vendor_type, vendor_id=self.kwargs["policy_id"])


class Executions(OfWork, executions.PolicyExecutions):
    pass


class Tasks(OfWork, executions.PolicyTasks):
    pass


@pytest.fixture
def root() -> User:
    return rows.make_user("root", is_sysadmin=True)


def ask(who: User | None, view: Any, action: str, query: str = "", **named: Any) -> Any:
    """A GET, answered by the view's action."""
    request = APIRequestFactory().get(f"/api/v2.0/x{query}")
    if who is not None:
        force_authenticate(request, who)
    answer = view.as_view({"get": action})(request, **{"policy_id": POLICY, **named})
    return answer.render() if isinstance(answer, Response) else answer


def submit(job: Any = Work, policy: int = POLICY, tasks: int = 1, **more: Any) -> Execution:
    return service.submit(job, trigger=Trigger.EVENT, vendor_id=policy, tasks=[{}] * tasks, **more)


def stand(task: Task, status: Status) -> None:
    Task.objects.filter(id=task.id).update(status=status, run_count=1, start_time=Now(), end_time=Now())


def test_an_execution_is_told_as_harbor_does_with_how_its_tasks_stand(root: User) -> None:
    execution = submit(tasks=5, extra_attrs={"event_type": "PUSH_ARTIFACT"})
    first, second, third, fourth, _ = tasks_of(execution)
    for task, status in ((first, Status.SUCCESS), (second, Status.SUCCESS), (third, Status.ERROR)):
        stand(task, status)
    stand(fourth, Status.RUNNING)
    (listed,) = ask(root, Executions, "list").data
    read = ask(root, Executions, "retrieve", execution_id=execution.id).data
    assert listed == read
    assert contract.mistakes({"$ref": "#/definitions/Execution"}, read, DEFINITIONS) == []
    assert read["metrics"] == {
        "task_count": 5, "success_task_count": 2, "error_task_count": 1, "running_task_count": 1,
        "pending_task_count": 1,
    }  # fmt: skip
    assert (read["status"], read["trigger"], read["vendor_id"]) == ("Running", "EVENT", POLICY)
    assert (read["extra_attrs"], read["end_time"]) == ({"event_type": "PUSH_ARTIFACT"}, "0001-01-01T00:00:00.000Z")


def test_a_task_is_told_as_harbor_does(root: User) -> None:
    execution = submit(tasks=2)
    first, second = tasks_of(execution)
    stand(first, Status.ERROR)
    Task.objects.filter(id=first.id).update(status_message="the receiver answers 500", extra_attrs={"operator": "bob"})
    later, earlier = ask(root, Tasks, "list", execution_id=execution.id).data
    assert [later["id"], earlier["id"]] == [second.id, first.id]
    for told in (later, earlier):
        assert contract.mistakes({"$ref": "#/definitions/Task"}, told, DEFINITIONS) == []
    assert (earlier["status"], earlier["status_message"], earlier["run_count"], earlier["extra_attrs"]) == (
        "Error", "the receiver answers 500", 1, {"operator": "bob"},
    )  # fmt: skip
    assert "run_count" not in later


def test_lists_are_filtered_sorted_and_paged(root: User) -> None:
    ids = [submit().id for _ in range(3)]
    Execution.objects.filter(id=ids[1]).update(status=Status.ERROR)
    answer = ask(root, Executions, "list", "?page_size=2")
    assert ([row["id"] for row in answer.data], answer["X-Total-Count"]) == ([ids[2], ids[1]], "3")
    assert [row["id"] for row in ask(root, Executions, "list", "?q=status=Error").data] == [ids[1]]
    assert [row["id"] for row in ask(root, Executions, "list", "?sort=id").data] == ids
    assert ask(root, Executions, "list", "?q=status").status_code == 400


def test_a_list_costs_the_same_at_any_length(root: User) -> None:
    costs: list[int] = []
    for number in (1, 9):
        for _ in range(number):
            submit(tasks=2)
        with CaptureQueriesContext(connection) as asked:
            assert len(ask(root, Executions, "list").data) == min(10, number + len(costs))
        costs.append(len(asked))
    # The page, how many there are, and how their tasks stand.
    assert costs == [3, 3]


def test_the_latest_of_a_policy_are_found_without_reading_the_others(root: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO job_execution (vendor_type, vendor_id, trigger) "
            "SELECT 'TEST_WORK', 7 + number % 2, 'EVENT' FROM generate_series(1, 20000) number"
        )
        cursor.execute("ANALYZE job_execution, job_task")
    with CaptureQueriesContext(connection) as asked:
        assert len(ask(root, Executions, "list").data) == 10
    (page,) = [query["sql"] for query in asked if query["sql"].endswith("LIMIT 10")]
    assert sum(plans.rows_of(node) for node in plans.nodes(page) if "Relation Name" in node) < 200


def test_what_is_anothers_is_not_there(root: User) -> None:
    mine, theirs, of_another_kind = submit(), submit(policy=OTHER), submit(Capped)
    (task,) = tasks_of(theirs)
    for execution in (theirs, of_another_kind):
        assert ask(root, Executions, "retrieve", execution_id=execution.id).status_code == 404
        assert ask(root, Tasks, "list", execution_id=execution.id).status_code == 404
    assert ask(root, Tasks, "log", execution_id=mine.id, task_id=task.id).status_code == 404
    assert ask(root, Tasks, "log", execution_id=theirs.id, task_id=task.id).status_code == 404
    assert ask(root, Tasks, "log", execution_id=mine.id, task_id=2**63 - 1).status_code == 404
    assert ask(root, Executions, "list", policy_id=9).status_code == 404
    assert [row["id"] for row in ask(root, Executions, "list").data] == [mine.id]


def test_a_tasks_log_is_text(root: User) -> None:
    execution = submit(tasks=2)
    first, second = tasks_of(execution)
    for task, text in ((first, "one\n"), (second, "other\n"), (first, "two\n")):
        TaskLog.objects.create(task_id=task.id, text=text)
    answer = ask(root, Tasks, "log", execution_id=execution.id, task_id=first.id)
    assert (answer.getvalue(), answer["Content-Type"]) == (b"one\ntwo\n", "text/plain; charset=utf-8")


def test_who_has_no_right_hears_nothing() -> None:
    execution = submit()
    named: dict[str, Any] = {"execution_id": execution.id, "task_id": tasks_of(execution)[0].id}
    for view, action in ((Executions, "list"), (Executions, "retrieve"), (Tasks, "list"), (Tasks, "log")):
        assert ask(None, view, action, **named).status_code == 401
        assert ask(rows.make_user(), view, action, **named).status_code == 403
