"""Pull accounting: counted in Redis, folded into Postgres, and gaps recorded (invariant I4)."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from core import redis
from projects import artifacts, pulls
from projects.models import Artifact, Project, PullFold, PullGap, Reference, Repository, Tag
from rbac.models import User
from tests import factories, plans
from tests.e2e.client import OCI_INDEX, Image, make_image, make_index
from tests.projects.webhooks import make_policy, work
from tests.receiver import Receiver
from tests.registry.test_door import token_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def artifact(team: Project, alice: User) -> Artifact:
    return factories.push(factories.repository(team, f"pulls{factories.number()}"), alice, "v1")


def away(_: Any) -> Any:
    raise redis.Away


def test_a_pull_writes_nothing_to_postgres(artifact: Artifact, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        pulls.note(artifact_id=artifact.pk, tag_id=None, count=True)


def test_a_get_counts_and_a_head_only_dates(artifact: Artifact) -> None:
    tag = Tag.objects.get(artifact=artifact)
    pulls.note(artifact_id=artifact.pk, tag_id=tag.pk, count=False)
    pulls.note(artifact_id=artifact.pk, tag_id=tag.pk, count=True)
    pulls.note(artifact_id=artifact.pk, tag_id=None, count=True)
    assert pulls.fold() == 1
    artifact.refresh_from_db()
    tag.refresh_from_db()
    assert artifact.pulled is not None
    assert tag.pulled is not None
    assert Repository.objects.get(pk=artifact.repository_id).pull_count == 2
    assert pulls.fold() == 0
    assert Repository.objects.get(pk=artifact.repository_id).pull_count == 2


def test_a_childs_pull_counts_for_its_index(team: Project, alice: User) -> None:
    place = factories.repository(team, f"pulls{factories.number()}")
    image = make_image()
    child = factories.push(place, alice, None, image)
    index = factories.push(place, alice, "multi", Image(make_index(image), {}, OCI_INDEX))
    assert Reference.objects.filter(artifact=index, kind="child").exists()
    pulls.note(artifact_id=child.pk, tag_id=None, count=True)
    pulls.fold()
    index.refresh_from_db()
    assert index.pulled is not None


def test_a_childs_pull_counts_for_an_index_of_indexes(team: Project, alice: User) -> None:
    place = factories.repository(team, f"pulls{factories.number()}")
    image = make_image()
    child = factories.push(place, alice, None, image)
    inner = Image(make_index(image), {}, OCI_INDEX)
    factories.push(place, alice, None, inner)
    outer = factories.push(place, alice, "all", Image(make_index(inner), {}, OCI_INDEX))
    pulls.note(artifact_id=child.pk, tag_id=None, count=True)
    pulls.fold()
    assert Artifact.objects.filter(repository=place, pulled__isnull=False).count() == 3
    outer.refresh_from_db()
    assert outer.pulled is not None


def test_an_earlier_pull_that_is_folded_later_sets_nothing_back(artifact: Artifact) -> None:
    """Of two processes one may hand over late."""
    tag = Tag.objects.get(artifact=artifact)
    later = timezone.now() + timedelta(hours=1)
    for row in (artifact, tag):
        type(row).objects.filter(pk=row.pk).update(pulled=later)
    pulls.note(artifact_id=artifact.pk, tag_id=tag.pk, count=True)
    pulls.fold()
    for row in (artifact, tag):
        row.refresh_from_db()
        assert row.pulled == later


def test_to_fold_many_costs_no_more_questions_than_one(team: Project, alice: User) -> None:
    place = factories.repository(team, f"pulls{factories.number()}")
    pushed = [factories.push(place, alice, f"v{number}") for number in range(6)]
    pulls.fold()
    costs = []
    for artifacts_pulled in (pushed[:1], pushed):
        for each in artifacts_pulled:
            pulls.note(artifact_id=each.pk, tag_id=Tag.objects.get(artifact=each).pk, count=True)
        with plans.statements() as asked:
            assert pulls.fold() == len(artifacts_pulled)
        costs.append(len(asked))
    assert costs[0] == costs[1]
    assert Repository.objects.get(pk=place.pk).pull_count == 7


def test_pulls_are_kept_while_redis_is_away_and_handed_over_with_a_gap(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulls.fold()
    with monkeypatch.context() as patched:
        patched.setattr(redis, "ask", away)
        for _ in range(3):
            pulls.note(artifact_id=artifact.pk, tag_id=None, count=True)
    pulls.note(artifact_id=artifact.pk, tag_id=None, count=True)
    pulls.fold()
    assert Repository.objects.get(pk=artifact.repository_id).pull_count == 4
    assert PullGap.objects.get().reason == "Redis did not answer"


def test_a_flushed_redis_is_a_gap_since_the_last_fold(artifact: Artifact) -> None:
    pulls.fold()
    assert not PullGap.objects.exists()
    last = timezone.now() - timedelta(minutes=2)
    PullFold.objects.update(folded=last)
    redis.ask(lambda r: r.flushdb())
    pulls.fold()
    gap = PullGap.objects.get()
    assert (gap.started, gap.reason) == (last, "Redis lost its memory")
    pulls.fold()
    assert PullGap.objects.count() == 1


def test_a_fold_that_dies_after_redis_was_flushed_hides_no_gap(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulls.fold()
    last = PullFold.objects.get().folded
    redis.ask(lambda r: r.flushdb())
    with monkeypatch.context() as patched:
        patched.setattr(pulls, "_record_gaps", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pulls.fold()
    pulls.fold()
    gap = PullGap.objects.get()
    assert (gap.started, gap.reason) == (last, "Redis lost its memory")


def test_folds_that_did_not_run_are_a_gap(artifact: Artifact) -> None:
    """A dead process may have held pulls that nobody knows of."""
    pulls.fold()
    PullFold.objects.update(folded=timezone.now() - timedelta(minutes=20))
    pulls.fold()
    assert PullGap.objects.get().reason == "pulls were not folded"


def test_a_fold_that_died_is_finished_by_the_next(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    pulls.note(artifact_id=artifact.pk, tag_id=None, count=True)
    with monkeypatch.context() as patched:
        patched.setattr(pulls, "_apply", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pulls.fold()
    pulls.fold()
    assert Repository.objects.get(pk=artifact.repository_id).pull_count == 1


def test_a_fold_that_died_when_all_was_true_is_not_done_again(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulls.note(artifact_id=artifact.pk, tag_id=None, count=True)
    with monkeypatch.context() as patched:
        patched.setattr(pulls, "_drop_share", away)
        with pytest.raises(redis.Away):
            pulls.fold()
    pulls.note(artifact_id=artifact.pk, tag_id=None, count=True)
    pulls.fold()
    assert Repository.objects.get(pk=artifact.repository_id).pull_count == 2
    pulls.fold()
    assert Repository.objects.get(pk=artifact.repository_id).pull_count == 2


def test_pulls_wait_for_redis_only_when_nothing_is_held(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    # The thread asks too, but not now.
    with pulls._handing_over, monkeypatch.context() as patched:
        patched.setattr(redis, "ask", asked.append)
        for _ in range(3):
            pulls.note(artifact_id=artifact.pk, tag_id=None, count=True)
    assert len(asked) == 1


def test_what_is_held_reaches_redis_by_itself(artifact: Artifact) -> None:
    pulls.note(artifact_id=artifact.pk, tag_id=None, count=True)
    deadline = time.monotonic() + 30
    while redis.ask(lambda r: r.hget(pulls.COUNTS, str(artifact.pk))) != "1":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_process_that_holds_nothing_leaves_no_mark(artifact: Artifact) -> None:
    pulls.note(artifact_id=artifact.pk, tag_id=None, count=True)
    assert redis.ask(lambda r: r.hlen(pulls.HOLDERS)) == 1
    pulls.hand_over()
    pulls.hand_over()
    assert redis.ask(lambda r: r.hlen(pulls.HOLDERS)) == 0


def test_a_killed_process_leaves_a_gap(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    pulls.fold()
    child = os.fork()
    if child == 0:
        pulls.note(artifact_id=artifact.pk, tag_id=None, count=True)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    before = timezone.now()
    pulls.fold()
    assert not PullGap.objects.exists(), "it may be alive"
    monkeypatch.setattr(pulls, "HOLDER_LATE", timedelta(seconds=-10))
    pulls.fold()
    gap = PullGap.objects.get()
    assert gap.reason == "a process died with pulls in its memory"
    assert gap.started < before < gap.ended
    pulls.fold()
    assert PullGap.objects.count() == 1


def test_what_may_have_been_pulled_while_nobody_could_count_counts_as_pulled(artifact: Artifact) -> None:
    now = timezone.now()
    old, month = now - timedelta(days=90), now - timedelta(days=30)
    Artifact.objects.update(pushed=old)

    def is_unpulled(since: datetime = month) -> bool:
        return pulls.surely_unpulled(Artifact.objects.all(), since=since).exists()

    assert is_unpulled()
    gap = PullGap.objects.create(started=old, ended=month - timedelta(days=1), reason="long ago")
    assert is_unpulled()
    PullGap.objects.filter(pk=gap.pk).update(ended=month + timedelta(days=1))
    assert not is_unpulled()
    assert is_unpulled(month + timedelta(days=2))
    Artifact.objects.update(pushed=month + timedelta(days=3))
    assert is_unpulled(), "it was not there yet"
    Artifact.objects.update(pulled=now)
    assert not is_unpulled()


# --- what webhooks hear of it ------------------------------------------------------------------------------------
def pull(artifact: Artifact, actor: User, reference: str, *, method: str = "GET") -> None:
    """As a client does it, through the door."""
    name = artifact.repository.name
    headers = {"Authorization": f"Bearer {token_for(actor, f'repository:{name}:pull')}"}
    answer = Client().generic(method, f"/v2/{name}/manifests/{reference}", headers=headers)
    assert answer.status_code == 200


def heard(receiver: Receiver) -> list[tuple[str, list[tuple[str, str]], dict[str, str]]]:
    """What the receiver was told: type, digests with their tags, and what else there is to say."""
    work()
    return [
        (
            told["type"],
            [(resource["digest"], resource["tag"]) for resource in told["event_data"]["resources"]],
            told["event_data"]["custom_attributes"],
        )
        for told in receiver.documents
    ]


def test_pulls_that_were_folded_arrive_at_a_receiver_once_with_their_number(
    artifact: Artifact, team: Project, alice: User, carol: User, receiver: Receiver
) -> None:
    make_policy(team, alice, receiver.url, event_types=("PULL_ARTIFACT",))
    other = factories.push(artifact.repository, alice, "other")
    factories.push(artifact.repository, alice, "unpulled")
    pull(artifact, alice, "v1")
    pull(artifact, carol, "v1")
    pull(artifact, carol, artifact.digest)
    pull(artifact, carol, "v1", method="HEAD")
    pull(other, carol, other.digest)
    assert heard(receiver) == [], "nobody has counted them yet"
    pulls.fold()
    expected = [
        ("PULL_ARTIFACT", [(artifact.digest, "v1")], {"pull_count": "3"}),
        ("PULL_ARTIFACT", [(other.digest, other.digest)], {"pull_count": "1"}),
    ]
    assert heard(receiver) == expected
    pulls.fold()
    assert heard(receiver) == expected
    assert {told["operator"] for told in receiver.documents} == {""}
    pull(artifact, carol, "v1")
    pulls.fold()
    assert heard(receiver)[2:] == [("PULL_ARTIFACT", [(artifact.digest, "v1")], {"pull_count": "1"})]


def test_a_fold_that_died_before_it_was_true_tells_of_its_pulls_once(
    artifact: Artifact, team: Project, alice: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_policy(team, alice, receiver.url, event_types=("PULL_ARTIFACT",))
    pull(artifact, alice, "v1")
    announce = pulls._announce

    def announce_and_die(gathered: Any) -> None:
        announce(gathered)
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(pulls, "_announce", announce_and_die)
        with pytest.raises(ZeroDivisionError):
            pulls.fold()
    assert heard(receiver) == []
    pulls.fold()
    assert heard(receiver) == [("PULL_ARTIFACT", [(artifact.digest, "v1")], {"pull_count": "1"})]


def test_looking_at_an_image_is_no_pull_to_be_told_of(
    artifact: Artifact, team: Project, alice: User, receiver: Receiver
) -> None:
    make_policy(team, alice, receiver.url, event_types=("PULL_ARTIFACT",))
    pull(artifact, alice, "v1", method="HEAD")
    pulls.fold()
    assert heard(receiver) == []


def test_what_was_deleted_before_its_pulls_were_folded_is_not_told(
    artifact: Artifact, team: Project, alice: User, receiver: Receiver
) -> None:
    make_policy(team, alice, receiver.url, event_types=("PULL_ARTIFACT",))
    pull(artifact, alice, "v1")
    artifacts.delete(artifact=artifact, actor=alice)
    pulls.fold()
    assert heard(receiver) == []


def test_pulls_are_told_only_where_somebody_wants_to_hear_of_them(
    artifact: Artifact, team: Project, alice: User, receiver: Receiver
) -> None:
    make_policy(team, alice, receiver.url, event_types=("DELETE_ARTIFACT",))
    make_policy(factories.project("other", alice), alice, receiver.url, event_types=("PULL_ARTIFACT",))
    pull(artifact, alice, "v1")
    pulls.fold()
    assert heard(receiver) == []
