"""What happens when several people change projects at the same moment: real threads, real transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from projects.models import Member, Project
from rbac.models import Robot, User
from tests.rest import Api
from tests.rows import make_project, make_user

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _empty_audit_log() -> Iterator[None]:
    """Django empties only the tables that it manages."""
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE audit_log")


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
