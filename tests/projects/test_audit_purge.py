"""Old rows of the audit log go, and only those that were meant."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from core import clock
from jobservice import runner
from jobservice.models import Execution
from projects.models import AuditLog
from projects.models.audit_log import MONTHS
from tests.jobservice.jobs import log_of, tasks_of
from tests.rest import Api, code
from tests.rows import Story, make_story

pytestmark = pytest.mark.django_db
URL = "/system/purgeaudit"


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
    execution, log = purge(story, audit_retention_hour=24)
    assert (execution.status, execution.extra_attrs["purged"]) == ("Success", 2), log
    assert "Purge audit job start" in log
    assert "Purged 2 rows of audit logs" in log
    # And the order itself.
    assert AuditLog.objects.count() == kept + 1


def test_whole_months_are_dropped_and_what_is_kept_of_a_month_stays(story: Story) -> None:
    MONTHS.make_partitions(date(2020, 1, 5))
    for day in (date(2020, 1, 5), date(2020, 2, 5)):
        write(datetime(day.year, day.month, day.day, tzinfo=UTC))
    execution, log = purge(story, audit_retention_hour=24)
    assert "dropped the month 2020-01-01 with 1 rows" in log
    assert execution.extra_attrs["purged"] == 2
    assert date(2020, 1, 1) not in MONTHS.months()


def test_only_the_kinds_that_were_meant_go(story: Story) -> None:
    old = clock.now() - timedelta(days=9)
    for operation, resource_type in (("create", "artifact"), ("delete", "tag"), ("create", "project")):
        write(old, operation, resource_type)
    purge(story, audit_retention_hour=1, include_event_types="create_artifact, delete_tag")
    assert list(AuditLog.objects.filter(op_time__lte=old).values_list("resource_type", flat=True)) == ["project"]


def test_a_dry_run_and_zero_hours_keep_everything(story: Story) -> None:
    write(clock.now() - timedelta(days=9))
    before = AuditLog.objects.count()
    _, log = purge(story, audit_retention_hour=1, dry_run=True)
    assert "1 rows of audit logs would be purged" in log
    purge(story, audit_retention_hour=0)
    assert AuditLog.objects.count() == before + 2


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
