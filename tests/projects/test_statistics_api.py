"""The statistics, for a member, a stranger, an admin and robots."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from projects.models import Blob
from rbac.roles import Role
from tests.rest import Api
from tests.rows import (
    Story,
    add_member,
    make_artifact,
    make_group,
    make_project,
    make_repository,
    make_robot,
    make_user,
)

NUMBERS = ("private_project_count", "private_repo_count", "public_project_count", "public_repo_count")
TOTALS = ("total_project_count", "total_repo_count", "total_storage_consumption")


@pytest.fixture
def world(story: Story) -> Story:
    """Besides `team` (two repositories): `open` is public (three), `other` is private and Mallory's (one)."""
    for project, names in (
        (story.team, "ab"),
        (make_project("open", story.alice, public=True), "abc"),
        (make_project("other", story.mallory), "a"),
        (make_project("gone", story.alice, deleted=timezone.now()), "a"),
        (make_project("gone-open", story.alice, public=True, deleted=timezone.now()), "a"),
    ):
        for name in names:
            make_repository(project, name)
        make_repository(project, "deleted", deleted=timezone.now())
    return story


def numbers(client: Api) -> tuple[list[int], list[int]]:
    """Private projects and repositories, public ones; and the totals."""
    body = client.get("/statistics").json()
    assert set(body) == {*NUMBERS, *TOTALS}
    return [body[key] for key in NUMBERS], [body[key] for key in TOTALS]


def test_members_count_what_is_public_and_what_is_theirs(world: Story) -> None:
    for who in (world.alice, world.bob, world.carol):
        assert numbers(Api(who)) == ([1, 2, 1, 3], [0, 0, 0])
    assert numbers(Api(world.mallory)) == ([1, 1, 1, 3], [0, 0, 0])
    assert numbers(Api(make_user("new"))) == ([0, 0, 1, 3], [0, 0, 0])
    assert Api().get("/statistics").status_code == 401


def test_who_is_a_member_twice_counts_a_project_once(world: Story) -> None:
    add_member(world.team, make_group(users=[world.carol]), Role.MAINTAINER)
    assert numbers(Api(world.carol)) == ([1, 2, 1, 3], [0, 0, 0])


def test_membership_in_a_public_project_makes_nothing_private(world: Story) -> None:
    """Alice owns `open`, which counts as public for her too."""
    assert numbers(Api(world.alice))[0] == [1, 2, 1, 3]


def test_admins_count_everything_and_what_the_store_holds(world: Story) -> None:
    states = Blob.State
    for number, (size, state) in enumerate(
        [(1000, states.PRESENT), (200, states.PRESENT), (30, states.DELETING), (None, states.ANNOUNCED)]
    ):
        Blob.objects.create(digest=f"sha256:{number:064}", size=size, state=state)
    assert numbers(Api(world.admin)) == ([2, 3, 1, 3], [3, 6, 1230])


def test_an_empty_store_holds_nothing(story: Story) -> None:
    assert numbers(Api(story.admin)) == ([1, 0, 0, 0], [1, 0, 0])


def test_robots_count_what_is_public(world: Story) -> None:
    """Harbor's way."""
    own = make_robot(world.team, ["repository:list"])
    assert numbers(Api(own)) == ([0, 0, 1, 3], [0, 0, 0])
    assert numbers(Api(make_robot(None, ["project:list"]))) == ([0, 0, 1, 3], [0, 0, 0])


def test_a_guest_of_some_tags_counts_the_repositories_that_he_reaches(world: Story) -> None:
    guest = make_user("dora")
    add_member(world.team, guest, Role.GUEST, {"c": ["v1*"]})
    make_artifact(make_repository(world.team, "c"), "v1")
    assert numbers(Api(guest)) == ([1, 1, 1, 3], [0, 0, 0])


@pytest.mark.parametrize("who", ["admin", "carol"])
def test_the_answer_costs_the_same_however_much_there_is(
    world: Story, who: str, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    client = Api(getattr(world, who))
    client.get("/statistics")
    with django_assert_max_num_queries(8) as few:
        client.get("/statistics")
    for number in range(20):
        make_repository(make_project(f"p{number}", world.carol, public=number % 2 == 0), "app")
    with django_assert_num_queries(len(few)):
        body = client.get("/statistics").json()
    assert (body["private_project_count"], body["public_project_count"]) == (12 if who == "admin" else 11, 11)
