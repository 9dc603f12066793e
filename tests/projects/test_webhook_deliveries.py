"""Deliveries to a real receiver: each endpoint hears in order and at least once, and nobody else hears its secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core import addresses, clock, errors, http
from jobservice import relay
from jobservice.models import Execution, Task, TaskLog
from projects import webhook_deliveries, webhook_policies
from projects.models import AuditLog, WebhookPolicy, WebhookTarget
from projects.webhook_deliveries import is_last_try
from rbac.access import Actor
from tests.projects.webhooks import happen, make_policy, tags_told, work
from tests.receiver import Receiver, receiving, reply
from tests.rows import Story

pytestmark = pytest.mark.django_db
SECRET = "Bearer of-nobody-else"


@pytest.fixture
def alice(story: Story) -> Any:
    return story.alice


def target_of(policy: WebhookPolicy) -> WebhookTarget:
    return WebhookTarget.objects.get(policy=policy)


def fail_since(policy: WebhookPolicy, ago: timedelta) -> None:
    WebhookTarget.objects.filter(policy=policy).update(failing_since=clock.now() - ago)


def statuses() -> list[str]:
    return list(Task.objects.order_by("id").values_list("status", flat=True))


def answers(receiver: Receiver, *codes: int) -> None:
    """Answer these, one a request, and 200 afterwards."""
    left = list(codes)
    receiver.answer = lambda handler, _: reply(handler, left.pop(0) if left else 200)


def test_what_happens_is_told_in_order_to_each_endpoint(receiver: Receiver, story: Story, alice: Actor) -> None:
    make_policy(story.team, alice, f"{receiver.url}/a", f"{receiver.url}/b")
    happen(story.team, "v1", "v2", "v3")
    work()
    for path in ("/a", "/b"):
        told = [each.document for each in receiver.received if each.path == path]
        assert tags_told(told) == ["v1", "v2", "v3"]
    assert {each.method for each in receiver.received} == {"POST"}
    assert statuses() == ["Success"] * 6
    assert set(Execution.objects.values_list("status", "vendor_type")) == {("Success", "WEBHOOK")}


def test_nobody_hears_who_does_not_want_to(receiver: Receiver, story: Story, alice: Actor) -> None:
    make_policy(story.team, alice, receiver.url, name="off", enabled=False)
    make_policy(story.team, alice, receiver.url, name="other", event_types=("DELETE_ARTIFACT",))
    happen(story.team, "v1")
    work()
    assert receiver.received == []
    assert not Task.objects.exists()


def test_a_failure_makes_what_follows_wait(receiver: Receiver, story: Story, alice: Actor) -> None:
    make_policy(story.team, alice, receiver.url)
    answers(receiver, 500)
    happen(story.team, "v1", "v2")
    work()
    assert tags_told(receiver.documents) == ["v1"]
    assert statuses() == ["Pending", "Pending"]
    work(as_if_later=True)
    assert tags_told(receiver.documents) == ["v1", "v1", "v2"]
    assert statuses() == ["Success", "Success"]


def test_another_endpoint_does_not_wait_for_one_that_fails(receiver: Receiver, story: Story, alice: Actor) -> None:
    make_policy(story.team, alice, f"{receiver.url}/bad", f"{receiver.url}/good")
    receiver.answer = lambda handler, request: reply(handler, 500 if request.path == "/bad" else 200)
    happen(story.team, "v1", "v2")
    work()
    assert tags_told([each.document for each in receiver.received if each.path == "/good"]) == ["v1", "v2"]


def test_a_receiver_that_was_away_hears_everything_in_order(receiver: Receiver, story: Story, alice: Actor) -> None:
    policy = make_policy(story.team, alice, receiver.url)
    receiver.close()
    happen(story.team, "v1", "v2", "v3")
    work()
    work(as_if_later=True)
    assert receiver.received == []
    assert target_of(policy).failing_since is not None
    receiver.open()
    work(as_if_later=True)
    assert tags_told(receiver.documents) == ["v1", "v2", "v3"]
    assert target_of(policy).failing_since is None


def test_a_receiver_that_hangs_is_left_in_time(
    receiver: Receiver, story: Story, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_policy(story.team, alice, receiver.url)
    monkeypatch.setattr(webhook_deliveries, "LIMITS", http.Limits(silence_seconds=0.2, total_seconds=0.5))
    receiver.answer = lambda handler, _: time.sleep(3)
    happen(story.team, "v1")
    work()
    task = Task.objects.get()
    assert task.status == "Pending"
    assert "did not answer in time" in task.status_message


def test_what_is_refused_three_times_is_given_up_and_the_next_one_goes(
    receiver: Receiver, story: Story, alice: Actor
) -> None:
    make_policy(story.team, alice, receiver.url)
    answers(receiver, 400, 400, 400)
    happen(story.team, "v1", "v2")
    work()
    work(as_if_later=True)
    work(as_if_later=True)
    assert tags_told(receiver.documents) == ["v1", "v1", "v1", "v2"]
    assert statuses() == ["Error", "Success"]
    assert Task.objects.order_by("id")[0].status_message == "the endpoint answered 400"


def test_after_a_day_of_failures_an_endpoint_is_switched_off(receiver: Receiver, story: Story, alice: Actor) -> None:
    policy = make_policy(story.team, alice, f"{receiver.url}/hook?key=hidden")
    answers(receiver, 500)
    fail_since(policy, timedelta(hours=25))
    happen(story.team, "v1", "v2")
    work()
    policy.refresh_from_db()
    assert target_of(policy).disabled is not None
    assert not policy.enabled
    assert statuses() == ["Error", "Stopped"]
    row = AuditLog.objects.get(operation="disable", resource_type="notification-policy")
    assert (row.username, row.resource) == ("system", "team/ci")
    assert "hidden" not in row.description
    # Nothing waits for it from now on.
    happen(story.team, "v3")
    work()
    assert len(receiver.received) == 1
    assert Task.objects.count() == 2


def test_an_hour_of_failures_switches_nothing_off(receiver: Receiver, story: Story, alice: Actor) -> None:
    policy = make_policy(story.team, alice, receiver.url)
    answers(receiver, 500)
    fail_since(policy, timedelta(hours=1))
    happen(story.team, "v1")
    work()
    assert target_of(policy).disabled is None
    work(as_if_later=True)
    assert statuses() == ["Success"]


@pytest.mark.parametrize(
    ("refused", "attempt", "hours", "last"),
    [(True, 2, 1, False), (True, 3, 0, True), (False, 99, 23, False), (False, 1, 24, True)],
)
def test_when_a_message_is_given_up(refused: bool, attempt: int, hours: int, last: bool) -> None:
    assert is_last_try(is_refused=refused, attempt=attempt, failing=timedelta(hours=hours)) is last


# --- secrets and signatures -----------------------------------------------------------------------------------
def test_the_authorization_header_is_sent_and_found_nowhere_else(
    receiver: Receiver, story: Story, alice: Actor
) -> None:
    policy = make_policy(story.team, alice, receiver.url, auth_header=SECRET)
    happen(story.team, "v1")
    work()
    assert receiver.received[0].headers["authorization"] == SECRET
    everything = json.dumps(
        [
            list(TaskLog.objects.values_list("text", flat=True)),
            list(Task.objects.values_list("params", "extra_attrs", "status_message", "state")),
            list(Execution.objects.values_list("extra_attrs", "status_message")),
            list(AuditLog.objects.values_list("description", flat=True)),
        ]
    )
    assert "(hidden)" in everything
    assert SECRET not in everything
    assert policy.secret not in everything


def test_both_secrets_are_encrypted_at_rest(story: Story, alice: Actor) -> None:
    policy = make_policy(story.team, alice, auth_header=SECRET)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.secret, t.auth_header FROM projects_webhookpolicy p JOIN projects_webhooktarget t"
            " ON t.policy_id = p.id"
        )
        (kept,) = cursor.fetchall()
    assert not {policy.secret, SECRET} & set(kept)
    assert all(kept)
    assert target_of(policy).auth_header == SECRET


def test_the_signature_is_the_one_of_standard_webhooks(receiver: Receiver, story: Story, alice: Actor) -> None:
    policy = make_policy(story.team, alice, receiver.url)
    happen(story.team, "v1")
    work()
    (received,) = receiver.received
    id, moment = received.headers["webhook-id"], received.headers["webhook-timestamp"]
    key = base64.b64decode(policy.secret.removeprefix("whsec_"))
    expected = hmac.new(key, f"{id}.{moment}.".encode() + received.body, hashlib.sha256).digest()
    assert received.headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert abs(int(moment) - clock.time()) < 60


def test_the_check_that_the_documentation_shows_tells_ours_from_others(
    receiver: Receiver, story: Story, alice: Actor
) -> None:
    shown: dict[str, Any] = {}
    page = (settings.BASE_DIR / "docs" / "webhooks.md").read_text()
    exec(page.partition("```python\n")[2].partition("```")[0], shown)  # noqa: S102 - our own page
    policy = make_policy(story.team, alice, receiver.url)
    happen(story.team, "v1")
    work()
    (received,) = receiver.received
    assert shown["is_genuine"](policy.secret, received.headers, received.body)
    assert not shown["is_genuine"](policy.secret, received.headers, received.body + b" ")
    late = {**received.headers, "webhook-timestamp": "1764111600"}
    assert not shown["is_genuine"](policy.secret, late, received.body)


def test_another_secret_signs_what_is_sent_from_then_on(receiver: Receiver, story: Story, alice: Actor) -> None:
    policy = make_policy(story.team, alice, receiver.url)
    new = webhook_policies.change_secret(project=story.team, policy_id=policy.pk, actor=alice)
    assert new != policy.secret
    happen(story.team, "v1")
    work()
    (received,) = receiver.received
    assert received.headers["webhook-signature"] == webhook_deliveries.signature(
        secret=new,
        message_id=received.headers["webhook-id"],
        timestamp=int(received.headers["webhook-timestamp"]),
        body=received.body.decode(),
    )


def test_slack_is_told_blocks_without_a_signature(receiver: Receiver, story: Story, alice: Actor) -> None:
    make_policy(story.team, alice, receiver.url, type="slack")
    happen(story.team, "v1")
    work()
    (received,) = receiver.received
    assert "webhook-signature" not in received.headers
    assert received.document["blocks"][1]["text"]["text"] == "*event_type:* PUSH_ARTIFACT"
    assert Execution.objects.get().vendor_type == "SLACK"


# --- where to -------------------------------------------------------------------------------------------------
def test_a_redirect_to_somebody_else_loses_the_header(receiver: Receiver, story: Story, alice: Actor) -> None:
    with receiving() as other:
        receiver.answer = lambda handler, _: reply(handler, 307, Location=f"{other.url}/there")
        make_policy(story.team, alice, receiver.url, auth_header=SECRET)
        happen(story.team, "v1")
        work()
        (received,) = other.received
    assert "authorization" not in received.headers
    assert tags_told([received.document]) == ["v1"]


def test_a_redirect_into_a_forbidden_network_is_not_followed(receiver: Receiver, story: Story, alice: Actor) -> None:
    receiver.answer = lambda handler, _: reply(handler, 307, Location="http://169.254.169.254/latest/meta-data")
    make_policy(story.team, alice, receiver.url)
    happen(story.team, "v1")
    work()
    assert "a cloud's metadata service" in Task.objects.get().status_message


@pytest.mark.parametrize("address", ["http://127.0.0.1/x", "http://10.1.2.3/", "http://[::1]/", "http://0x7f.1/"])
def test_private_networks_are_refused_where_an_endpoint_is_set(address: str, story: Story, alice: Actor) -> None:
    with pytest.raises(http.ForbiddenAddress):
        make_policy(story.team, alice, address)


def test_what_was_allowed_once_and_is_not_any_more_gets_nothing(
    receiver: Receiver, story: Story, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_policy(story.team, alice, receiver.url)
    monkeypatch.setattr(http, "OF_PROJECTS", addresses.Reach())
    happen(story.team, "v1")
    work()
    assert receiver.received == []
    assert "requests may not go to 127.0.0.1" in Task.objects.get().status_message


# --- once more ------------------------------------------------------------------------------------------------
def test_redelivered_is_the_same_message_under_the_same_id(receiver: Receiver, story: Story, alice: Actor) -> None:
    policy = make_policy(story.team, alice, receiver.url)
    happen(story.team, "v1")
    work()
    webhook_deliveries.redeliver(
        project=story.team, policy_id=policy.pk, execution_id=Execution.objects.get().id, actor=alice
    )
    work()
    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_nothing_is_redelivered_while_its_policy_is_off(receiver: Receiver, story: Story, alice: Actor) -> None:
    policy = make_policy(story.team, alice, receiver.url)
    happen(story.team, "v1")
    work()
    WebhookPolicy.objects.update(enabled=False)
    with pytest.raises(errors.Precondition, match="switched off"):
        webhook_deliveries.redeliver(
            project=story.team, policy_id=policy.pk, execution_id=Execution.objects.get().id, actor=alice
        )


def test_nothing_of_another_policy_is_redelivered(receiver: Receiver, story: Story, alice: Actor) -> None:
    make_policy(story.team, alice, receiver.url)
    other = make_policy(story.team, alice, receiver.url, name="other", event_types=("DELETE_ARTIFACT",))
    happen(story.team, "v1")
    work()
    with pytest.raises(errors.NotFound):
        webhook_deliveries.redeliver(
            project=story.team, policy_id=other.pk, execution_id=Execution.objects.get().id, actor=alice
        )


def test_what_waits_for_a_deleted_policy_is_not_sent(receiver: Receiver, story: Story, alice: Actor) -> None:
    policy = make_policy(story.team, alice, receiver.url)
    answers(receiver, 500)
    happen(story.team, "v1")
    work()
    webhook_policies.delete(project=story.team, policy_id=policy.pk, actor=alice)
    work(as_if_later=True)
    assert len(receiver.received) == 1
    assert statuses() == ["Stopped"]


def test_to_relay_fifty_events_costs_no_more_questions_than_one(story: Story, alice: Actor) -> None:
    make_policy(story.team, alice)
    relay.run()
    costs = []
    for number in (1, 50):
        happen(story.team, *(f"v{number}.{each}" for each in range(number)))
        with CaptureQueriesContext(connection) as asked:
            relay.run()
        costs.append(len(asked))
    assert costs[0] == costs[1]
    assert Task.objects.filter(vendor_type="WEBHOOK").count() == 51
    print(f"\n{costs[1]} statements")
