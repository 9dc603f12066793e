"""Secrets of webhooks when their keys are changed, wrong or lost: what happens meanwhile is told once they are back."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from core import fields
from jobservice.models import Task
from projects import webhook_policies
from projects.models import WebhookPolicy, WebhookTarget
from tests.projects.webhooks import happen, make_policy, tags_told, work
from tests.receiver import Receiver
from tests.rest import Api
from tests.rows import Story

pytestmark = pytest.mark.django_db
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
HEADER = "Bearer of-nobody-else"


class Keys:
    """What `fernet-key` holds, as a process that was just started has it."""

    def __init__(self, settings: Any) -> None:
        self._settings = settings

    def are(self, *keys: str) -> None:
        self._settings.ENCRYPTION_KEYS = list(keys)
        fields.keys.cache_clear()


@pytest.fixture
def keys(settings: Any) -> Iterator[Keys]:
    yield Keys(settings)
    fields.keys.cache_clear()


@pytest.fixture
def policy(keys: Keys, story: Story, receiver: Receiver) -> WebhookPolicy:
    """Of the old key's time."""
    keys.are(OLD)
    return make_policy(story.team, story.alice, receiver.url, auth_header=HEADER)


def reencrypt(*options: str) -> str:
    output = StringIO()
    call_command("reencrypt", *options, stdout=output)
    return output.getvalue()


def stored() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM projects_webhookpolicy UNION SELECT auth_header FROM projects_webhooktarget")
        return [text for (text,) in cursor.fetchall()]


def test_after_reencrypt_the_new_key_alone_will_do_and_the_old_one_opens_nothing(
    policy: WebhookPolicy, keys: Keys, story: Story, receiver: Receiver
) -> None:
    keys.are(NEW, OLD)
    assert reencrypt() == "projects.WebhookPolicy.secret: 1\nprojects.WebhookTarget.auth_header: 1\n"
    assert all(Fernet(NEW).decrypt(text) for text in stored())
    keys.are(OLD)
    with pytest.raises(fields.Undecryptable, match="put it there as another line"):
        WebhookTarget.objects.get()
    keys.are(NEW)
    happen(story.team, "v1")
    work()
    assert receiver.received[0].headers["authorization"] == HEADER
    assert WebhookPolicy.objects.get().secret == policy.secret


def test_what_happens_while_the_key_is_a_wrong_one_is_told_when_it_is_back(
    policy: WebhookPolicy, keys: Keys, story: Story, receiver: Receiver
) -> None:
    keys.are(NEW)
    happen(story.team, "v1", "v2")
    work()
    work(as_if_later=True)
    assert receiver.received == []
    first, second = Task.objects.order_by("id")
    assert (first.status, second.status) == ("Pending", "Pending")
    assert "a key that is not in `fernet-key`" in first.status_message
    assert OLD not in first.status_message
    assert WebhookTarget.objects.defer("auth_header").get().failing_since is None
    keys.are(NEW, OLD)
    work(as_if_later=True)
    assert tags_told(receiver.documents) == ["v1", "v2"]


def test_who_asks_meanwhile_hears_what_is_wrong(policy: WebhookPolicy, keys: Keys, story: Story) -> None:
    keys.are(NEW)
    answer = Api(story.alice).get(f"/projects/team/webhook/policies/{policy.pk}")
    assert answer.status_code == 500
    assert "a key that is not in `fernet-key`" in answer.json()["errors"][0]["message"]


def test_reencrypt_stops_at_what_it_cannot_read_and_loses_nothing(policy: WebhookPolicy, keys: Keys) -> None:
    before = stored()
    keys.are(NEW)
    with pytest.raises(CommandError, match=rf"projects.WebhookPolicy {policy.pk}: .* say --forget-lost"):
        reencrypt()
    assert stored() == before


def test_when_the_key_is_lost_for_good_policies_can_be_given_other_secrets(
    policy: WebhookPolicy, keys: Keys, story: Story, receiver: Receiver
) -> None:
    keys.are(NEW)
    other = make_policy(story.team, story.alice, receiver.url, name="later", auth_header=HEADER)
    said = "projects.WebhookPolicy.secret: 1, and 1 forgotten\nprojects.WebhookTarget.auth_header: 1, and 1 forgotten\n"
    assert reencrypt("--forget-lost") == said
    assert WebhookPolicy.objects.get(pk=other.pk).secret == other.secret
    happen(story.team, "v1")
    work()
    # Rather unsigned than signed with a key that everybody knows.
    assert sorted(
        ("authorization" in each.headers, "webhook-signature" in each.headers) for each in receiver.received
    ) == [(False, False), (True, True)]
    assert webhook_policies.change_secret(project=story.team, policy_id=policy.pk, actor=story.alice)
    happen(story.team, "v2")
    work()
    assert all("webhook-signature" in each.headers for each in receiver.received[2:])
