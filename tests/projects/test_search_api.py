"""Search: what is found is what the caller may list, and no more."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from projects import search
from rbac.roles import Role
from tests.rest import Api
from tests.rows import (
    Story,
    add_member,
    make_artifact,
    make_project,
    make_repository,
    make_robot,
    make_user,
)


@pytest.fixture
def world(story: Story) -> Story:
    """Besides the private `team`: `open-shop` is public, `hers` is Mallory's; each has the repository `app`."""
    for project in (
        story.team,
        make_project("open-shop", story.alice, public=True),
        make_project("hers", story.mallory),
    ):
        repository = make_repository(project, "app", pull_count=3)
        make_artifact(repository, "v1")
        make_artifact(repository, "v2")
    return story


def found(client: Api, word: str) -> tuple[list[str], list[str]]:
    """Names of the projects and of the repositories."""
    answer = client.get("/search", {"q": word})
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert set(body) == {"project", "repository"}
    return [row["name"] for row in body["project"]], [row["repository_name"] for row in body["repository"]]


@pytest.mark.parametrize(
    ("who", "projects"),
    [
        ("admin", ["hers", "team", "open-shop"]),
        ("alice", ["team", "open-shop"]),
        ("carol", ["team", "open-shop"]),
        ("mallory", ["hers", "open-shop"]),
        (None, ["open-shop"]),
    ],
)
def test_everybody_finds_what_is_public_or_theirs(world: Story, who: str | None, projects: list[str]) -> None:
    client = Api(getattr(world, who) if who else None)
    assert found(client, "e")[0] == projects
    assert found(client, "app") == ([], [f"{name}/app" for name in projects])
    # The project's name is a part of the repository's.
    assert found(client, "open-s") == (["open-shop"], ["open-shop/app"])


def test_what_is_told_is_what_the_lists_tell(world: Story) -> None:
    body = Api(world.bob).get("/search?q=team").json()
    assert body["project"] == Api(world.bob).get("/projects?name=team").json()
    assert body["project"][0]["current_user_role_id"] == Role.DEVELOPER
    assert body["repository"] == [
        {
            "project_id": world.team.pk,
            "project_name": "team",
            "repository_name": "team/app",
            "pull_count": 3,
            "artifact_count": 2,
        }
    ]
    assert Api().get("/search?q=app").json()["repository"][0]["project_public"] is True


def test_a_guest_of_some_tags_finds_and_counts_what_they_reach(world: Story) -> None:
    tess = make_user("tess")
    add_member(world.team, tess, Role.GUEST, tag_scope={"app": ["v1"]})
    make_artifact(make_repository(world.team, "secret-app"), "w1")
    body = Api(tess).get("/search?q=team").json()
    assert [(row["name"], row["repo_count"]) for row in body["project"]] == [("team", 1)]
    assert [(row["repository_name"], row["artifact_count"]) for row in body["repository"]] == [("team/app", 1)]
    assert found(Api(tess), "secret") == ([], [])


def test_a_robot_finds_what_its_list_names(world: Story) -> None:
    with_list = make_robot(world.team, ["repository:list"])
    assert found(Api(with_list), "e") == (["team", "open-shop"], ["team/app", "open-shop/app"])
    without = make_robot(world.team, ["repository:pull"])
    assert found(Api(without), "e") == (["team", "open-shop"], ["open-shop/app"])
    lister = make_robot(None, ["project:list"])
    assert found(Api(lister), "e") == (["hers", "team", "open-shop"], ["open-shop/app"])
    everywhere = make_robot(None)
    everywhere.permissions = [
        {"kind": "project", "namespace": "*", "access": [{"resource": "repository", "action": "list"}]}
    ]
    everywhere.save()
    assert found(Api(everywhere), "e")[1] == ["hers/app", "team/app", "open-shop/app"]


@pytest.mark.parametrize(("word", "names"), [("_", ["a_b"]), ("a_b", ["a_b"]), ("%", []), ("\\", []), ("A_B", ["a_b"])])
def test_no_mark_stands_for_others(story: Story, word: str, names: list[str]) -> None:
    make_project("a_b", story.alice)
    make_project("axb", story.alice)
    assert found(Api(story.alice), word)[0] == names


def test_what_is_deleted_is_not_found(world: Story) -> None:
    make_project("gone-app", world.alice, public=True, deleted=timezone.now())
    make_repository(world.team, "old-app", deleted=timezone.now())
    assert found(Api(world.admin), "app") == ([], ["hers/app", "team/app", "open-shop/app"])


def test_a_word_must_be_there(story: Story) -> None:
    for query in ("", "?q="):
        answer = Api(story.alice).get(f"/search{query}")
        assert (answer.status_code, answer.json()["errors"][0]["message"]) == (422, "q in query is required")


def test_the_name_itself_is_found_however_many_hold_it(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST", 2)
    for name in ("aa-zoo", "bb-zoo", "zoo"):
        make_repository(make_project(name, story.alice), "zoo")
    assert found(Api(story.alice), "zoo") == (["zoo", "aa-zoo"], ["zoo/zoo", "aa-zoo/zoo"])


def test_search_costs_the_same_for_three_and_for_thirty(
    world: Story, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    """Also for a guest of some tags, whose counts are counted again."""
    tess = make_user("tess")
    add_member(world.team, tess, Role.GUEST, tag_scope={"app": ["v1"]})
    for client in (Api(), Api(tess), Api(make_robot(world.team, ["repository:list"]))):
        client.get("/search?q=e")
        with django_assert_max_num_queries(12) as few:
            client.get("/search?q=e")
        for _ in range(27):
            project = make_project(owner=world.alice, public=True)
            make_artifact(make_repository(project, "more"), "v1")
        with django_assert_num_queries(len(few)):
            assert len(client.get("/search?q=e").json()["repository"]) >= 27
