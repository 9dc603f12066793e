"""Several people change projects, or what is in them, at the same moment: real threads, real transactions."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from django.db import connection, transaction

from projects import labels, pulls
from projects.models import Artifact, ArtifactLabel, Label, Member, Project, Repository, Tag
from rbac.models import Group, Robot, User
from tests.rest import Api
from tests.rows import make_artifact, make_project, make_repository, make_story, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*calls: Callable[[], Any]) -> list[int]:
    """The statuses of calls that begin together."""

    def run(call: Callable[[], Any]) -> int:
        try:
            return int(call().status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return sorted(pool.map(run, calls))


def test_of_four_who_want_a_name_one_gets_it() -> None:
    people = [make_user() for _ in range(4)]
    calls = [lambda who=who: Api(who).post("/projects", {"project_name": "prize"}) for who in people]
    assert at_once(*calls) == [201, 409, 409, 409]
    project = Project.objects.get(name="prize")
    assert list(project.members.values_list("user", flat=True)) == [project.owner_id]


def test_a_member_is_made_once() -> None:
    alice, bob = make_user("alice"), make_user("bob")
    make_project("team", alice)
    given = {"role_id": 2, "member_user": {"username": "bob"}}
    assert at_once(*[lambda: Api(alice).post("/projects/team/members", given)] * 4) == [201, 409, 409, 409]
    assert Member.objects.filter(user=bob).count() == 1


def test_a_group_that_several_want_at_once_is_made_once() -> None:
    alice = make_user("alice")
    given = {"role_id": 2, "member_group": {"ldap_group_dn": "cn=crew,dc=example"}}
    names = [make_project(f"team{number}", alice).name for number in range(4)]
    calls = [lambda name=name: Api(alice).post(f"/projects/{name}/members", given) for name in names]
    assert at_once(*calls) == [201] * 4
    assert Member.objects.filter(group=Group.objects.get()).count() == 4


def test_nobody_gets_into_a_project_that_is_being_deleted() -> None:
    """Whoever comes first: in the end a deleted project has neither members nor robots."""
    alice = make_user("alice")
    make_user("bob")
    for number in range(8):
        project = make_project(f"team{number}", alice)
        at_once(*_delete_and_join(alice, project.name))
        project.refresh_from_db()
        assert project.deleted is not None
        assert not project.members.exists()
        assert not Robot.objects.filter(project_id=project.pk).exists()


def test_who_labels_while_the_label_goes_hears_that_it_is_gone() -> None:
    """Alice's deletion has the label's row; Bob's request waits for it instead of failing at its commit."""
    story = make_story()
    make_artifact(make_repository(story.team, "app"), "v1")
    label = Label.objects.create(name="ready", project=story.team)
    url = "/projects/team/repositories/app/artifacts/v1/labels"
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            labels.delete(label=Label.objects.get(), actor=story.alice)
            heard = pool.submit(at_once, lambda: Api(story.bob).post(url, {"id": label.pk}))
            _wait_until_somebody_waits()
        assert heard.result(30) == [404]
    assert not ArtifactLabel.objects.exists()


@pytest.mark.parametrize("kind", [Artifact, Tag, Repository])
def test_who_pushes_and_who_counts_pulls_do_not_wait_for_each_other(kind: type[Artifact | Tag | Repository]) -> None:
    """Both take rows by their ids: who counts holds none of those that come later while it waits for one."""
    story = make_story()
    for number in range(20):
        artifact = make_artifact(make_repository(story.team, f"app{number}"), "v1")
        pulls.note(artifact_id=artifact.pk, tag_id=artifact.tags.get().pk, count=True)
    rows = kind._default_manager.order_by("pk")
    # A row that was changed lies behind those that were not.
    rows.filter(pk=rows[0].pk).update(deleted=None)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            held = rows.select_for_update()[0]
            folded = pool.submit(_fold)
            _wait_until_somebody_waits()
            assert len(rows.select_for_update(nowait=True).exclude(pk=held.pk)) == 19
        assert folded.result(30) == 20


def _fold() -> int:
    try:
        return pulls.fold()
    finally:
        connection.close()


def _wait_until_somebody_waits() -> None:
    """Until another connection to this database waits for a lock."""
    for _ in range(600):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0]:
                return
        Event().wait(0.05)
    raise AssertionError("nobody waited for a lock")


def _delete_and_join(owner: User, name: str) -> list[Callable[[], Any]]:
    access = [{"resource": "repository", "action": "pull"}]
    permission = {"kind": "project", "namespace": name, "access": access}
    robot = {"name": "ci", "level": "project", "duration": -1, "permissions": [permission]}
    member = {"role_id": 2, "member_user": {"username": "bob"}}
    return [
        lambda: Api(owner).delete(f"/projects/{name}"),
        lambda: Api(owner).post(f"/projects/{name}/members", member),
        lambda: Api(owner).post("/robots", robot),
    ]
