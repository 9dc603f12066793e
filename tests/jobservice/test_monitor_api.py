"""/jobservice and /schedules: what waits, who works, and what is paused, resumed and stopped."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from jobservice import schedules, service
from jobservice.models import Execution, PausedQueue, Schedule, Task, TaskLog, WorkerPool
from jobservice.status import Status, Trigger
from projects.jobs import PurgeAuditLog
from projects.models import AuditLog
from registry.jobs import GarbageCollection
from tests.jobservice.jobs import tasks_of
from tests.rest import Api, _fresh_memory, code, story
from tests.rows import Story, make_run

__all__ = ["_fresh_memory", "story"]
QUEUES = "/jobservice/queues"
# By hand from Harbor's documentation.
HARBORS = {
    "GARBAGE_COLLECTION", "PURGE_AUDIT_LOG", "P2P_PREHEAT", "IMAGE_SCAN", "REPLICATION", "RETENTION",
    "SCAN_DATA_EXPORT", "SCHEDULER", "SLACK", "SYSTEM_ARTIFACT_CLEANUP", "WEBHOOK", "EXECUTION_SWEEP",
    "AUDIT_LOGS_GDPR_COMPLIANT",
}  # fmt: skip


@pytest.fixture
def root(story: Story) -> Api:
    return Api(story.admin)


def submit(job: Any = GarbageCollection, **more: Any) -> Task:
    (task,) = tasks_of(service.submit(job, trigger=Trigger.MANUAL, **more))
    return task


def run(task: Task, worker: str = "bulk@here/7") -> None:
    Task.objects.filter(id=task.id).update(
        status=Status.RUNNING, worker=worker, run_count=1, start_time=Now(), lease=Now() + timedelta(minutes=1)
    )


def status_of(task: Task) -> tuple[str, bool]:
    return Task.objects.values_list("status", "is_stop_asked").get(id=task.id)


def queues(api: Api) -> dict[str, dict[str, Any]]:
    return {row["job_type"]: row for row in api.get(QUEUES).json()}


def audited() -> set[str]:
    return set(AuditLog.objects.values_list("description", flat=True))


# --- queues -------------------------------------------------------------------------------------------------
def test_the_queues_are_harbors_and_an_idle_one_has_no_numbers(root: Api) -> None:
    rows = root.get(QUEUES).json()
    assert len(rows) == 13
    assert {row["job_type"] for row in rows} == HARBORS
    assert all(set(row) == {"job_type", "paused"} and row["paused"] is False for row in rows)


def test_a_queue_tells_how_many_wait_and_how_long_the_first_has(root: Api) -> None:
    first, _, later, running = submit(), submit(), submit(), submit()
    Task.objects.filter(id=first.id).update(due=Now() - timedelta(seconds=100))
    Task.objects.filter(id=later.id).update(due=Now() + timedelta(hours=1))
    run(running)
    queue = queues(root)["GARBAGE_COLLECTION"]
    assert (queue["count"], 100 <= queue["latency"] < 400) == (2, True)


def test_pausing_and_resuming_one(root: Api) -> None:
    for _ in range(2):
        assert root.put(f"{QUEUES}/GARBAGE_COLLECTION", {"action": "pause"}).status_code == 200
    assert {name for name, queue in queues(root).items() if queue["paused"]} == {"GARBAGE_COLLECTION"}
    for _ in range(2):
        assert root.put(f"{QUEUES}/garbage_collection", {"action": "resume"}).status_code == 200
    assert not PausedQueue.objects.exists()
    assert audited() == {"pause queue: GARBAGE_COLLECTION", "resume queue: GARBAGE_COLLECTION"}
    # What changed nothing is no row.
    assert AuditLog.objects.count() == 2


def test_pausing_all_and_the_scheduler(root: Api) -> None:
    assert root.get("/schedules/all/paused").json() == {"paused": False}
    root.put(f"{QUEUES}/scheduler", {"action": "pause"})
    assert root.get("/schedules/all/paused").json() == {"paused": True}
    assert {name for name, queue in queues(root).items() if queue["paused"]} == {schedules.SCHEDULER}
    root.put(f"{QUEUES}/all", {"action": "pause"})
    assert all(queue["paused"] for queue in queues(root).values())
    root.put(f"{QUEUES}/all", {"action": "resume"})
    assert root.get("/schedules/all/paused").json() == {"paused": False}


def test_stopping_a_queue_ends_what_waits_in_it_and_nothing_else(root: Api) -> None:
    waiting, running, other = submit(), submit(), submit(PurgeAuditLog)
    run(running)
    assert root.put(f"{QUEUES}/GARBAGE_COLLECTION", {"action": "stop"}).status_code == 200
    assert [status_of(task) for task in (waiting, running, other)] == [
        ("Stopped", False), ("Running", False), ("Pending", False),
    ]  # fmt: skip
    assert Execution.objects.get(id=waiting.execution_id).status == "Stopped"
    root.put(f"{QUEUES}/all", {"action": "stop"})
    assert status_of(other) == ("Stopped", False)


@pytest.mark.parametrize(
    ("job_type", "body", "status", "complaint"),
    [
        ("TEA", {"action": "pause"}, 404, "job type TEA not found; it is all or one of GARBAGE_COLLECTION"),
        ("GARBAGE_COLLECTION", {"action": "explode"}, 422, "'explode' is none of 'stop', 'pause', 'resume'"),
        ("GARBAGE_COLLECTION", {}, 422, "action"),
        ("GARBAGE_COLLECTION", {"action": 7}, 422, "action"),
        ("x" * 300, {"action": "pause"}, 404, "not found"),
    ],
)
def test_what_is_no_order_is_refused_in_words(root: Api, job_type: str, body: Any, status: int, complaint: str) -> None:
    answer = root.put(f"{QUEUES}/{job_type}", body)
    assert (answer.status_code, complaint in answer.json()["errors"][0]["message"]) == (status, True), answer.content
    assert not PausedQueue.objects.exists()


# --- workers ------------------------------------------------------------------------------------------------
def pool(name: str, **facts: Any) -> None:
    WorkerPool.objects.create(pool_id=name, host="here", pid=6, concurrency=2, **facts)


def test_pools_are_those_that_live(root: Api) -> None:
    pool("bulk@here")
    pool("worker@gone", heartbeat=Now() - timedelta(minutes=5))
    (row,) = root.get("/jobservice/pools").json()
    assert (row["worker_pool_id"], row["host"], row["pid"], row["concurrency"]) == ("bulk@here", "here", 6, 2)


def test_workers_are_who_is_at_a_task(root: Api) -> None:
    pool("bulk@here")
    pool("bulk-2@here")
    tasks = [submit(), submit(PurgeAuditLog), submit()]
    run(tasks[0], "bulk@here/7")
    run(tasks[1], "bulk-2@here/8")
    Task.objects.filter(id=tasks[0].id).update(done=3, total=10)
    worker, idle = root.get("/jobservice/pools/bulk@here/workers").json()
    assert (worker["id"], worker["pool_id"], worker["check_in"]) == ("bulk@here/7", "bulk@here", "3 of 10")
    assert (worker["job_name"], worker["job_id"]) == ("GARBAGE_COLLECTION", str(tasks[0].job_id))
    assert idle == {"id": "bulk@here/idle-1", "pool_id": "bulk@here"}
    assert [row["id"] for row in root.get("/jobservice/pools/all/workers").json()] == [
        "bulk@here/7", "bulk-2@here/8", "bulk-2@here/idle-1", "bulk@here/idle-1",
    ]  # fmt: skip


def test_who_holds_a_task_of_a_pool_that_died_is_told_until_his_lease_is_over(root: Api) -> None:
    pool("bulk@here")
    run(submit(), "bulk@gone/7")
    workers = root.get("/jobservice/pools/all/workers").json()
    assert [row["id"] for row in workers] == ["bulk@gone/7", "bulk@here/idle-1", "bulk@here/idle-2"]


@pytest.mark.parametrize("name", ["bulk%25@here", "nobody", "bulk", "_ulk@here"])
def test_a_pool_that_is_not_there(root: Api, name: str) -> None:
    pool("bulk@here")
    answer = root.get(f"/jobservice/pools/{name}/workers")
    assert (answer.status_code, code(answer)) == (404, "NOT_FOUND")


# --- jobs ---------------------------------------------------------------------------------------------------
def test_one_job_is_stopped_by_its_id(root: Api) -> None:
    first, second = submit(), submit()
    for task in (first, second):
        run(task)
    assert root.put(f"/jobservice/jobs/{first.job_id}").status_code == 200
    assert [status_of(task) for task in (first, second)] == [("Running", True), ("Running", False)]
    assert audited() == {f"stop job: GARBAGE_COLLECTION (execution {first.execution_id})"}


def test_all_that_run_are_stopped_and_what_waits_is_not(root: Api) -> None:
    running, waiting = submit(), submit()
    run(running)
    assert root.put("/jobservice/jobs/all").status_code == 200
    assert [status_of(task) for task in (running, waiting)] == [("Running", True), ("Pending", False)]
    assert audited() == {"stop job: all"}


def test_what_does_not_run_need_not_be_stopped(root: Api) -> None:
    task = submit()
    Task.objects.filter(id=task.id).update(status=Status.SUCCESS, end_time=Now())
    for job_id in (task.job_id, "00000000-0000-4000-8000-000000000000"):
        assert root.put(f"/jobservice/jobs/{job_id}").status_code == 200
    assert status_of(task) == ("Success", False)
    assert audited() == set()


def test_a_jobs_log_by_its_id(root: Api) -> None:
    _, task = make_run()
    TaskLog.objects.create(task_id=task.id, text="second line\n")
    answer = root.get(f"/jobservice/jobs/{task.job_id}/log")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert [line.split("] ")[-1] for line in answer.content.decode().splitlines()] == ["workers: 1", "second line"]


@pytest.mark.parametrize("job_id", ["00000000-0000-4000-8000-000000000000", "7", "all", "9" * 300, "%2e%2e"])
def test_a_job_that_is_not_there_has_no_log(root: Api, job_id: str) -> None:
    answer = root.get(f"/jobservice/jobs/{job_id}/log")
    assert (answer.status_code, code(answer)) == (404, "NOT_FOUND")


# --- schedules ----------------------------------------------------------------------------------------------
def test_schedules_are_listed_with_their_vendor(root: Api) -> None:
    schedules.put(vendor_type="RETENTION", vendor_id=9, kind=Schedule.Kind.DAILY, at="0 0 0 * * *")
    schedules.put(vendor_type="GARBAGE_COLLECTION", kind=Schedule.Kind.CUSTOM, at="0 30 2 * * 1")
    rows = root.get("/schedules").json()
    assert [(row["vendor_type"], row.get("vendor_id"), row["cron"]) for row in rows] == [
        ("RETENTION", 9, "0 0 0 * * *"), ("GARBAGE_COLLECTION", None, "0 30 2 * * 1"),
    ]  # fmt: skip
    answer = root.get("/schedules?page_size=1&page=2")
    assert (len(answer.json()), answer["X-Total-Count"]) == (1, "2")


def test_schedules_are_paused_all_together(root: Api, story: Story) -> None:
    assert root.get("/schedules/GARBAGE_COLLECTION/paused").status_code == 400
    assert root.get("/schedules/All/paused").json() == {"paused": False}
    assert Api(story.mallory).get("/schedules/all/paused").status_code == 200
    assert Api().get("/schedules/all/paused").status_code == 401
