"""A project's storage limit in webhooks: told to a real receiver once, and again when something has changed."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import redis as redis_py
from django.db import transaction
from django.test import Client

from core import errors, redis
from projects import artifacts, quota_news, quotas
from projects.models import Artifact, Project, Quota, Repository
from rbac.models import User
from tests import factories
from tests.e2e.client import Image, make_image
from tests.projects.webhooks import make_policy, work
from tests.receiver import Receiver
from tests.registry.test_door import token_for
from tests.rest import Api

pytestmark = pytest.mark.django_db
EVERYTHING = ("PUSH_ARTIFACT", "QUOTA_EXCEED", "QUOTA_WARNING")
SIZE = 20_000
DAY_SECONDS = 24 * 3600


@pytest.fixture
def place(alice: User, receiver: Receiver) -> Repository:
    """A repository with one image, in a project that has room for another one and a little; the receiver hears all."""
    team = factories.project("team", alice)
    place = factories.repository(team, f"news{factories.number()}")
    factories.push(place, alice, "first", image())
    make_policy(team, alice, receiver.url, event_types=EVERYTHING)
    work()
    receiver.received.clear()
    limit(team, 2 * quotas.usage(project=team) + 3000)
    return place


def image(size: int = SIZE) -> Image:
    return make_image(os.urandom(size))


def limit(project: Project, hard: int) -> None:
    Quota.objects.filter(project=project).update(hard=hard)


def heard(receiver: Receiver) -> list[str]:
    """The types of what the receiver was told since it was asked last, in order."""
    work()
    types = [document["type"] for document in receiver.documents]
    receiver.received.clear()
    return types


def be_refused(place: Repository, actor: User, times: int = 1) -> None:
    """Push an image that does not fit, again and again."""
    manifest = upload(place)
    for _ in range(times):
        with pytest.raises(errors.QuotaExceeded):
            artifacts.push(repository=place, manifest=manifest, tag="large", actor=actor)


def upload(place: Repository) -> Any:
    """An image's blobs, larger than any limit here; its manifest is for the caller to push."""
    large = image(3 * SIZE)
    for content in large.blobs.values():
        factories.upload(place, content)
    return factories.parsed(large)


def delete(artifact: Artifact, actor: User, committing: Any) -> None:
    with committing(execute=True):
        artifacts.delete(artifact=artifact, actor=actor)


# --- what was refused ---------------------------------------------------------------------------------------------
def test_a_refused_push_is_told_once_however_often_it_is_tried(
    place: Repository, alice: User, receiver: Receiver
) -> None:
    be_refused(place, alice, times=100)
    work()
    (told,) = receiver.documents
    assert (told["type"], told["operator"]) == ("QUOTA_EXCEED", "alice")
    assert told["event_data"]["repository"]["repo_full_name"] == place.name
    assert "will exceed the configured upper limit of" in told["event_data"]["custom_attributes"]["Details"]


def test_another_image_in_another_repository_meets_a_limit_that_is_known(
    place: Repository, alice: User, receiver: Receiver
) -> None:
    be_refused(place, alice)
    be_refused(factories.repository(place.project, f"news{factories.number()}"), alice)
    assert heard(receiver) == ["QUOTA_EXCEED"]


def test_a_full_project_is_told_of_once_at_the_door(place: Repository, alice: User, receiver: Receiver) -> None:
    limit(place.project, quotas.usage(project=place.project))
    headers = {"Authorization": f"Bearer {token_for(alice, f'repository:{place.name}:pull,push')}"}
    answers = {Client().post(f"/v2/{place.name}/blobs/uploads/", headers=headers).status_code for _ in range(100)}
    assert answers == {403}
    assert heard(receiver) == ["QUOTA_EXCEED"]


def test_a_refused_copy_is_told_where_it_should_have_gone(place: Repository, alice: User, receiver: Receiver) -> None:
    other = factories.project("other", alice, hard=100)
    make_policy(other, alice, receiver.url, event_types=EVERYTHING)
    for _ in range(3):
        answer = Api(alice, factories.PASSWORD).post(
            f"/projects/other/repositories/copied/artifacts?from={place.name}:first"
        )
        assert answer.status_code == 403
    work()
    (told,) = receiver.documents
    assert told["type"] == "QUOTA_EXCEED"
    assert told["event_data"]["repository"]["repo_full_name"] == "other/copied"


def test_a_refusal_is_news_again_after_something_was_deleted(
    place: Repository, alice: User, receiver: Receiver, django_capture_on_commit_callbacks: Any
) -> None:
    second = factories.push(place, alice, "second", image())
    be_refused(place, alice)
    heard(receiver)
    delete(second, alice, django_capture_on_commit_callbacks)
    factories.push(place, alice, "third", image(SIZE - 1000))
    be_refused(place, alice, times=2)
    assert heard(receiver) == ["PUSH_ARTIFACT", "QUOTA_WARNING", "QUOTA_EXCEED"]


def test_a_refusal_is_news_again_under_another_limit(
    place: Repository, alice: User, receiver: Receiver, django_capture_on_commit_callbacks: Any
) -> None:
    be_refused(place, alice)
    quota = Quota.objects.get(project=place.project)
    with django_capture_on_commit_callbacks(execute=True):
        quotas.change(quota=quota, hard={"storage": quota.hard + 1}, actor=alice)
    be_refused(place, alice, times=2)
    assert heard(receiver) == ["QUOTA_EXCEED"] * 2


def test_what_was_pushed_meanwhile_makes_a_refusal_no_news(place: Repository, alice: User, receiver: Receiver) -> None:
    be_refused(place, alice)
    factories.push(place, alice, "small", image(10))
    be_refused(place, alice)
    assert heard(receiver) == ["QUOTA_EXCEED", "PUSH_ARTIFACT"]


def seconds_until_told_again(project: Project) -> int:
    return int(redis.ask(lambda r: r.ttl(quota_news._key(project.pk))))


def test_a_project_that_stays_full_is_told_of_again_after_a_day(
    place: Repository, alice: User, receiver: Receiver, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        be_refused(place, alice)
    key = quota_news._key(place.project.pk)
    assert DAY_SECONDS - 60 < seconds_until_told_again(place.project) <= DAY_SECONDS
    redis.ask(lambda r: r.pexpire(key, 1))
    time.sleep(0.01)
    be_refused(place, alice)
    assert heard(receiver) == ["QUOTA_EXCEED"] * 2


def test_without_redis_a_process_remembers_by_itself(
    place: Repository, alice: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = redis_py.Redis(port=1)
    with monkeypatch.context() as patched:
        patched.setattr(redis, "connection", lambda: nobody)
        be_refused(place, alice, times=5)
    redis._away_until = 0.0
    assert heard(receiver) == ["QUOTA_EXCEED"]


def test_who_is_killed_while_he_tells_it_silences_others_for_a_minute_and_not_for_a_day(
    place: Repository, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def be_killed(_: object) -> None:
        # As gunicorn ends a worker; what is rolled back for it is what a kill -9 leaves.
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(quota_news, "emit", be_killed)
        with pytest.raises(SystemExit):
            artifacts.push(repository=place, manifest=upload(place), tag="large", actor=alice)
    assert 0 < seconds_until_told_again(place.project) <= 60


def test_a_refusal_whose_telling_is_not_committed_is_news_again_in_a_minute(place: Repository, alice: User) -> None:
    with transaction.atomic():
        be_refused(place, alice)
        transaction.set_rollback(True)
    assert 0 < seconds_until_told_again(place.project) <= 60


def test_what_changed_while_it_was_told_makes_the_next_refusal_news(
    place: Repository, alice: User, receiver: Receiver, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        be_refused(place, alice)
        quota_news._forget(place.project.pk)
    be_refused(place, alice)
    assert heard(receiver) == ["QUOTA_EXCEED"] * 2


def test_news_that_could_not_be_written_are_told_at_the_next_refusal(
    place: Repository, alice: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(quota_news, "emit", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            artifacts.push(repository=place, manifest=upload(place), tag="large", actor=alice)
    be_refused(place, alice)
    assert heard(receiver) == ["QUOTA_EXCEED"]


# --- what is nearly full ------------------------------------------------------------------------------------------
def test_what_passes_85_percent_is_warned_of_once(place: Repository, alice: User, receiver: Receiver) -> None:
    factories.push(place, alice, "second", image())
    work()
    warning = receiver.documents[-1]
    assert (warning["type"], warning["operator"]) == ("QUOTA_WARNING", "system")
    assert warning["event_data"]["repository"]["repo_full_name"] == place.name
    assert "quota usage reach 85%" in warning["event_data"]["custom_attributes"]["Details"]
    receiver.received.clear()
    for number in range(3):
        factories.push(place, alice, f"small{number}", image(10))
    assert heard(receiver) == ["PUSH_ARTIFACT"] * 3


def test_a_warning_comes_again_after_usage_fell_and_rose(
    place: Repository, alice: User, receiver: Receiver, django_capture_on_commit_callbacks: Any
) -> None:
    second = factories.push(place, alice, "second", image())
    delete(second, alice, django_capture_on_commit_callbacks)
    factories.push(place, alice, "third", image())
    assert heard(receiver) == ["PUSH_ARTIFACT", "QUOTA_WARNING"] * 2


def test_a_push_that_is_rolled_back_warns_of_nothing(place: Repository, alice: User, receiver: Receiver) -> None:
    second = image()
    with transaction.atomic():
        factories.push(place, alice, "second", second)
        transaction.set_rollback(True)
    assert heard(receiver) == []
    factories.push(place, alice, "second", second)
    assert heard(receiver) == ["PUSH_ARTIFACT", "QUOTA_WARNING"]


def test_a_push_that_is_refused_warns_of_nothing_besides(place: Repository, alice: User, receiver: Receiver) -> None:
    be_refused(place, alice)
    assert heard(receiver) == ["QUOTA_EXCEED"]


def test_a_copy_that_passes_85_percent_warns(place: Repository, alice: User, receiver: Receiver) -> None:
    used = quotas.usage(project=place.project)
    other = factories.project("other", alice, hard=used + 100)
    make_policy(other, alice, receiver.url, event_types=EVERYTHING)
    path = f"/projects/other/repositories/copied/artifacts?from={place.name}:first"
    assert Api(alice, factories.PASSWORD).post(path).status_code == 201
    assert heard(receiver) == ["PUSH_ARTIFACT", "QUOTA_WARNING"]


def test_without_a_limit_nothing_is_told(place: Repository, alice: User, receiver: Receiver) -> None:
    limit(place.project, Quota.UNLIMITED)
    factories.push(place, alice, "second", image(3 * SIZE))
    assert heard(receiver) == ["PUSH_ARTIFACT"]
