"""What a webhook policy may say: Alice owns `team`."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from core import clock, errors, http
from projects import webhook_policies
from projects.models import AuditLog, WebhookPolicy, WebhookTarget
from tests.projects.webhooks import TARGET, make_policy
from tests.rows import Story, make_project


def terms(**facts: Any) -> webhook_policies.Terms:
    said = {"name": "ci", "description": "", "event_types": ["PUSH_ARTIFACT"], "targets": [TARGET], "enabled": True}
    return webhook_policies.checked(**{**said, **facts})


def target(**facts: Any) -> dict[str, Any]:
    return {**TARGET, "address": "https://8.8.8.8/hook", **facts}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"name": ""}, "1 to 255 characters"),
        ({"name": "x" * 256}, "1 to 255 characters"),
        ({"description": "x" * 4097}, "at most 4096 characters"),
        ({"event_types": []}, "at least one of PUSH_ARTIFACT"),
        ({"event_types": ["PUSH_CHART"]}, "unsupported event type 'PUSH_CHART'"),
        ({"targets": []}, "1 to 10 endpoints"),
        ({"targets": [TARGET] * 11}, "1 to 10 endpoints"),
        ({"targets": [TARGET, TARGET]}, "an endpoint twice"),
        ({"targets": [target(type="mail")]}, "unsupported target type 'mail': it is http or slack"),
        ({"targets": [target(payload_format="XML")]}, "unsupported payload format type 'XML'"),
        ({"targets": [target(type="slack", payload_format="Default")]}, "payload format is not allowed for slack"),
        ({"targets": [target(auth_header="a\r\nHost: b")]}, "auth_header is one line"),
        ({"targets": [target(auth_header="x" * 4097)]}, "auth_header is one line"),
        ({"targets": [target(auth_header="é")]}, "auth_header is one line"),
    ],
)
def test_what_a_policy_may_not_say(facts: dict[str, Any], reason: str) -> None:
    with pytest.raises(errors.BadRequest, match=reason):
        terms(**facts)


@pytest.mark.parametrize("address", ["", "example.com", "ftp://example.com", "http://a:b@example.com/", "http://a b/"])
def test_an_address_is_one_that_we_talk_to(address: str) -> None:
    with pytest.raises(http.AddressInvalid):
        terms(targets=[target(address=address)])


def test_names_that_nobody_answers_for_keep_a_thread_for_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may make a policy could else stop all of core with a name server that says nothing."""
    now = 1000.0

    def hang(url: str, *, seconds: float, **_: Any) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(http, "check", hang)
    monkeypatch.setattr(webhook_policies, "time", SimpleNamespace(monotonic=lambda: now))
    terms(targets=[target(address=f"https://slow{number}.example/") for number in range(10)])
    assert now <= 1003


@pytest.mark.parametrize("wrong", [target(type="mail"), target(auth_header="é"), target(address="x"), target()])
def test_a_refusal_names_the_endpoint_that_it_is_about(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.Refusal) as refused:
        terms(targets=[target(), wrong])
    assert refused.value.detail == {"target": 1}


@pytest.mark.django_db
def test_a_new_policy_has_a_secret_of_its_own_and_the_usual_format(story: Story) -> None:
    first, second = (make_policy(story.team, story.alice, name=name) for name in ("one", "two"))
    assert first.secret.startswith("whsec_")
    assert len(webhook_policies.secret_key(first.secret)) == 32
    assert first.secret != second.secret
    assert {row.payload_format for row in WebhookTarget.objects.all()} == {"Default"}
    assert AuditLog.objects.filter(resource_type="notification-policy", operation="create").count() == 2


@pytest.mark.django_db
def test_a_name_is_there_once_in_a_project(story: Story) -> None:
    make_policy(story.team, story.alice)
    with pytest.raises(errors.Conflict):
        make_policy(story.team, story.alice)
    make_policy(make_project("other", story.alice), story.alice)


@pytest.mark.django_db
def test_a_project_has_no_more_policies_than_each_event_can_read(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_policies, "MOST_POLICIES", 1)
    make_policy(story.team, story.alice)
    with pytest.raises(errors.Precondition):
        make_policy(story.team, story.alice, name="another")


@pytest.mark.django_db
def test_a_project_has_no_more_endpoints_than_each_event_can_be_told_to(story: Story) -> None:
    def save(policy: WebhookPolicy, count: int) -> None:
        many = [target(address=f"https://8.8.8.8/{number}") for number in range(count)]
        said = terms(name=policy.name, targets=many)
        webhook_policies.update(project=story.team, policy_id=policy.pk, terms=said, actor=story.alice)

    made = [make_policy(story.team, story.alice, name=str(number)) for number in range(5)]
    for policy in made[:4]:
        save(policy, 10)
    save(made[4], 9)
    last = make_policy(story.team, story.alice, name="last")
    with pytest.raises(errors.Precondition, match="has 49 endpoints in other webhook policies, and room for 50 in all"):
        save(last, 2)
    with pytest.raises(errors.Precondition, match="has 50 endpoints"):
        make_policy(story.team, story.alice, name="another")
    save(made[0], 9)
    save(last, 2)
    # Of its own project only.
    make_policy(make_project("other", story.alice), story.alice)


@pytest.mark.django_db
def test_saved_an_endpoint_is_on_again_and_those_not_named_are_gone(story: Story) -> None:
    policy = make_policy(story.team, story.alice, "https://8.8.8.8/a", "https://8.8.8.8/b")
    WebhookTarget.objects.update(disabled=policy.created, failing_since=policy.created)
    first = WebhookTarget.objects.get(policy=policy, position=0)
    webhook_policies.update(project=story.team, policy_id=policy.pk, terms=terms(targets=[target()]), actor=story.alice)
    (kept,) = WebhookTarget.objects.all()
    assert (kept.pk, kept.address, kept.disabled, kept.failing_since) == (
        first.pk,
        "https://8.8.8.8/hook",
        None,
        None,
    )


@pytest.mark.django_db
def test_endpoints_stay_who_they_are_in_whatever_order_they_are_said(story: Story) -> None:
    a, b, c, d = (f"https://8.8.8.8/{name}" for name in "abcd")

    def rows(*addresses: str) -> list[tuple[int, str]]:
        said = terms(targets=[target(address=address) for address in addresses])
        webhook_policies.update(project=story.team, policy_id=policy.pk, terms=said, actor=story.alice)
        return list(policy.targets.order_by("position").values_list("pk", "address"))

    policy = make_policy(story.team, story.alice, a, b)
    first, second = policy.targets.order_by("position").values_list("pk", flat=True)
    assert rows(b, a) == [(second, b), (first, a)]
    # One is replaced, and one is new.
    replaced = rows(c, b, d)
    assert replaced[:2] == [(first, c), (second, b)]
    assert replaced[2][0] not in (first, second)
    assert rows(b) == [(second, b)]


@pytest.mark.django_db
def test_an_endpoint_of_another_type_gets_nothing_of_what_waits(story: Story) -> None:
    """What waits is in words that it would not understand."""
    policy = make_policy(story.team, story.alice, "https://8.8.8.8/a", type="slack")
    before = policy.targets.get().pk
    for each, is_kept in ((target(address="https://8.8.8.8/b"), False), (target(address="https://8.8.8.8/c"), True)):
        said = terms(targets=[each])
        webhook_policies.update(project=story.team, policy_id=policy.pk, terms=said, actor=story.alice)
        row = policy.targets.get()
        assert (row.type, row.pk == before) == ("http", is_kept)
        before = row.pk


@pytest.mark.django_db
def test_a_policy_is_found_in_its_own_project_only(story: Story) -> None:
    policy, other = make_policy(story.team, story.alice), make_project("other", story.alice)
    with pytest.raises(errors.NotFound):
        webhook_policies.delete(project=other, policy_id=policy.pk, actor=story.alice)
    assert WebhookPolicy.objects.exists()


@pytest.mark.django_db
def test_switched_on_so_is_an_endpoint_that_was_off_for_its_failures(story: Story) -> None:
    policy = make_policy(story.team, story.alice)
    switch = partial(webhook_policies.switch, project=story.team, policy_id=policy.pk, actor=story.alice)
    WebhookTarget.objects.update(failing_since=clock.now(), disabled=clock.now())
    switch(enabled=False)
    assert not WebhookPolicy.objects.get().enabled
    assert WebhookTarget.objects.get().disabled
    switch(enabled=True)
    target = WebhookTarget.objects.get()
    assert (WebhookPolicy.objects.get().enabled, target.failing_since, target.disabled) == (True, None, None)
    assert AuditLog.objects.filter(operation="update", resource_type="notification-policy").count() == 2
    with pytest.raises(errors.NotFound):
        switch(policy_id=policy.pk + 1, enabled=True)
