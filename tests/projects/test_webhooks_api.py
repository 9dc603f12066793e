"""Webhooks over the API: policies, what was sent for them, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from core import clock, configuration, http, partitions
from core.addresses import Reach
from core.api import json as api_json
from jobservice import relay
from jobservice.models import Execution, Task
from projects import webhook_policies
from projects.models import AuditLog, WebhookPolicy, WebhookTarget
from rbac.roles import Role
from tests import plans, rows
from tests.projects.webhooks import TARGET, happen, make_policy, tags_told, work
from tests.receiver import Receiver, receiving, reply
from tests.rest import Api, code
from tests.rows import Story

pytestmark = pytest.mark.django_db
POLICIES = "/projects/team/webhook/policies"


@pytest.fixture(autouse=True)
def _nearby(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints of these tests are on this machine, and the relay waits for nobody."""
    monkeypatch.setattr(http, "OF_PROJECTS", Reach(private=True))
    monkeypatch.setattr(relay, "QUIET_SECONDS", 0.0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def log_of(task: Task) -> str:
    answer = Api(rows.make_user(is_sysadmin=True)).get(f"/jobservice/jobs/{task.job_id}/log")
    return str(answer.getvalue().decode())


def policy_with(receiver: Receiver, story: Story, **facts: Any) -> WebhookPolicy:
    return make_policy(story.team, story.alice, f"{receiver.url}/hook?key=kept", **facts)


def test_an_admin_switches_all_of_it_off(story: Story, receiver: Receiver) -> None:
    policy_with(receiver, story)
    configuration.change(actor="root", notification_enable=False)
    happen(story.team, "v1")
    work()
    assert receiver.received == []


def test_what_authorises_us_is_for_nobody_else(story: Story, receiver: Receiver) -> None:
    policy = policy_with(receiver, story, auth_header="Bearer Sesame-1")
    happen(story.team, "v1")
    work()
    task = Task.objects.get(vendor_type="WEBHOOK")
    secret = WebhookPolicy.objects.get(pk=policy.pk).secret
    mia = rows.make_user("mia")
    rows.add_member(story.team, mia, Role.MAINTAINER)
    texts = [
        log_of(task),
        str(task.params),
        str(task.extra_attrs),
        str(Api(mia).get(POLICIES).json()),
        str(list(AuditLog.objects.values())),
    ]
    for text in texts:
        assert "Sesame" not in text
        assert secret not in text
        assert "key=kept" not in text or "address" in text
    assert Api(story.alice).get(POLICIES).json()[0]["targets"][0]["auth_header"] == "Bearer Sesame-1"


def test_an_endpoint_that_failed_for_a_day_is_switched_off_and_saving_switches_it_on(
    story: Story, receiver: Receiver
) -> None:
    policy = policy_with(receiver, story)
    receiver.answer = lambda handler, _: reply(handler, 503)
    happen(story.team, "v1", "v2")
    work()
    WebhookTarget.objects.update(failing_since=clock.now() - timedelta(hours=25))
    work(as_if_later=True)
    assert not Api(story.alice).get(f"{POLICIES}/{policy.pk}").json()["enabled"]
    assert AuditLog.objects.filter(resource_type="notification-policy", username="system").count() == 1
    count = len(receiver.received)
    happen(story.team, "v3")
    work(as_if_later=True)
    assert len(receiver.received) == count
    body = {"name": "ci", "event_types": ["PUSH_ARTIFACT"], "enabled": True}
    body["targets"] = [{"type": "http", "address": receiver.url}]
    assert Api(story.alice).put(f"{POLICIES}/{policy.pk}", body).status_code == 200
    receiver.answer = lambda handler, _: reply(handler, 200)
    happen(story.team, "v4")
    work()
    assert tags_told(receiver.documents)[count:] == ["v4"]


def test_what_was_sent_is_listed_and_sent_once_more(story: Story, receiver: Receiver) -> None:
    policy = policy_with(receiver, story)
    happen(story.team, "v1")
    work()
    alice = Api(story.alice)
    (sent,) = alice.get(f"{POLICIES}/{policy.pk}/executions").json()
    assert (sent["status"], sent["vendor_type"], sent["extra_attrs"]["event_type"]) == (
        "Success",
        "WEBHOOK",
        "PUSH_ARTIFACT",
    )
    (task,) = alice.get(f"{POLICIES}/{policy.pk}/executions/{sent['id']}/tasks").json()
    log = alice.get(f"{POLICIES}/{policy.pk}/executions/{sent['id']}/tasks/{task['id']}/log").getvalue().decode()
    assert "answered 200" in log
    answer = alice.post(f"{POLICIES}/{policy.pk}/executions/{sent['id']}/redeliver", {})
    assert answer.status_code == 201
    work()
    first, second = receiver.received
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    # Where the new one's task and log are.
    (again,) = alice.get(answer["Location"].removeprefix("/api/v2.0")).json()
    number = str(again["execution_id"])
    jobs = alice.get(f"/projects/team/webhook/jobs?policy_id={policy.pk}&status=Success").json()
    assert [str(job["id"]) for job in jobs] == [number, str(sent["id"])]
    assert json.loads(jobs[0]["job_detail"])["type"] == "PUSH_ARTIFACT"
    (last,) = alice.get("/projects/team/webhook/lasttrigger").json()
    assert last["last_trigger_time"] >= sent["start_time"]


def test_when_each_kind_was_last_told_is_said_whoever_was_told_last(story: Story) -> None:
    both = make_policy(story.team, story.alice, name="both", event_types=("PUSH_ARTIFACT", "DELETE_ARTIFACT"))
    never = make_policy(story.team, story.alice, name="never")
    tell(both, "WEBHOOK", "PUSH_ARTIFACT", hours=3)
    tell(both, "SLACK", "PUSH_ARTIFACT", hours=2)
    tell(both, "WEBHOOK", "PUSH_ARTIFACT", hours=4)
    tell(both, "WEBHOOK", "QUOTA_EXCEED", hours=1)
    Execution.objects.create(
        vendor_type="REPLICATION", vendor_id=never.pk, trigger="EVENT", extra_attrs={"event_type": "PUSH_ARTIFACT"}
    )
    rows = Api(story.alice).get("/projects/team/webhook/lasttrigger").json()
    latest = Execution.objects.get(vendor_type="SLACK").start_time
    assert [(row["policy_name"], row["event_type"], row["last_trigger_time"]) for row in rows] == [
        ("both", "PUSH_ARTIFACT", api_json.time(latest)),
        ("both", "DELETE_ARTIFACT", api_json.NEVER),
        ("never", "PUSH_ARTIFACT", api_json.NEVER),
    ]


def test_when_each_kind_was_last_told_costs_the_same_however_much_was(story: Story) -> None:
    partitions.make_all()
    policy = make_policy(story.team, story.alice, event_types=("PUSH_ARTIFACT", "DELETE_ARTIFACT"))
    tell(policy, "WEBHOOK", "DELETE_ARTIFACT", hours=24 * 80)
    tell(policy, "WEBHOOK", "PUSH_ARTIFACT", hours=24, times=20_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE job_execution, job_task")
    with plans.statements() as asked:
        assert len(Api(story.alice).get("/projects/team/webhook/lasttrigger").json()) == 2
    found = [list(plans.nodes(sql, *arguments)) for sql, arguments in asked if sql.startswith(("SELECT", "EXECUTE"))]
    assert max(plans.rows_of(node) for plan in found for node in plan) < 100


def tell(policy: WebhookPolicy, kind: str, event_type: str, *, hours: int, times: int = 1) -> None:
    """It was told so many hours ago."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO job_execution (vendor_type, vendor_id, trigger, extra_attrs, start_time)"
            " SELECT %s, %s, 'EVENT', jsonb_build_object('event_type', %s::text),"
            " now() - make_interval(hours => %s, secs => number) FROM generate_series(1, %s) number",
            [kind, policy.pk, event_type, hours, times],
        )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "1 to 255"),
        ({"name": "x" * 256}, "1 to 255"),
        ({"event_types": []}, "PUSH_ARTIFACT"),
        ({"event_types": ["PUSHED"]}, "PUSH_ARTIFACT"),
        ({"targets": []}, "1 to 10"),
        ({"targets": [TARGET, TARGET]}, "twice"),
        ({"targets": [{**TARGET, "type": "mail"}]}, "http or slack"),
        ({"targets": [{**TARGET, "payload_format": "XML"}]}, "Default or CloudEvents"),
        ({"targets": [{**TARGET, "type": "slack", "payload_format": "Default"}]}, "not allowed"),
        ({"targets": [{**TARGET, "address": "ftp://example.com"}]}, "https://"),
        ({"targets": [{**TARGET, "address": "https://alice:pw@example.com"}]}, "https://"),
        ({"targets": [{**TARGET, "auth_header": "a\nHost: b"}]}, "one line"),
        ({"targets": [{**TARGET, "address": "http://169.254.169.254/latest"}]}, "metadata"),
    ],
)
def test_what_no_policy_may_say(story: Story, change: dict[str, Any], words: str) -> None:
    body = {"name": "ci", "event_types": ["PUSH_ARTIFACT"], "targets": [TARGET], "enabled": True, **change}
    answer = Api(story.alice).post(POLICIES, body)
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")
    assert words in answer.json()["errors"][0]["message"]
    assert not WebhookPolicy.objects.exists()


def test_one_name_is_one_policy_and_there_is_an_end_to_them(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"name": "ci", "event_types": ["PUSH_ARTIFACT"], "targets": [TARGET]}
    assert Api(story.alice).post(POLICIES, body).status_code == 201
    assert Api(story.alice).post(POLICIES, body).status_code == 409
    monkeypatch.setattr(webhook_policies, "MOST_POLICIES", 1)
    assert Api(story.alice).post(POLICIES, {**body, "name": "other"}).status_code == 412


def test_what_belongs_to_another_parent_does_not_exist(story: Story) -> None:
    """Mallory owns a project as well, and Alice has two policies: a number is good under its own parent alone."""
    mallory = rows.make_user("mallory2")
    own = rows.make_project("own", mallory)
    mine, sent, tried = rows.make_webhook(own)
    theirs, their_sent, their_tried = rows.make_webhook(story.team)
    other, other_sent, other_tried = rows.make_webhook(own)
    again, _ = rows.make_delivery(mine)
    policies = "/projects/own/webhook/policies"
    body = {"name": "x", "event_types": ["PUSH_ARTIFACT"], "targets": [TARGET]}
    wrong = [
        ("get", f"{policies}/{theirs.pk}"),
        ("put", f"{policies}/{theirs.pk}"),
        ("delete", f"{policies}/{theirs.pk}"),
        ("post", f"{policies}/{theirs.pk}/secret"),
        ("get", f"{policies}/{theirs.pk}/executions"),
        ("get", f"/projects/own/webhook/jobs?policy_id={theirs.pk}"),
        *[
            (method, f"{policies}/{policy.pk}/executions/{execution.id}/{rest}")
            for policy, execution, task in (
                (theirs, their_sent, their_tried),
                (mine, their_sent, their_tried),
                (mine, other_sent, other_tried),
                (other, sent, tried),
            )
            for method, rest in (("get", "tasks"), ("get", f"tasks/{task.id}/log"), ("post", "redeliver"))
        ],
        ("get", f"{policies}/{mine.pk}/executions/{sent.id}/tasks/{their_tried.id}/log"),
        ("get", f"{policies}/{mine.pk}/executions/{again.id}/tasks/{tried.id}/log"),
    ]
    api = Api(mallory)
    for method, path in wrong:
        answer = getattr(api, method)(path, body if method in ("put", "post") else None)
        assert answer.status_code == 404, (method, path, answer.content)
    assert api.get(f"{policies}/{mine.pk}/executions/{sent.id}/tasks/{tried.id}/log").status_code == 200
    assert WebhookPolicy.objects.count() == 3
    assert Task.objects.count() == 4
