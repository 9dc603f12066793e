"""A job of the system's over the API: started, scheduled, looked at and stopped, as the purge of the audit log is."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from core import clock
from core.api.json import time
from jobservice import claims, runner, schedules
from jobservice.models import Execution, Schedule, Task, TaskLog
from projects.models import AuditLog
from tests import plans
from tests.jobservice.jobs import tasks_of
from tests.rest import Api, _fresh_memory, code, story
from tests.rows import Story

__all__ = ["_fresh_memory", "story"]
RUNS = "/system/purgeaudit"
SCHEDULE = f"{RUNS}/schedule"
PARAMETERS = {"audit_retention_hour": 24, "include_event_types": "create_tag", "dry_run": False}


@pytest.fixture
def root(story: Story) -> Api:
    return Api(story.admin)


def order(api: Api, kind: str | None, method: str = "post", **more: Any) -> Any:
    return getattr(api, method)(SCHEDULE, {"schedule": {"type": kind, **more}, "parameters": PARAMETERS})


def started(api: Api) -> Execution:
    return Execution.objects.get(id=int(order(api, "Manual")["Location"].rpartition("/")[2]))


def audited() -> list[str]:
    return list(AuditLog.objects.order_by("id").values_list("description", flat=True))


# --- schedules ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "given", "cron", "shown"),
    [
        ("Hourly", "", "0 0 * * * *", "Hourly"),
        ("Daily", "0 0 0 * * *", "0 0 0 * * *", "Daily"),
        ("Daily", "0 30 3 * * *", "0 30 3 * * *", "Daily"),
        ("Weekly", "", "0 0 0 * * 0", "Weekly"),
        ("Custom", "0 30 2 * * 1", "0 30 2 * * 1", "Custom"),
        ("Schedule", "0 15 4 ? * SUN", "0 15 4 ? * SUN", "Custom"),
    ],
)
def test_what_is_set_is_read_as_harbor_writes_it(root: Api, kind: str, given: str, cron: str, shown: str) -> None:
    answer = order(root, kind, cron=given)
    assert (answer.status_code, answer.content, answer["Location"]) == (201, b"", f"/api/v2.0{RUNS}/0")
    read, kept = root.get(SCHEDULE).json(), Schedule.objects.get()
    assert read["schedule"] == {
        "type": shown, "cron": cron, "next_scheduled_time": time(schedules.next_time(kept)),
    }  # fmt: skip
    assert (read["id"], read["job_name"], read["job_kind"]) == (kept.pk, "PURGE_AUDIT_LOG", shown)
    assert json.loads(read["job_parameters"]) == PARAMETERS
    assert audited() == [f"update schedule: PURGE_AUDIT_LOG ({cron})"]


def test_none_is_set_at_first_and_after_none(root: Api) -> None:
    assert root.get(SCHEDULE).json() == {}
    order(root, "Daily")
    assert order(root, "None", "put").status_code == 200
    assert (root.get(SCHEDULE).json(), Schedule.objects.count()) == ({}, 0)
    assert order(root, "None", "put").status_code == 200
    # The second one changed nothing.
    assert audited() == ["update schedule: PURGE_AUDIT_LOG (0 0 0 * * *)", "delete schedule: PURGE_AUDIT_LOG"]


def test_another_one_takes_its_place(root: Api) -> None:
    order(root, "Daily")
    assert order(root, "Custom", "put", cron="0 0 3 * * *").status_code == 200
    assert Schedule.objects.get().cron == "0 0 3 * * *"


@pytest.mark.parametrize("method", ["post", "put"])
@pytest.mark.parametrize(
    ("body", "status", "complaint"),
    [
        ({"schedule": {"type": "Custom", "cron": "0 0 * * *"}}, 400, "it has 5 fields, but needs 6"),
        ({"schedule": {"type": "Custom", "cron": "30 0 0 * * *"}}, 400, "seconds (first field) must be 0"),
        ({"schedule": {"type": "Custom"}}, 400, "it has 0 fields"),
        ({"schedule": {"type": "Daily", "cron": "0 0 * * *"}}, 400, "it has 5 fields, but needs 6"),
        ({"schedule": {"type": "Custom", "cron": "0 0 0 30 2 *"}}, 400, "bad day-of-month"),
        ({"schedule": {}}, 400, "schedule.type is required: one of Manual, None, Hourly"),
        ({}, 400, "schedule.type is required"),
        ({"schedule": {"type": "Yearly"}}, 422, "'Yearly' is none of 'Manual', 'None', 'Hourly'"),
        ({"schedule": {"type": "Custom", "cron": "0 " * 200}}, 422, "no more than 255 characters"),
        ({"schedule": "Daily"}, 422, "schedule"),
        ({"schedule": {"type": "Daily"}, "parameters": [1]}, 422, "parameters"),
    ],
)
def test_what_is_no_schedule_is_refused_in_words_and_changes_nothing(
    root: Api, method: str, body: Any, status: int, complaint: str
) -> None:
    order(root, "Daily")
    answer = getattr(root, method)(SCHEDULE, body)
    assert (answer.status_code, complaint in answer.json()["errors"][0]["message"]) == (status, True), answer.content
    assert Schedule.objects.get().cron == "0 0 0 * * *"
    assert not Execution.objects.exists()
    assert len(audited()) == 1


# --- runs ---------------------------------------------------------------------------------------------------
def test_manual_is_a_run_that_its_location_names(root: Api) -> None:
    order(root, "Daily")
    answer = order(root, "Manual")
    execution = Execution.objects.get()
    assert (answer.status_code, answer["Location"]) == (201, f"/api/v2.0{RUNS}/{execution.id}")
    read = root.get(answer["Location"]).json()
    assert (read["id"], read["job_name"], read["job_kind"]) == (execution.id, "PURGE_AUDIT_LOG", "MANUAL")
    # No worker has heard of it yet.
    assert (read["job_status"], read["schedule"]) == ("Pending", {"type": "Manual"})
    assert json.loads(read["job_parameters"]) == PARAMETERS
    # What runs by the clock stays as it was.
    assert Schedule.objects.get().cron == "0 0 0 * * *"
    assert audited()[1:] == [f"create job: PURGE_AUDIT_LOG (execution {execution.id})"]


def test_a_run_by_the_clock_says_so(root: Api) -> None:
    order(root, "Hourly")
    Schedule.objects.update(fired=Now() - timedelta(hours=2))
    assert schedules.fire_due() == 1
    (run,) = root.get(RUNS).json()
    assert (run["job_kind"], run["schedule"]) == ("SCHEDULE", {"type": "Schedule"})
    assert json.loads(run["job_parameters"]) == PARAMETERS


def test_runs_are_listed_filtered_sorted_and_paged(root: Api) -> None:
    runs = [started(root) for _ in range(3)]
    Execution.objects.filter(id=runs[1].id).update(status="Error")
    Execution.objects.create(vendor_type="GARBAGE_COLLECTION", trigger="MANUAL")
    answer = root.get(f"{RUNS}?page_size=2")
    assert [row["id"] for row in answer.json()] == [runs[2].id, runs[1].id]
    assert (answer["X-Total-Count"], 'rel="next"' in answer["Link"]) == ("3", True)
    for query, expected in (
        ("q=job_status=Error", [1]),
        ("q=job_kind=SCHEDULE", []),
        (f"q=id=[{runs[1].id}~]", [2, 1]),
        ("sort=id", [0, 1, 2]),
        ("q=creation_time=[~2020-01-01T00:00:00]", []),
    ):
        assert [row["id"] for row in root.get(f"{RUNS}?{query}").json()] == [runs[place].id for place in expected]
    assert root.get(f"{RUNS}?q=id=x").status_code == 400


def test_a_run_that_waits_for_another_is_not_shown_as_running(root: Api) -> None:
    """Of some kinds one runs at a time; who looks wants to know which."""
    first, second = started(root), started(root)
    (task,), (waiting,) = tasks_of(first), tasks_of(second)
    held = claims.claim(task.id, worker="test/1")
    assert held is not None
    assert claims.claim(waiting.id, worker="test/2") is None

    def statuses() -> list[str]:
        listed = [row["job_status"] for row in root.get(f"{RUNS}?sort=id").json()]
        assert listed == [root.get(f"{RUNS}/{run.id}").json()["job_status"] for run in (first, second)]
        return listed

    assert statuses() == ["Running", "Pending"]
    for status, found in (("Running", [first.id]), ("Pending", [second.id]), ("Error", [])):
        assert [row["id"] for row in root.get(f"{RUNS}?q=job_status={status}").json()] == found
    assert [row["id"] for row in root.get(f"{RUNS}?sort=job_status").json()] == [second.id, first.id]
    # One that failed and is tried again later is under way.
    claims.give_back(held, after=timedelta(minutes=1), message="the store is away")
    assert statuses() == ["Running", "Pending"]
    runner.run(waiting.id, worker="test/2")
    root.put(f"{RUNS}/{first.id}")
    assert statuses() == ["Stopped", "Success"]


def test_how_runs_stand_is_read_from_their_own_tasks_alone(root: Api) -> None:
    """Among the many of webhooks."""
    for _ in range(12):
        started(root)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO job_task (execution_id, vendor_type, job_id, queue, status, run_count) "
            "SELECT 1000000 + number, 'WEBHOOK', gen_random_uuid(), 'event', 'Success', 1 "
            "FROM generate_series(1, 20000) number"
        )
    with CaptureQueriesContext(connection) as asked:
        assert len(root.get(RUNS).json()) == 10
    (page,) = [query["sql"] for query in asked if '"standing"' in query["sql"]]
    assert sum(plans.rows_of(node) for node in plans.nodes(page) if "Relation Name" in node) < 100


def test_a_run_is_stopped_once(root: Api) -> None:
    execution = started(root)
    assert root.put(f"{RUNS}/{execution.id}").status_code == 200
    assert Execution.objects.get().status == "Stopped"
    assert root.put(f"{RUNS}/{execution.id}").status_code == 200
    assert audited()[1:] == [f"stop job: PURGE_AUDIT_LOG (execution {execution.id})"]


def test_a_log_is_text_of_all_attempts_and_grows(root: Api) -> None:
    execution = started(root)
    assert root.get(f"{RUNS}/{execution.id}/log").content == b""
    (task,) = tasks_of(execution)
    for number in range(60):
        TaskLog.objects.create(task_id=task.id, text=f"line {number}\n")
    answer = root.get(f"{RUNS}/{execution.id}/log")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert answer.content.decode() == "".join(f"line {number}\n" for number in range(60))
    runner.run(task.id, worker="test/1")
    lines = root.get(f"{RUNS}/{execution.id}/log").content.decode().splitlines()
    assert lines[60].endswith("[INFO] Purge audit job start")


def test_a_log_leaves_in_parts_however_long_it_is(root: Api, story: Story) -> None:
    """It is not read before somebody takes it."""
    execution = started(root)
    (task,) = tasks_of(execution)
    TaskLog.objects.bulk_create(TaskLog(task_id=task.id, text="x" * 1000 + "\n") for _ in range(100))
    client = APIClient()
    client.force_authenticate(story.admin)
    answer: Any = client.get(f"/api/v2.0{RUNS}/{execution.id}/log")
    assert answer.streaming
    parts = list(answer)
    assert (len(parts), len(b"".join(parts))) == (100, 100_100)


def test_without_a_task_there_is_no_log(root: Api) -> None:
    execution = started(root)
    Task.objects.all().delete()
    answer = root.get(f"{RUNS}/{execution.id}/log")
    assert (answer.status_code, code(answer)) == (404, "NOT_FOUND")
    assert "has no task, and so no log" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(("number", "status"), [("0", 404), (str(2**63 - 1), 404), (str(2**63), 422), ("x", 422)])
def test_a_run_that_is_not_there(root: Api, number: str, status: int) -> None:
    paths = [f"{RUNS}/{number}", f"{RUNS}/{number}/log"]
    assert [root.get(path).status_code for path in paths] == [status, status]
    assert root.put(paths[0]).status_code == status


def test_a_run_of_another_job_is_not_there(root: Api) -> None:
    other = Execution.objects.create(vendor_type="GARBAGE_COLLECTION", trigger="MANUAL", start_time=clock.now())
    assert root.get(f"{RUNS}/{other.id}").status_code == 404
    assert root.get(f"{RUNS}/{other.id}/log").status_code == 404
    assert root.put(f"{RUNS}/{other.id}").status_code == 404
