"""The page of jobs: what runs, what waits, who works, and logs that grow."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.models import Outbox
from jobservice import relay, service
from jobservice.job import JOBS
from jobservice.models import Execution, PausedQueue, Task, TaskLog
from jobservice.status import Status, Trigger
from projects.models import Project
from rbac.models import User
from tests import rows
from tests.plans import nodes, rows_of
from tests.web.browser import browser

pytestmark = pytest.mark.django_db
LIVE = {"HX-Request": "true"}


@pytest.fixture
def run(admin: User) -> Execution:
    made, _ = rows.make_run()
    return made


def text(path: str, name: str = "root", **headers: str) -> str:
    answer = browser(name).get(path, headers=headers)
    assert answer.status_code in (200, 286), answer.content
    return answer.content.decode()


def test_only_who_looks_after_the_system_sees_it(run: Execution, team: Project) -> None:
    for path in ("/jobs", f"/jobs/{run.id}"):
        assert browser("root").get(path).status_code == 200
        assert browser("alice").get(path).status_code == 404
        assert browser(None).get(path).status_code == 404
    assert browser("root").get("/jobs/999999").status_code == 404


def test_what_runs_shows_how_far_it_is(run: Execution) -> None:
    page = text("/jobs")
    assert '<progress value="1" max="2"></progress>' in page
    assert "bulk@here/7" in page
    assert f'href="/jobs/{run.id}"' in page
    assert 'hx-trigger="every 2s"' in page


def test_jobs_are_called_by_words_where_there_are_some(run: Execution) -> None:
    PausedQueue.objects.create(job_type="IMAGE_SCAN")
    page = text("/jobs")
    assert f">Garbage collection #{run.id}</a>" in page
    assert "IMAGE_SCAN" in page
    assert f"<h1>Garbage collection #{run.id}</h1>" in text(f"/jobs/{run.id}")


def test_one_kind_is_found_among_many_of_another(run: Execution) -> None:
    Execution.objects.bulk_create(Execution(vendor_type="WEBHOOK", trigger="EVENT") for _ in range(60))
    everything, webhooks, collections = text("/jobs"), text("/jobs?kind=WEBHOOK"), text("/jobs?kind=GARBAGE_COLLECTION")
    assert f'href="/jobs/{run.id}">Garbage collection #' not in everything
    assert '<a href="?kind=WEBHOOK" aria-current="page">Webhook</a>' in webhooks
    assert 'href="?page=2&amp;kind=WEBHOOK"' in webhooks
    assert f'href="/jobs/{run.id}">Garbage collection #' in collections
    assert '<a href="?" aria-current="page">all</a>' in text("/jobs?kind=NOTHING")


def test_what_months_have_left_behind_is_not_looked_at_again_and_again(run: Execution) -> None:
    """A page that is open asks every two seconds; an execution of a webhook is a row for each message."""
    Execution.objects.bulk_create(Execution(vendor_type="WEBHOOK", trigger="EVENT") for _ in range(5000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE job_execution, job_task")
    client = browser("root")
    with CaptureQueriesContext(connection) as captured:
        page = client.get("/jobs", headers=LIVE).content.decode()
    asked = [query["sql"] for query in captured if "job_execution" in query["sql"]]
    assert asked
    assert max(rows_of(node) for sql in asked for node in nodes(sql)) <= 1000
    assert "Page 1 of 40" in page
    assert "Only the latest 1000" in page


def test_what_waits_and_what_is_paused_is_shown(run: Execution) -> None:
    PausedQueue.objects.create(job_type="WEBHOOK")
    Task.objects.create(execution_id=run.id, vendor_type="GARBAGE_COLLECTION", queue="bulk")
    page = text("/jobs")
    assert page.index("Waiting") < page.index(">Webhook</td>") < page.index("Workers")
    assert "paused" in page


def test_a_run_that_waits_for_another_is_not_shown_as_running(run: Execution) -> None:
    second = service.submit(JOBS["GARBAGE_COLLECTION"], trigger=Trigger.MANUAL)
    states = re.findall(r'#(\d+)</a></td>\s*<td data-label="State"><span class="badge">(\w+)</span>', text("/jobs"))
    assert states == [(str(second.id), "waiting"), (str(run.id), "running")]
    assert '<span class="badge">waiting</span>' in text(f"/jobs/{second.id}").partition("<h2>Tasks</h2>")[0]


def test_without_a_worker_it_says_so(admin: User) -> None:
    assert "No worker is there" in text("/jobs")


def test_events_that_nobody_could_be_told_of_are_numbered_until_an_operator_sees_to_them(admin: User) -> None:
    """Else only the log knows that a webhook missed something."""
    Outbox.objects.create(topic="PUSH_ARTIFACT", payload={}, attempts=1)
    assert "untold_events" not in text("/jobs")
    untold = {"payload": {}, "attempts": relay.MOST_ATTEMPTS}
    Outbox.objects.bulk_create(Outbox(topic="PUSH_ARTIFACT", **untold) for _ in range(3))
    assert "waits for them: 3. “manage.py untold_events” shows what was wrong" in text("/jobs")
    relay.tell_again()
    assert "untold_events" not in text("/jobs")


def test_an_execution_shows_its_log_until_it_ends(run: Execution) -> None:
    TaskLog.objects.create(task_id=Task.objects.get().id, text="<b>second line</b>\n")
    page = text(f"/jobs/{run.id}")
    assert "workers: 1\n&lt;b&gt;second line&lt;/b&gt;" in page
    assert browser("root").get(f"/jobs/{run.id}", headers=LIVE).status_code == 200
    Execution.objects.update(status=Status.SUCCESS, end_time=run.start_time)
    answer = browser("root").get(f"/jobs/{run.id}", headers=LIVE)
    assert (answer.status_code, b"<html" in answer.content) == (286, False)
    assert "every 2s" not in text(f"/jobs/{run.id}")


def test_of_a_long_log_the_end_is_shown(run: Execution) -> None:
    task = Task.objects.get()
    for number in range(30):
        TaskLog.objects.create(task_id=task.id, text=f"part {number} {'x' * 10_000}\n")
    page = text(f"/jobs/{run.id}")
    assert "part 29" in page
    assert "part 3 " not in page
    assert "Only the end of it" in page
