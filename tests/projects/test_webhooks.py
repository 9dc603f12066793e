"""Webhooks: what endpoints are told, in which order, and what happens when they do not listen.

Expected payloads are written by hand from Harbor's documentation, signatures computed as Standard Webhooks describes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from core import clock, configuration, errors, http
from core.addresses import Reach
from jobservice import relay
from jobservice.models import Execution, Task
from projects import webhook_deliveries, webhook_policies
from projects.models import AuditLog, WebhookPolicy, WebhookTarget
from rbac.roles import Role
from tests import rows
from tests.projects.webhooks import DIGEST, TARGET, happen, make_policy, tags_told, work
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


# --- what is told -----------------------------------------------------------------------------------------------
def test_a_push_is_told_in_harbors_words(story: Story, receiver: Receiver, settings: Any) -> None:
    settings.EXTERNAL_HOST = "wharf.example.com"
    app = rows.make_repository(story.team, "app")
    policy_with(receiver, story)
    happen(story.team, "v1")
    work()
    (told,) = receiver.received
    assert (told.method, told.path) == ("POST", "/hook?key=kept")
    assert told.headers["content-type"] == "application/json"
    occurred = told.document["occur_at"]
    assert abs(clock.now().timestamp() - occurred) < 60
    assert told.document == {
        "type": "PUSH_ARTIFACT",
        "occur_at": occurred,
        "operator": "bob",
        "event_data": {
            "resources": [{"digest": DIGEST, "tag": "v1", "resource_url": "wharf.example.com/team/app:v1"}],
            "repository": {
                "date_created": int(app.created.timestamp()),
                "name": "app",
                "namespace": "team",
                "repo_full_name": "team/app",
                "repo_type": "private",
            },
        },
    }


def test_the_same_as_a_cloud_event(story: Story, receiver: Receiver) -> None:
    rows.make_repository(story.team, "app")
    policy = policy_with(receiver, story, payload_format="CloudEvents")
    happen(story.team, "v1")
    work()
    (told,) = receiver.received
    assert told.headers["content-type"] == "application/cloudevents+json"
    event = told.document
    assert event["specversion"] == "1.0"
    assert event["type"] == "harbor.artifact.pushed"
    assert event["source"] == f"/projects/{story.team.pk}/webhook/policies/{policy.pk}"
    assert event["datacontenttype"] == "application/json"
    assert event["operator"] == "bob"
    assert event["time"].endswith("Z")
    assert event["data"]["repository"]["repo_full_name"] == "team/app"
    assert event["id"] == told.headers["webhook-id"]


def test_slack_is_told_in_blocks_where_names_call_nobody(story: Story, receiver: Receiver) -> None:
    policy_with(receiver, story, type="slack")
    happen(story.team, "<!channel>&```")
    work()
    (told,) = receiver.received
    assert {block["type"] for block in told.document["blocks"]} == {"section"}
    text = " ".join(block["text"]["text"] for block in told.document["blocks"])
    assert "*event_type:* PUSH_ARTIFACT" in text
    assert "&lt;!channel&gt;&amp;" in text
    assert "<!channel>" not in text
    assert "webhook-signature" not in told.headers


def test_what_nobody_asked_for_is_not_told(story: Story, receiver: Receiver) -> None:
    policy_with(receiver, story, event_types=("DELETE_ARTIFACT",))
    policy_with(receiver, story, name="off", enabled=False)
    other = rows.make_project("other", story.alice)
    make_policy(other, story.alice, receiver.url)
    happen(story.team, "v1")
    work()
    assert receiver.received == []


def test_an_admin_switches_all_of_it_off(story: Story, receiver: Receiver) -> None:
    policy_with(receiver, story)
    configuration.change(actor="root", notification_enable=False)
    happen(story.team, "v1")
    work()
    assert receiver.received == []


# --- who says so ------------------------------------------------------------------------------------------------
def test_receivers_can_tell_that_it_is_us(story: Story, receiver: Receiver) -> None:
    policy = policy_with(receiver, story, auth_header="Bearer Sesame-1")
    secret = Api(story.alice).post(f"{POLICIES}/{policy.pk}/secret", {}).json()["secret"]
    happen(story.team, "v1")
    work()
    (told,) = receiver.received
    assert told.headers["authorization"] == "Bearer Sesame-1"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join([told.headers["webhook-id"].encode(), told.headers["webhook-timestamp"].encode(), told.body])
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert told.headers["webhook-signature"] == f"v1,{expected}"


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


# --- endpoints that do not listen -------------------------------------------------------------------------------
def test_who_was_away_hears_all_of_it_in_order(story: Story, receiver: Receiver) -> None:
    policy_with(receiver, story)
    receiver.close()
    happen(story.team, "v1", "v2", "v3")
    work()
    assert Task.objects.pending().count() == 3
    happen(story.team, "v4")
    receiver.open()
    work(as_if_later=True)
    work(as_if_later=True)
    assert tags_told(receiver.documents) == ["v1", "v2", "v3", "v4"]
    assert set(Execution.objects.filter(vendor_type="WEBHOOK").values_list("status", flat=True)) == {"Success"}
    assert WebhookTarget.objects.get().failing_since is None


def test_one_who_answers_500_is_asked_again(story: Story, receiver: Receiver) -> None:
    policy_with(receiver, story)
    receiver.answer = lambda handler, _: reply(handler, 500 if len(receiver.received) < 5 else 204)
    happen(story.team, "v1", "v2")
    for _ in range(6):
        work(as_if_later=True)
    assert tags_told(receiver.documents) == ["v1"] * 5 + ["v2"]
    assert len({each.headers["webhook-id"] for each in receiver.received}) == 2


def test_one_who_refuses_a_message_is_spared_it_after_three_times(story: Story, receiver: Receiver) -> None:
    policy_with(receiver, story)
    receiver.answer = lambda handler, got: reply(handler, 400 if b'"v1"' in got.body else 200)
    happen(story.team, "v1", "v2")
    for _ in range(4):
        work(as_if_later=True)
    assert tags_told(receiver.documents) == ["v1", "v1", "v1", "v2"]
    failed = Execution.objects.get(vendor_type="WEBHOOK", status="Error")
    assert failed.status_message == "the endpoint answered 400"


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


@pytest.mark.parametrize(
    ("is_refused", "attempt", "hours", "expected"),
    [(True, 2, 0, False), (True, 3, 0, True), (False, 100, 23, False), (False, 100, 24, True), (True, 1, 24, True)],
)
def test_when_a_message_is_given_up(is_refused: bool, attempt: int, hours: int, expected: bool) -> None:
    failing = timedelta(hours=hours)
    assert webhook_deliveries.is_last_try(is_refused=is_refused, attempt=attempt, failing=failing) is expected


def test_what_waits_for_a_deleted_policy_is_not_sent(story: Story, receiver: Receiver) -> None:
    policy = policy_with(receiver, story)
    happen(story.team, "v1")
    relay.run()
    assert Api(story.alice).delete(f"{POLICIES}/{policy.pk}").status_code == 200
    work()
    assert receiver.received == []
    assert Execution.objects.get(vendor_type="WEBHOOK").status == "Stopped"


# --- once more --------------------------------------------------------------------------------------------------
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
    number = answer["Location"].rpartition("/")[2]
    jobs = alice.get(f"/projects/team/webhook/jobs?policy_id={policy.pk}&status=Success").json()
    assert [str(job["id"]) for job in jobs] == [number, str(sent["id"])]
    assert json.loads(jobs[0]["job_detail"])["type"] == "PUSH_ARTIFACT"
    (last,) = alice.get("/projects/team/webhook/lasttrigger").json()
    assert last["last_trigger_time"] >= sent["start_time"]


# --- bad input --------------------------------------------------------------------------------------------------
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


def test_networks_that_nobody_allowed_are_out_of_reach(
    story: Story, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy_with(receiver, story)
    monkeypatch.setattr(http, "OF_PROJECTS", Reach())
    with pytest.raises(errors.Refusal, match="loopback"):
        policy_with(receiver, story, name="other")
    # Also where it was allowed once, or the name has come to mean something else.
    happen(story.team, "v1")
    work()
    assert receiver.received == []


def test_one_name_is_one_policy_and_there_is_an_end_to_them(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"name": "ci", "event_types": ["PUSH_ARTIFACT"], "targets": [TARGET]}
    assert Api(story.alice).post(POLICIES, body).status_code == 201
    assert Api(story.alice).post(POLICIES, body).status_code == 409
    monkeypatch.setattr(webhook_policies, "MOST_POLICIES", 1)
    assert Api(story.alice).post(POLICIES, {**body, "name": "other"}).status_code == 412
