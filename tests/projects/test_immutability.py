"""Which tags are immutable: the rules of their project decide, and whoever asks for it sees it."""

from __future__ import annotations

from typing import Any

import pytest

from projects import immutability
from projects.models import ImmutableRule, Repository
from rbac.roles import Role
from tests.rest import Api
from tests.rows import Story, add_member, make_artifact, make_project, make_repository, make_tag

APP = "/projects/team/repositories/app"
ASKED = "with_immutable_status=true"


def rule(tags: str, repositories: str = "**", **facts: Any) -> ImmutableRule:
    """An unsaved rule; a pattern that begins with `!` is what must not match."""

    def selector(pattern: str, decorations: tuple[str, str]) -> dict[str, str]:
        kind = {"kind": "doublestar", "decoration": decorations[pattern.startswith("!")]}
        return {**kind, "pattern": pattern.removeprefix("!")}

    return ImmutableRule(
        tag_selectors=[selector(tags, ("matches", "excludes"))],
        scope_selectors={"repository": [selector(repositories, ("repoMatches", "repoExcludes"))]},
        **facts,
    )


@pytest.mark.parametrize(
    ("rules", "repository", "tag", "covered"),
    [
        ([], "app", "v1", False),
        ([rule("**")], "app", "v1", True),
        ([rule("v1.*")], "app", "v1.2", True),
        ([rule("v1.*")], "app", "v2.0", False),
        ([rule("{v*,latest}")], "app", "latest", True),
        # A pattern names the whole of a tag.
        ([rule("v")], "app", "v1", False),
        ([rule("!dev-*")], "app", "v1", True),
        ([rule("!dev-*")], "app", "dev-7", False),
        ([rule("**", "app")], "app", "v1", True),
        ([rule("**", "app")], "web", "v1", False),
        ([rule("**", "lib/**")], "lib/a/b", "v1", True),
        ([rule("**", "lib/*")], "lib/a/b", "v1", False),
        # Repositories are called without their project.
        ([rule("**", "team/**")], "app", "v1", False),
        ([rule("**", "!lib/**")], "app", "v1", True),
        ([rule("**", "!lib/**")], "lib/a", "v1", False),
        ([rule("!dev-*", "!lib/**")], "lib/a", "v1", False),
        # Both halves of one rule count, never one of each.
        ([rule("v*", "web"), rule("x*", "app")], "app", "v1", False),
        ([rule("v*", "web"), rule("v*", "app")], "app", "v1", True),
        # What one rule does not name, another one may: none takes anything back.
        ([rule("!v*"), rule("v*")], "app", "v1", True),
        ([rule("**", disabled=True)], "app", "v1", False),
        ([rule("**", disabled=True), rule("v*")], "app", "v1", True),
    ],
)
def test_a_tag_is_covered_by_any_enabled_rule(
    rules: list[ImmutableRule], repository: str, tag: str, covered: bool
) -> None:
    assert immutability.of_rules(rules).covers(repository, tag) is covered


# --- what is shown -----------------------------------------------------------------------------------------------
@pytest.fixture
def app(story: Story) -> Repository:
    """One artifact of three tags; a rule keeps its releases, and one of another project everything."""
    app = make_repository(story.team)
    image = make_artifact(app, "v1")
    for name in ("nightly", "v2"):
        make_tag(image, name)
    for project, tags in ((story.team, "v*"), (make_project("other", story.alice), "**")):
        made = rule(tags)
        made.project = project
        made.save()
    return app


def immutable_ones(rows: list[dict[str, Any]]) -> set[str]:
    return {tag["name"] for tag in rows if tag["immutable"]}


@pytest.mark.parametrize(
    "path", [f"{APP}/artifacts", f"{APP}/artifacts/v1", "/projects/team/artifacts", f"{APP}/artifacts/v1/tags"]
)
def test_whoever_asks_sees_which_tags_are_immutable(story: Story, app: Repository, path: str) -> None:
    for who in (story.alice, story.carol, story.admin):
        shown = {}
        for query in ("", "with_immutable_status=false", ASKED):
            answer = Api(who).get(f"{path}?{query}").json()
            if not path.endswith("tags"):
                answer = (answer if isinstance(answer, dict) else answer[0])["tags"]
            assert len(answer) == 3
            shown[query] = immutable_ones(answer)
        # As in Harbor, who does not ask is not told.
        assert shown == {"": set(), "with_immutable_status=false": set(), ASKED: {"v1", "v2"}}


def test_a_guest_of_some_tags_sees_it_of_his(story: Story, app: Repository) -> None:
    add_member(story.team, story.mallory, Role.GUEST, {"app": ["v1", "nightly"]})
    listed = Api(story.mallory).get(f"{APP}/artifacts/v1/tags?{ASKED}").json()
    assert {tag["name"]: tag["immutable"] for tag in listed} == {"v1": True, "nightly": False}


def test_it_may_be_asked_for_where_no_tags_are_shown(story: Story, app: Repository) -> None:
    answer = Api(story.carol).get(f"{APP}/artifacts?with_tag=false&{ASKED}")
    assert (answer.status_code, answer.json()[0]["tags"]) == (200, None)
