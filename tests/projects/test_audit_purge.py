"""Old rows of the audit log go, and only those that were meant."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from core import clock
from jobservice import claims, orders, runner
from jobservice.models import Execution, Task
from projects import audit_purge
from projects.jobs import PurgeAuditLog
from projects.models import AuditLog
from projects.models.audit_log import MONTHS
from tests.jobservice.jobs import log_of, tasks_of
from tests.rest import Api, code
from tests.rows import Story, make_story

pytestmark = pytest.mark.django_db
URL = "/system/purgeaudit"
# With what an order itself writes.
ALL = "create_artifact,delete_tag,create_project,create_job"


@pytest.fixture
def story() -> Story:
    return make_story()


def write(at: datetime, operation: str = "create", resource_type: str = "artifact") -> None:
    AuditLog.objects.create(
        op_time=at, username="alice", operation=operation, resource_type=resource_type, resource="r"
    )


def purge(story: Story, **parameters: object) -> tuple[Execution, str]:
    """Ordered over the API, and done; with its log."""
    body = {"schedule": {"type": "Manual"}, "parameters": parameters}
    answer = Api(story.admin).post(f"{URL}/schedule", body)
    assert answer.status_code == 201, answer.content
    execution = Execution.objects.get(id=int(answer["Location"].rpartition("/")[2]))
    assert answer["Location"] == f"/api/v2.0{URL}/{execution.id}"
    (task,) = tasks_of(execution)
    runner.run(task.id, worker="test/1")
    return Execution.objects.get(id=execution.id), log_of(task)


def test_rows_that_are_older_go(story: Story) -> None:
    now = clock.now()
    for hours in (1, 23, 25, 100):
        write(now - timedelta(hours=hours))
    kept = AuditLog.objects.filter(op_time__gt=now - timedelta(hours=24)).count()
    execution, log = purge(story, audit_retention_hour=24, include_event_types=ALL)
    assert (execution.status, execution.extra_attrs["purged"]) == ("Success", 2), log
    assert "Purge audit job start" in log
    assert "Purged 2 rows of audit logs" in log
    # And the order itself.
    assert AuditLog.objects.count() == kept + 1


def old_months(*kinds: str) -> None:
    """January of 2020 in a partition of its own, with a row of each kind, and one of February elsewhere."""
    MONTHS.make_partitions(date(2019, 12, 5))
    for kind in kinds:
        write(datetime(2020, 1, 5, tzinfo=UTC), *kind.split("_"))
    write(datetime(2020, 2, 5, tzinfo=UTC))


def test_a_month_of_which_nothing_is_kept_is_dropped_whole(story: Story) -> None:
    old_months("create_artifact", "delete_tag")
    execution, log = purge(story, audit_retention_hour=24, include_event_types="create_artifact,delete_tag")
    assert "dropped the month 2020-01-01 with 2 rows" in log
    assert (execution.extra_attrs["purged"], AuditLog.objects.count()) == (3, 1)
    assert date(2020, 1, 1) not in MONTHS.months()


def test_a_month_of_which_something_is_kept_stays(story: Story) -> None:
    old_months("create_artifact", "delete_tag")
    execution, log = purge(story, audit_retention_hour=24, include_event_types="create_artifact")
    assert "dropped the month 2020-01-01" not in log
    assert execution.extra_attrs["purged"] == 2
    assert AuditLog.objects.filter(op_time__year=2020).get().resource_type == "tag"


def test_batches_go_on_where_the_last_one_ended(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_purge, "BATCH", 2)
    at = clock.now() - timedelta(days=9)
    for number in range(7):
        # Several of one moment, and some that stay between them.
        write(at + timedelta(minutes=number // 3))
        write(at + timedelta(minutes=number), "create", "project")
    execution, _ = purge(story, audit_retention_hour=24, include_event_types="create_artifact")
    assert execution.extra_attrs["purged"] == 7
    assert set(AuditLog.objects.filter(op_time__lt=at + timedelta(days=1)).values_list("resource_type", flat=True)) == {
        "project"
    }


def test_what_attempts_before_dropped_is_counted(story: Story) -> None:
    write(clock.now() - timedelta(days=9))
    params = {"audit_retention_hour": 24, "include_event_types": ALL, "dry_run": False}
    execution = orders.start(PurgeAuditLog, params=params, actor="root")
    Task.objects.update(state={"purged": 41})
    (task,) = tasks_of(execution)
    runner.run(task.id, worker="test/1")
    assert Execution.objects.get(id=execution.id).extra_attrs["purged"] == 42
    assert "Purged 42 rows of audit logs" in log_of(task)


def test_what_is_stopped_says_how_far_it_came(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_purge, "BATCH", 1)
    for days in (8, 9):
        write(clock.now() - timedelta(days=days))
    params = {"audit_retention_hour": 24, "include_event_types": "create_artifact", "dry_run": False}
    execution = orders.start(PurgeAuditLog, params=params, actor="root")
    (task,) = tasks_of(execution)
    real = claims.hold

    def asked_after_the_first_row(task: Task, **news: object) -> bool | None:
        return bool(real(task, **news)) or AuditLog.objects.filter(resource="r").count() == 1

    monkeypatch.setattr(claims, "hold", asked_after_the_first_row)
    runner.run(task.id, worker="test/1")
    execution = Execution.objects.get(id=execution.id)
    assert (execution.status, execution.extra_attrs["purged"]) == ("Stopped", 1)
    assert AuditLog.objects.filter(resource="r").count() == 1


def test_only_the_kinds_that_were_meant_go(story: Story) -> None:
    old = clock.now() - timedelta(days=9)
    for operation, resource_type in (("create", "artifact"), ("delete", "tag"), ("create", "project")):
        write(old, operation, resource_type)
    purge(story, audit_retention_hour=1, include_event_types="create_artifact, delete_tag")
    assert list(AuditLog.objects.filter(op_time__lte=old).values_list("resource_type", flat=True)) == ["project"]


def test_the_parameters_are_told_as_harbors_clients_gave_them(story: Story) -> None:
    """The example of Harbor's own description; pulls have no row here."""
    given = "create_artifact,delete_artifact,pull_artifact"
    execution, _ = purge(story, audit_retention_hour=168, include_event_types=given, dry_run=True)
    told = json.loads(Api(story.admin).get(f"{URL}/{execution.id}").json()["job_parameters"])
    assert told == {
        "audit_retention_hour": 168, "include_event_types": given, "dry_run": True, "purged": 0, "would_purge": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"audit_retention_hour": 1, "include_event_types": ALL, "dry_run": True}, "1 rows of audit logs would be"),
        ({"audit_retention_hour": 0, "include_event_types": ALL}, "audit_retention_hour is 0: everything is kept"),
        ({"audit_retention_hour": 1}, "names no type of event: everything is kept"),
        ({"audit_retention_hour": 1, "include_event_types": " , "}, "names no type of event: everything is kept"),
    ],
)
def test_what_drops_nothing_says_why(story: Story, parameters: dict[str, object], words: str) -> None:
    write(clock.now() - timedelta(days=9))
    execution, log = purge(story, **parameters)
    assert (execution.status, words in log) == ("Success", True), log
    # With the order's own.
    assert AuditLog.objects.count() == 2


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"audit_retention_hour": 240001}, "from 0 to 240000"),
        ({"audit_retention_hour": -1}, "from 0 to 240000"),
        ({"audit_retention_hour": "24"}, "whole number"),
        ({"audit_retention_hour": True}, "whole number"),
        ({"include_event_types": ["create_artifact"]}, "joined by commas"),
        ({"include_event_types": "make_tea"}, "unknown event type make_tea"),
        ({"dry_run": "yes"}, "true or false"),
        (
            {"dryrun": True},
            "parameters.dryrun is unknown; there are audit_retention_hour, include_event_types, dry_run",
        ),
    ],
)
def test_parameters_that_cannot_be_are_refused_in_words(
    story: Story, parameters: dict[str, object], complaint: str
) -> None:
    body = {"schedule": {"type": "Manual"}, "parameters": parameters}
    answer = Api(story.admin).post(f"{URL}/schedule", body)
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")
    assert complaint in answer.json()["errors"][0]["message"]
    assert not Execution.objects.exists()
