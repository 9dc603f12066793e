"""manage.py seed_demo: a small demo that is as real as what people push, and rows to measure with."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from itertools import islice
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient

from bench.lists import LISTS
from core import clock, locks
from core.store import client
from jobservice import schedules
from jobservice.models import Execution, Schedule, Task, TaskLog
from projects import quotas, webhook_history
from projects.demo import seeding
from projects.demo import size as sizes
from projects.demo.size import LARGE, SMALL
from projects.models import (
    Accessory,
    Artifact,
    AuditLog,
    ImmutableRule,
    Member,
    Project,
    Quota,
    Repository,
    Tag,
    WebhookPolicy,
    WebhookTarget,
)
from rbac.models import Robot, User
from registry.verify import verify
from tests import factories
from tests.old_registry import STORE
from tests.registry.test_door import token_for

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_store")]
# As the large one is made, of what a test has time for.
FEW = replace(LARGE, users=20, groups=3, projects=12, repositories=60, artifacts=400, tags_of_one=50, each=3, crowd=9,
              log=120, deliveries=40, runs=6, schedules=5)  # fmt: skip


def seed(name: str = "small") -> str:
    output = StringIO()
    call_command("seed_demo", "--size", name, stdout=output)
    return output.getvalue()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sizes.SIZES, "large", FEW)


def test_the_small_demo_is_real_in_every_byte(admin: User) -> None:
    said = seed()
    assert "the small demo is there" in said
    assert list(verify(deep=True)) == []
    assert Artifact.objects.count() == SMALL.artifacts
    assert min(Quota.objects.values_list("used", flat=True)) > 0
    for tag in Tag.objects.filter(name__in=("latest", "multi")).select_related("artifact", "repository"):
        stored = client.get_manifest(repository=tag.repository.name, digest=tag.artifact.digest)
        assert stored == bytes(tag.artifact.manifest.content)
        for blob in tag.artifact.references.filter(kind__in=("config", "layer")):
            assert factories.registry_has(tag.repository.name, blob.digest)


def test_nobody_of_it_can_sign_in_before_an_admin_lets_him(admin: User) -> None:
    seed()
    people = User.objects.exclude(pk=admin.pk)
    assert people.count() == SMALL.users
    assert not any(user.has_usable_password() for user in people)
    assert not any(robot.secrets.exists() for robot in Robot.objects.all())


@pytest.mark.usefixtures("few")
def test_the_large_demo_is_rows_alone_with_every_number_right(admin: User) -> None:
    seed("large")
    assert (Repository.objects.count(), Artifact.objects.count()) == (60, 400)
    assert Tag.objects.filter(repository__name="shop/web").count() == 50
    assert AuditLog.objects.count() == 120
    busy = Artifact.objects.get(repository__name="shop/api", tags__name="latest")
    assert (busy.tags.count(), Accessory.objects.filter(subject_digest=busy.digest).count()) == (9, 9)
    assert Member.objects.filter(user__username="alice").count() > 1
    assert ImmutableRule.objects.filter(project__name="shop").count() == 9
    assert (WebhookPolicy.objects.filter(project__name="shop").count(), WebhookPolicy.objects.count()) == (9, 11)
    busiest = WebhookPolicy.objects.get(project__name="shop", name="ci-0")
    sent = webhook_history.executions_of(busiest)
    assert sent.count() > FEW.deliveries / 2
    assert list(sent.order_by("-id")) == list(sent.order_by("-start_time"))
    assert Execution.objects.count() == Task.objects.count() == FEW.deliveries + 2 * FEW.runs
    assert Schedule.objects.count() == 5
    for quota in Quota.objects.select_related("project"):
        assert quota.used == quotas.usage(project=quota.project)
    assert not (STORE / "blobs").exists()


@pytest.mark.usefixtures("few")
def test_the_large_demo_has_rows_for_each_list_that_is_measured(admin: User) -> None:
    seed("large")
    hook = WebhookPolicy.objects.get(project__name="shop", name="ci-0")
    sent = webhook_history.executions_of(hook).latest("id")
    ids = {"project": hook.project_id, "hook": hook.pk, "sent": sent.id}
    api = APIClient()
    api.force_authenticate(admin)
    answers = {path: api.get(f"/api/v2.0{path.format(**ids)}") for path in LISTS}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(LISTS, 200)
    assert [path for path, answer in answers.items() if not answer.json()] == []


def test_what_was_sent_reads_as_if_it_had_been(admin: User) -> None:
    """Each message that the demo sent is one that a webhook might send, and its log tells of it."""
    seed()
    sent = webhook_history.executions_of(WebhookPolicy.objects.get(project__name="shop", name="ci-0"))
    for execution in sent:
        task = Task.objects.get(execution_id=execution.id)
        assert (task.status, task.extra_attrs) == (execution.status, told(execution.extra_attrs))
        assert f"answered {task.extra_attrs['response_status']}" in TaskLog.objects.get(task_id=task.id).text
        (pushed,) = json.loads(execution.extra_attrs["payload"])["event_data"]["resources"]
        assert Artifact.objects.filter(manifest_id=pushed["digest"], tags__name=pushed["tag"]).exists()
    assert {execution.status for execution in sent} == {"Success", "Error"}


def told(facts: dict[str, Any]) -> dict[str, Any]:
    """What a delivery's task tells of it."""
    return {name: facts[name] for name in ("response_status", "duration_ms")}


def test_a_push_to_a_demo_calls_nobody(admin: User) -> None:
    seed()
    assert WebhookPolicy.objects.count() == SMALL.crowd + 1
    assert not WebhookPolicy.objects.filter(enabled=True).exists()
    assert all(target.address.endswith(".invalid/hook") for target in WebhookTarget.objects.all())


@pytest.mark.usefixtures("few")
def test_what_is_scheduled_in_the_demo_begins_nothing(admin: User) -> None:
    seed("large")
    Schedule.objects.update(fired=clock.now() - timedelta(days=2))
    before = Execution.objects.count()
    assert schedules.fire_due() == 0
    assert Execution.objects.count() == before


@pytest.mark.usefixtures("few")
def test_who_pulls_of_the_large_demo_hears_that_a_layer_is_not_there(admin: User) -> None:
    seed("large")
    headers = {"Authorization": f"Bearer {token_for(admin, 'repository:shop/web:pull')}"}
    layer = Artifact.objects.get(repository__name="shop/web", tags__name="latest").references.get(kind="layer")
    assert Client().get("/v2/shop/web/manifests/latest", headers=headers).status_code == 200
    assert Client().head(f"/v2/shop/web/blobs/{layer.digest}", headers=headers).status_code == 404


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("command", [("verify",), ("verify", "--repair"), ("export-tags",)])
def test_what_compares_rows_with_the_store_refuses_rows_without_content(admin: User, command: tuple[str, ...]) -> None:
    seed("large")
    with pytest.raises(CommandError, match="the large demo of seed_demo, whose images are rows without content"):
        call_command(*command, stdout=StringIO())
    assert not (STORE / "blobs").exists()


@pytest.mark.usefixtures("few")
def test_stopped_it_goes_on_where_it_was(admin: User) -> None:
    begun = seeding.seed("large")
    first = [progress.number for progress in islice(begun, 20)]
    begun.close()
    assert 2 < Repository.objects.count() < FEW.repositories
    said = seed("large").splitlines()
    assert (first[-1], said[0].partition("/")[0]) == (20, "[21")
    assert (Repository.objects.count(), Artifact.objects.count()) == (60, 400)
    assert "was there already; nothing was done" in seed("large")
    assert Artifact.objects.count() == 400


def test_a_store_that_fails_is_named_and_the_rest_comes_later(admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    STORE.parent.mkdir(parents=True, exist_ok=True)
    STORE.write_text("no folder")
    with pytest.raises(CommandError, match=r"the store does not do it: .*Then run seed_demo again"):
        seed()
    assert not Repository.objects.exists()
    STORE.unlink()
    seed()
    assert list(verify()) == []


def test_a_platform_in_use_is_left_alone(admin: User, alice: User) -> None:
    with pytest.raises(CommandError, match="this platform is in use: it has the user alice"):
        seed()
    factories.project("team", admin)
    with pytest.raises(CommandError, match="this platform is in use: it has the project team"):
        seed("large")
    assert Project.objects.count() == 1


def test_one_platform_holds_one_demo(admin: User) -> None:
    seed()
    with pytest.raises(CommandError, match="holds the small demo; another needs a new platform"):
        seed("large")


def test_two_at_once_do_not_meet(admin: User) -> None:
    with locks.sole("seed_demo"), pytest.raises(CommandError, match="another seed_demo is at work"):
        seed()
    assert not Project.objects.exists()


@pytest.mark.parametrize("size", [SMALL, LARGE, FEW], ids=["small", "large", "few"])
def test_a_size_holds_what_it_says(size: sizes.Size) -> None:
    repositories = range(size.repositories)
    assert sum(size.images_in(number) for number in repositories) == size.artifacts
    assert min(size.images_in(number) for number in repositories) > 0
    assert len({size.repository(number) for number in repositories}) == size.repositories
    assert {size.project_of(number) for number in repositories} == set(range(size.projects))


def test_the_large_demo_is_as_large_as_promised() -> None:
    assert (LARGE.projects, LARGE.repositories, LARGE.artifacts, LARGE.tags_of_one) == (1000, 20_000, 200_000, 10_000)
    assert not LARGE.is_stored
