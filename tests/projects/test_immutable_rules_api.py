"""Immutable tag rules through the API: Alice owns `team`, Bob develops there, Carol is a guest, Mallory a stranger."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from core import globs
from projects import immutable_rules, projects
from projects.models import AuditLog, ImmutableRule
from rbac.roles import Role
from tests.rest import Api, code
from tests.rows import Story, add_member, make_project, make_robot, make_user

RULES = "/projects/team/immutabletagrules"


def selector(pattern: str = "**", decoration: str = "matches", kind: str = "doublestar") -> dict[str, Any]:
    return {"kind": kind, "decoration": decoration, "pattern": pattern}


def rule(tags: str = "v*", repositories: str = "**", **more: Any) -> dict[str, Any]:
    """As Harbor's portal sends one."""
    return {
        "disabled": False,
        "action": "immutable",
        "template": "immutable_template",
        "priority": 0,
        "params": {},
        "tag_selectors": [selector(tags)],
        "scope_selectors": {"repository": [selector(repositories, "repoMatches")]},
        **more,
    }


def make_rule(story: Story, **more: Any) -> ImmutableRule:
    given = rule()
    keys = ("tag_selectors", "scope_selectors")
    return ImmutableRule.objects.create(**{"project": story.team, **{key: given[key] for key in keys}, **more})


def message(answer: Any) -> str:
    return str(answer.json()["errors"][0]["message"])


def test_a_rule_is_made_and_listed_in_harbors_shape(story: Story) -> None:
    answer = Api(story.alice).post(RULES, rule("{v*,latest}", "app/**"))
    made = ImmutableRule.objects.get()
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer["Location"] == f"/api/v2.0{RULES}/{made.pk}"
    listed = Api(story.alice).get(RULES)
    assert listed["X-Total-Count"] == "1"
    assert listed.json() == [
        {
            "id": made.pk,
            "action": "immutable",
            "template": "immutable_template",
            "tag_selectors": [selector("{v*,latest}")],
            "scope_selectors": {"repository": [selector("app/**", "repoMatches")]},
        }
    ]
    row = AuditLog.objects.get()
    assert (row.username, row.operation, row.resource_type) == ("alice", "create", "immutable-tag")
    assert (row.resource, row.project_id) == (f"team/{made.pk}", story.team.pk)
    assert row.description.endswith("(tags matching {v*,latest}, in repositories matching app/**)")


@pytest.mark.parametrize(
    ("who", "listed", "made", "changed", "deleted"),
    [
        ("admin", 200, 201, 200, 200),
        ("alice", 200, 201, 200, 200),
        ("maintainer", 200, 201, 200, 200),
        ("bob", 403, 403, 403, 403),
        ("carol", 403, 403, 403, 403),
        ("mallory", 403, 403, 403, 403),
        (None, 401, 401, 401, 401),
    ],
)
def test_rules_are_for_who_manages_the_project(
    story: Story, who: str | None, listed: int, made: int, changed: int, deleted: int
) -> None:
    mia = make_user("mia")
    add_member(story.team, mia, Role.MAINTAINER)
    client = Api(mia if who == "maintainer" else getattr(story, who) if who else None)
    there = make_rule(story)
    assert client.get(RULES).status_code == listed
    assert client.post(RULES, rule("new")).status_code == made
    assert client.put(f"{RULES}/{there.pk}", rule("changed")).status_code == changed
    assert client.delete(f"{RULES}/{there.pk}").status_code == deleted


def test_a_robot_does_what_its_list_says(story: Story) -> None:
    robot = make_robot(story.team, ["immutable-tag:list", "immutable-tag:create"])
    assert Api(robot).post(RULES, rule()).status_code == 201
    assert len(Api(robot).get(RULES).json()) == 1
    assert Api(robot).delete(f"{RULES}/{ImmutableRule.objects.get().pk}").status_code == 403


def test_a_public_project_tells_nobody_else_its_rules(story: Story) -> None:
    make_project("open", story.alice, public=True)
    assert Api(story.mallory).get("/projects/open/immutabletagrules").status_code == 403
    assert Api().get("/projects/open/immutabletagrules").status_code == 401


def test_a_rule_is_changed_and_switched_off(story: Story) -> None:
    made = make_rule(story)
    answer = Api(story.alice).put(f"{RULES}/{made.pk}", rule("release-*", id=made.pk, disabled=True))
    assert (answer.status_code, answer.content) == (200, b"")
    (shown,) = Api(story.alice).get(RULES).json()
    assert (shown["disabled"], shown["tag_selectors"][0]["pattern"]) == (True, "release-*")
    assert AuditLog.objects.get().description.endswith("in repositories matching **, disabled)")


def test_who_only_switches_a_rule_need_not_say_it_again(story: Story) -> None:
    made = make_rule(story)
    before = (made.tag_selectors, made.scope_selectors)
    assert Api(story.alice).put(f"{RULES}/{made.pk}", {"id": made.pk, "disabled": True}).status_code == 200
    made.refresh_from_db()
    assert (made.disabled, made.tag_selectors, made.scope_selectors) == (True, *before)
    assert Api(story.alice).put(f"{RULES}/{made.pk}", {"disabled": False}).status_code == 200
    made.refresh_from_db()
    assert not made.disabled


def test_the_same_selectors_are_there_once(story: Story) -> None:
    client, other = Api(story.alice), make_project("other", story.alice)
    assert client.post(RULES, rule()).status_code == 201
    for twin in (rule(), rule(disabled=True), rule(priority=3)):
        answer = client.post(RULES, twin)
        assert (answer.status_code, code(answer)) == (409, "CONFLICT")
    assert client.post(RULES, rule("other")).status_code == 201
    assert client.put(f"{RULES}/{ImmutableRule.objects.latest('pk').pk}", rule()).status_code == 409
    assert client.post(f"/projects/{other.name}/immutabletagrules", rule()).status_code == 201
    assert ImmutableRule.objects.filter(project=story.team).count() == 2
    with pytest.raises(IntegrityError), transaction.atomic():
        make_rule(story)


def test_rules_as_long_as_they_may_be_are_told_apart(story: Story) -> None:
    client, long = Api(story.alice), "x" * (globs.MOST_CHARACTERS - 1)
    assert client.post(RULES, rule(f"{long}1", f"{long}1")).status_code == 201
    assert client.post(RULES, rule(f"{long}2", f"{long}1")).status_code == 201
    assert client.post(RULES, rule(f"{long}1", f"{long}1")).status_code == 409


ONE, REPOSITORIES = selector("v*"), [selector("**", "repoMatches")]


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ({"tag_selectors": []}, 400, "tag_selectors has exactly one selector, not 0"),
        ({"tag_selectors": [ONE, selector("w*")]}, 400, "name several patterns as {a,b}, or make more rules"),
        ({"tag_selectors": [{"kind": "regexp", "decoration": "matches", "pattern": ".*"}]}, 400, "kind must be"),
        ({"tag_selectors": [selector("v*", "repoMatches")]}, 400, "decoration must be matches or excludes"),
        ({"tag_selectors": [selector("v*", "")]}, 400, "decoration must be"),
        ({"tag_selectors": [selector("")]}, 400, "the pattern '' must have 1 to 255 characters"),
        ({"tag_selectors": [selector("x" * 256)]}, 400, "must have 1 to 255 characters"),
        ({"tag_selectors": [selector("{a,b")]}, 400, "brace without its partner"),
        ({"tag_selectors": [selector("{a,b}" * 40)]}, 400, "stands for more than 64 patterns"),
        ({"tag_selectors": [selector("v[12]")]}, 400, "the pattern"),
        ({"tag_selectors": [selector("a/b")]}, 400, "a tag holds no slash"),
        ({"scope_selectors": {}}, 400, "the one key 'repository'"),
        ({"scope_selectors": {"project": REPOSITORIES}}, 400, "the one key 'repository'"),
        ({"scope_selectors": {"repository": []}}, 400, "scope_selectors.repository has exactly one"),
        ({"scope_selectors": {"repository": [ONE]}}, 400, "repoMatches or repoExcludes"),
        ({"action": "retain"}, 400, "action must be 'immutable'"),
        ({"template": "always"}, 400, "template must be 'immutable_template'"),
        ({"tag_selectors": "v*"}, 422, "tag_selectors"),
        ({"tag_selectors": [{**ONE, "pattern": 7}]}, 422, "pattern"),
        ({"scope_selectors": REPOSITORIES}, 422, "scope_selectors"),
        ({"disabled": "no"}, 422, "disabled"),
        ({"priority": -1}, 422, "priority"),
    ],
    ids=str,
)
def test_rules_that_cannot_be_are_refused_with_what_is_wrong(
    story: Story, said: dict[str, Any], status: int, words: str
) -> None:
    made = make_rule(story, disabled=True)
    answers = [Api(story.alice).post(RULES, {**rule("new"), **said})]
    if said not in ({"tag_selectors": []}, {"scope_selectors": {}}):
        answers.append(Api(story.alice).put(f"{RULES}/{made.pk}", {**rule("new"), **said}))
    for answer in answers:
        assert (answer.status_code, words in message(answer)) == (status, True), answer.content
    made.refresh_from_db()
    assert (ImmutableRule.objects.count(), made.disabled) == (1, True)


def test_a_project_has_a_bounded_number_of_rules(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(immutable_rules, "MOST_RULES", 2)
    answers = [Api(story.alice).post(RULES, rule(f"v{number}")) for number in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 412]
    assert message(answers[-1]) == "project team has 2 immutable tag rules, and no more fit"


def test_a_rule_is_found_only_under_its_own_project(story: Story) -> None:
    """Mallory owns a project and uses it as a way to Alice's rules."""
    make_project("hers", story.mallory)
    made = make_rule(story)
    for method, body in (("put", rule("other")), ("delete", None)):
        path = f"/projects/hers/immutabletagrules/{made.pk}"
        assert getattr(Api(story.mallory), method)(path, body).status_code == 404
    assert Api(story.mallory).get("/projects/hers/immutabletagrules").json() == []
    made.refresh_from_db()
    assert made.tag_selectors == [selector("v*")]


def test_a_rule_that_does_not_exist_or_is_another(story: Story) -> None:
    made = make_rule(story)
    assert Api(story.alice).put(f"{RULES}/999999", rule()).status_code == 404
    assert Api(story.alice).delete(f"{RULES}/999999").status_code == 404
    answer = Api(story.alice).put(f"{RULES}/{made.pk}", rule("other", id=made.pk + 1))
    assert (answer.status_code, message(answer)) == (
        400,
        f"the body is about rule {made.pk + 1}, the path about rule {made.pk}",
    )


def test_a_deleted_rule_is_gone_and_free_again(story: Story) -> None:
    made = make_rule(story)
    assert Api(story.alice).delete(f"{RULES}/{made.pk}").status_code == 200
    assert not ImmutableRule.objects.exists()
    assert Api(story.alice).post(RULES, rule()).status_code == 201


def test_a_deleted_project_takes_its_rules_along(story: Story) -> None:
    project = make_project("empty", story.alice)
    make_rule(story, project=project)
    make_rule(story)
    projects.delete(project=project, actor=story.alice)
    assert ImmutableRule.objects.get().project == story.team


def test_lists_are_paged_and_cost_the_same_for_one_and_for_thirty(
    story: Story, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    client = Api(story.alice)
    client.post(RULES, rule("v0"))
    client.get(RULES)
    with django_assert_max_num_queries(8) as one:
        client.get(f"{RULES}?page_size=30")
    for number in range(1, 31):
        make_rule(story, tag_selectors=[selector(f"v{number}")])
    with django_assert_num_queries(len(one)):
        answer = client.get(f"{RULES}?page_size=30")
    assert (len(answer.json()), answer["X-Total-Count"]) == (30, "31")
    assert [row["tag_selectors"][0]["pattern"] for row in client.get(f"{RULES}?page=4").json()] == ["v30"]
