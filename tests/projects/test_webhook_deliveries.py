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
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils.http import http_date

from core import addresses, clock, errors, http
from core.events import emit
from jobservice import relay, runner
from jobservice.models import Execution, Task, TaskLog
from projects import webhook_deliveries, webhook_history, webhook_policies
from projects.events import ArtifactDeleted
from projects.models import AuditLog, WebhookPolicy, WebhookTarget
from projects.webhook_deliveries import NotSent, is_last_try
from rbac.access import Actor
from tests import plans
from tests.projects.webhooks import DIGEST, TARGET, happen, make_policy, tags_told, work
from tests.receiver import Receiver, receiving, reply
from tests.rest import Api
from tests.rows import Story, make_artifact, make_index, make_repository

pytestmark = pytest.mark.django_db
SECRET = "Bearer of-nobody-else"


@pytest.fixture
def alice(story: Story) -> Any:
    return story.alice


def target_of(policy: WebhookPolicy, position: int = 0) -> WebhookTarget:
    return WebhookTarget.objects.get(policy=policy, position=position)


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
    policy = make_policy(story.team, alice, f"{receiver.url}/hook/hidden?key=hidden")
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
    assert f"nothing has arrived at {receiver.url} since" in row.description
    assert "hidden" not in row.description
    # Nothing waits for it from now on.
    happen(story.team, "v3")
    work()
    assert len(receiver.received) == 1
    assert Task.objects.count() == 2


@pytest.mark.parametrize(
    ("status", "asked", "wait", "said"),
    [
        (429, "120", 120, "answered 429 and asks us to wait 120 s"),
        (503, "120", 120, "answered 503 and asks us to wait 120 s"),
        (503, "86400", 600, "answered 503 and asks us to wait 86400 s"),
        (503, "1", 5, "answered 503 and asks us to wait 1 s"),
        (503, "tomorrow", 5, "answered 503"),
        (500, "120", 5, "answered 500"),
    ],
)
def test_a_receiver_that_asks_for_a_pause_gets_it_as_far_as_that_is_sensible(
    status: int, asked: str, wait: int, said: str, receiver: Receiver, story: Story, alice: Actor
) -> None:
    make_policy(story.team, alice, receiver.url)
    left = [status]
    receiver.answer = lambda handler, _: reply(handler, left.pop() if left else 200, Retry_After=asked)
    happen(story.team, "v1", "v2")
    work()
    first, second = Task.objects.order_by("id")
    assert round((first.due - first.update_time).total_seconds()) == wait
    assert first.status_message == f"the endpoint {said}"
    assert f"the next one is in {wait} s" in "".join(TaskLog.objects.values_list("text", flat=True))
    # What waits behind it is not sent meanwhile, nor is any of it a refusal.
    assert (second.status, first.state) == ("Pending", {})
    work(as_if_later=True)
    assert tags_told(receiver.documents) == ["v1", "v1", "v2"]


def test_a_pause_may_be_asked_for_until_a_time(
    receiver: Receiver, story: Story, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_policy(story.team, alice, receiver.url)
    now = int(clock.time())
    monkeypatch.setattr(clock, "time", lambda: now)
    receiver.answer = lambda handler, _: reply(handler, 429, Retry_After=http_date(now + 120))
    happen(story.team, "v1")
    work()
    assert Task.objects.get().status_message == "the endpoint answered 429 and asks us to wait 120 s"


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
    ("refusals", "hours", "last"),
    [(2, 1, False), (3, 0, True), (0, 23, False), (0, 24, True)],
)
def test_when_a_message_is_given_up(refusals: int, hours: int, last: bool) -> None:
    assert is_last_try(refusals=refusals, failing=timedelta(hours=hours)) is last


@pytest.mark.parametrize(
    ("since", "last", "hours"),
    [
        (None, None, 0),
        (30, 1, 30),
        # Nothing was to be sent for two days, or we were away ourselves.
        (50, 48, 0),
        # Written by a version that knew no last failure.
        (30, None, 30),
        # The clock was set back.
        (-1, -1, -1),
    ],
)
def test_since_when_an_endpoint_fails(since: int | None, last: int | None, hours: int) -> None:
    now = clock.now()
    ago = [None if each is None else now - timedelta(hours=each) for each in (since, last)]
    found = webhook_deliveries.failing_since(since=ago[0], last=ago[1], now=now)
    assert found == now - timedelta(hours=hours)


def test_who_was_away_and_refuses_when_he_is_back_has_refused_once(
    receiver: Receiver, story: Story, alice: Actor
) -> None:
    """What stands before a receiver that starts again says 404 for a while."""
    make_policy(story.team, alice, receiver.url)
    answers(receiver, 503, 503, 503, 404, 404)
    happen(story.team, "v1")
    work()
    for _ in range(5):
        work(as_if_later=True)
    assert len(receiver.received) == 6
    assert statuses() == ["Success"]


def test_one_failure_after_days_of_silence_switches_nothing_off(receiver: Receiver, story: Story, alice: Actor) -> None:
    """What was refused on Monday is no reason to give up on Wednesday."""
    policy = make_policy(story.team, alice, receiver.url)
    answers(receiver, 400, 400, 400, 503)
    happen(story.team, "v1")
    work()
    work(as_if_later=True)
    work(as_if_later=True)
    assert statuses() == ["Error"]
    two_days = timedelta(days=2)
    WebhookTarget.objects.update(failing_since=F("failing_since") - two_days, last_failed=F("last_failed") - two_days)
    happen(story.team, "v2")
    work()
    work(as_if_later=True)
    assert statuses() == ["Error", "Success"]
    policy.refresh_from_db()
    assert policy.enabled


def test_an_endpoint_that_was_saved_while_it_failed_stays_on(
    story: Story, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = make_policy(story.team, alice)
    fail_since(policy, timedelta(hours=25))
    terms = webhook_policies.checked(
        name="ci", description="", event_types=["PUSH_ARTIFACT"], targets=[TARGET], enabled=True
    )

    def be_saved(*_: Any, **__: Any) -> http.Answer:
        webhook_policies.update(project=story.team, policy_id=policy.pk, terms=terms, actor=alice)
        return http.Answer(500, b"")

    monkeypatch.setattr(http, "request", be_saved)
    happen(story.team, "v1")
    work()
    assert statuses() == ["Pending"]
    assert target_of(policy).disabled is None


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


def test_slacks_address_is_a_secret_in_the_log_too(receiver: Receiver, story: Story, alice: Actor) -> None:
    make_policy(story.team, alice, f"{receiver.url}/services/T0/B0/sesame", type="slack")
    happen(story.team, "v1")
    work()
    assert receiver.received[0].path == "/services/T0/B0/sesame"
    log = "".join(TaskLog.objects.values_list("text", flat=True))
    assert f"POST {receiver.url}/…" in log
    assert "sesame" not in log


# --- what goes with something else ---------------------------------------------------------------------------
def test_of_a_deleted_repository_each_artifact_is_told_but_not_the_parts_of_an_index(
    receiver: Receiver, story: Story, alice: Actor
) -> None:
    """As Harbor does it: `repository.Controller.Delete` deletes each root."""
    make_policy(story.team, alice, receiver.url, event_types=("DELETE_ARTIFACT",))
    place, other = make_repository(story.team, "app"), make_repository(story.team, "other")
    image, part = make_artifact(place, "v1", "v2"), make_artifact(place)
    index, signature = make_index(place, [part], "all"), make_artifact(place, subject=image)
    make_artifact(other, "v1")
    assert Api(story.alice).delete("/projects/team/repositories/app").status_code == 200
    work()
    resources = [[(each["digest"], each["tag"]) for each in told["event_data"]["resources"]]
                 for told in receiver.documents]  # fmt: skip
    assert resources == [
        [(image.digest, "v1"), (image.digest, "v2")], [(index.digest, "all")], [(signature.digest, signature.digest)]
    ]  # fmt: skip
    assert {told["operator"] for told in receiver.documents} == {"alice"}
    assert list(AuditLog.objects.values_list("operation", "resource_type", "resource").order_by("id"))[-1:] == [
        ("delete", "repository", "team/app")
    ]
    assert not AuditLog.objects.filter(resource_type="artifact").exists()


def test_what_hung_on_a_deleted_artifact_is_told_as_well(receiver: Receiver, story: Story, alice: Actor) -> None:
    make_policy(story.team, alice, receiver.url, event_types=("DELETE_ARTIFACT",))
    place = make_repository(story.team, "app")
    image = make_artifact(place, "v1")
    signature = make_artifact(place, subject=image)
    path = "/projects/team/repositories/app/artifacts"
    assert Api(story.alice).delete(f"{path}/{image.digest}").status_code == 200
    work()
    told = [document["event_data"]["resources"][0]["digest"] for document in receiver.documents]
    assert told == [image.digest, signature.digest]
    assert AuditLog.objects.filter(resource_type="artifact").count() == 1


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


def test_a_redirect_that_is_not_followed_says_so(receiver: Receiver, story: Story, alice: Actor) -> None:
    """What is sent would become a GET without a body by it."""
    receiver.answer = lambda handler, _: reply(handler, 302, Location=f"{receiver.url}/there")
    make_policy(story.team, alice, receiver.url)
    happen(story.team, "v1")
    work()
    assert len(receiver.received) == 1
    assert "answered 302; what is sent is sent on by 307 and 308 alone" in Task.objects.get().status_message


def test_a_redirect_into_a_forbidden_network_is_not_followed(receiver: Receiver, story: Story, alice: Actor) -> None:
    receiver.answer = lambda handler, _: reply(handler, 307, Location="http://169.254.169.254/latest/meta-data")
    make_policy(story.team, alice, receiver.url)
    happen(story.team, "v1")
    work()
    assert "a cloud's metadata service" in Task.objects.get().status_message


@pytest.mark.parametrize("address", ["http://127.0.0.1/x", "http://10.1.2.3/", "http://[::1]/", "http://0x7f.1/"])
def test_private_networks_are_refused_where_an_endpoint_is_set(address: str, story: Story, alice: Actor) -> None:
    with pytest.raises(http.ForbiddenAddress, match="WHARF_WEBHOOK_ALLOWED_NETWORKS"):
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
    webhook_history.redeliver(
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
    with pytest.raises(NotSent, match="switched off"):
        webhook_history.redeliver(
            project=story.team, policy_id=policy.pk, execution_id=Execution.objects.get().id, actor=alice
        )


def test_the_latest_delivery_is_of_each_policy_whatever_kind_its_endpoints_are(
    receiver: Receiver, story: Story, alice: Actor
) -> None:
    first = make_policy(story.team, alice, receiver.url, f"{receiver.url}/other", name="first")
    second = make_policy(story.team, alice, receiver.url, name="second", type="slack")
    silent = make_policy(story.team, alice, receiver.url, name="silent", event_types=("DELETE_ARTIFACT",))
    happen(story.team, "v1", "v2")
    work()
    latest = webhook_history.latest_of([first, second, silent])
    newest = {each.vendor_id: each.id for each in Execution.objects.order_by("id")}
    assert {policy_id: sent.id for policy_id, sent in latest.items()} == newest
    assert set(newest) == {first.pk, second.pk}
    assert webhook_history.latest_of([]) == {}


def test_what_is_wrong_at_an_endpoint_is_told_while_it_is_tried_and_afterwards(
    receiver: Receiver, story: Story, alice: Actor
) -> None:
    policy = make_policy(story.team, alice, receiver.url, f"{receiver.url}/other")
    assert webhook_history.trouble_at(target_of(policy, 0)) == ""
    receiver.answer = lambda handler, request: reply(handler, 500 if request.path == "/other" else 200)
    happen(story.team, "v1", "v2")
    work()
    assert [webhook_history.trouble_at(target_of(policy, at)) for at in (0, 1)] == ["", "the endpoint answered 500"]
    fail_since(policy, timedelta(hours=25))
    work(as_if_later=True)
    assert Task.objects.unfinished().count() == 0
    assert [webhook_history.trouble_at(target_of(policy, at)) for at in (0, 1)] == ["", "the endpoint answered 500"]


def test_nothing_of_another_policy_is_redelivered(receiver: Receiver, story: Story, alice: Actor) -> None:
    make_policy(story.team, alice, receiver.url)
    other = make_policy(story.team, alice, receiver.url, name="other", event_types=("DELETE_ARTIFACT",))
    happen(story.team, "v1")
    work()
    with pytest.raises(errors.NotFound):
        webhook_history.redeliver(
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


def test_what_waits_stays_with_its_endpoint_when_a_policy_is_saved(
    receiver: Receiver, story: Story, alice: Actor
) -> None:
    policy = make_policy(story.team, alice, f"{receiver.url}/away", f"{receiver.url}/gone", f"{receiver.url}/here")
    receiver.answer = lambda handler, request: reply(handler, 200 if request.path == "/here" else 503)
    happen(story.team, "v1")
    work()
    receiver.received.clear()
    receiver.answer = lambda handler, _: reply(handler, 200)
    terms = webhook_policies.checked(
        name="ci",
        description="",
        event_types=["PUSH_ARTIFACT"],
        targets=[{**TARGET, "address": f"{receiver.url}/{name}"} for name in ("here", "away")],
        enabled=True,
    )
    webhook_policies.update(project=story.team, policy_id=policy.pk, terms=terms, actor=alice)
    work(as_if_later=True)
    assert [each.path for each in receiver.received] == ["/away"]


def test_much_for_many_is_told_and_written_in_parts(story: Story, alice: Actor) -> None:
    """Else whoever deletes something with many tags fills the memory of who relays, and later of who lists what was
    sent."""
    make_policy(
        story.team, alice, *(f"https://example.com/{number}" for number in range(10)), event_types=["DELETE_ARTIFACT"]
    )
    tags = tuple(f"v{number}" for number in range(3000))
    with transaction.atomic():
        emit(
            ArtifactDeleted(
                actor="bob",
                project_id=story.team.pk,
                project="team",
                repository="team/app",
                digest=DIGEST,
                tags=tags,
            )
        )
    with CaptureQueriesContext(connection) as asked:
        relay.run()
    assert max(len(query["sql"]) for query in asked) < 3_000_000
    for target in WebhookTarget.objects.all():
        params = list(Task.objects.filter(series=target.series).order_by("id").values_list("params", flat=True))
        documents = [json.loads(each["body"]) for each in params]
        assert len({each["message"] for each in params}) == 30
        assert max(len(each["event_data"]["resources"]) for each in documents) == 100
        assert tuple(each["tag"] for one in documents for each in one["event_data"]["resources"]) == tags


def test_the_relay_reads_no_secrets_and_nothing_that_may_be_long(story: Story, alice: Actor) -> None:
    make_policy(story.team, alice)
    happen(story.team, "v1")
    with CaptureQueriesContext(connection) as asked:
        relay.run()
    (read,) = [query["sql"] for query in asked if 'FROM "projects_webhooktarget"' in query["sql"]]
    assert not [name for name in ("auth_header", "secret", "description", "address") if f'"{name}"' in read]
    assert Task.objects.exists()


def test_what_a_message_costs_is_counted(
    receiver: Receiver, story: Story, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No connection of its own. Its endpoint; and in one transaction, which is a savepoint here, its log, its end, its
    execution's row, tasks and end, and the next one's begin."""
    # All in one turn, however slow the machine is.
    monkeypatch.setattr(runner, "TURN_SECONDS", 60.0)
    make_policy(story.team, alice, receiver.url)
    costs = []
    for number in (1, 11):
        happen(story.team, *(f"v{number}.{each}" for each in range(number)))
        relay.run()
        first = Task.objects.pending().earliest("id")
        with plans.statements() as asked:
            runner.run(first.id, worker="test/1")
        costs.append(len(asked))
    assert set(statuses()) == {"Success"}
    assert costs[1] - costs[0] == 10 * (1 + 2 + 6)
    assert (len(receiver.received), receiver.connections) == (12, 1)


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
