"""A guest who is limited to some tags, through the API. Mallory may see `v1*` of team/app, and nothing else there."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.models import Outbox
from projects import artifacts, pulls
from projects.models import Artifact, Member, Quota, Repository
from rbac.roles import Role
from tests import factories
from tests.rest import Api
from tests.rows import Story, add_member, make_artifact, make_index, make_project, make_repository, make_robot, make_tag

MEMBERS = "/projects/team/members"
APP = "/projects/team/repositories/app"
SCOPE = [{"repository": "app", "tags": ["v1*"]}]


@pytest.fixture
def app(story: Story) -> Repository:
    add_member(story.team, story.mallory, Role.GUEST, {"app": ["v1*"]})
    return make_repository(story.team, "app")


@pytest.fixture
def mine(app: Repository) -> Artifact:
    return make_artifact(app, "v1", "v1.1", "secret")


@pytest.fixture
def foreign(app: Repository) -> Artifact:
    return make_artifact(app, "v2")


def test_what_happens_out_of_his_sight_moves_no_date_that_he_sees(
    story: Story, app: Repository, mine: Artifact
) -> None:
    def dates() -> list[str]:
        seen = [Api(story.mallory).get(path).json() for path in (APP, "/projects/team")]
        return [body[key] for body in seen for key in ("creation_time", "update_time")]

    before = dates()
    hidden = factories.push(app, story.alice, "secret")
    pulls.note(artifact_id=hidden.pk, tag_id=None, count=True)
    assert pulls.fold() == 1
    artifacts.delete(artifact=hidden, actor=story.alice)
    assert dates() == before


# --- membership ---------------------------------------------------------------------------------------------
def test_a_guests_membership_carries_patterns(story: Story) -> None:
    body = {"role_id": 5, "member_user": {"username": "mallory"}, "tag_scope": SCOPE}
    location = Api(story.alice).post(MEMBERS, body)["Location"]
    shown = Api(story.alice).get(location).json()
    assert (shown["role_name"], shown["tag_scope"]) == ("limitedGuest", SCOPE)
    assert Outbox.objects.get(topic="CREATE_MEMBER").payload["tag_scope"] == "app: v1*"
    # Members without a scope are shown as Harbor shows them.
    assert "tag_scope" not in Api(story.alice).get(f"{MEMBERS}?entityname=carol").json()[0]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"role_id": 5}, SCOPE),
        ({"role_id": 3, "tag_scope": [{"repository": "**", "tags": ["*"]}]}, [{"repository": "**", "tags": ["*"]}]),
        ({"role_id": 3, "tag_scope": None}, None),
        ({"role_id": 2}, None),
        ({"role_id": 2, "tag_scope": None}, None),
    ],
    ids=str,
)
def test_a_client_that_knows_nothing_of_scopes_cannot_lift_one(
    story: Story, app: Any, change: Any, expected: Any
) -> None:
    member = Member.objects.get(user=story.mallory)
    assert Api(story.alice).put(f"{MEMBERS}/{member.pk}", change).status_code == 200
    member.refresh_from_db()
    assert (member.role, member.tag_scope) == (change["role_id"], expected)


@pytest.mark.parametrize(
    ("role", "scope", "status", "word"),
    [
        (3, [], 400, "1 to 20 entries"),
        (3, [{"repository": "a", "tags": ["*"]}] * 21, 400, "1 to 20 entries"),
        (3, [{"repository": "a", "tags": []}], 400, "1 to 50 patterns"),
        (3, [{"repository": "a", "tags": [f"v{n}" for n in range(51)]}], 400, "1 to 50 patterns"),
        (3, [{"repository": "", "tags": ["*"]}], 400, "the pattern ''"),
        (3, [{"repository": "a", "tags": ["[a-z]"]}], 400, "the pattern '[a-z]'"),
        (3, [{"repository": "a", "tags": ["{v1,v2"]}], 400, "without its partner"),
        (3, [{"repository": "a", "tags": [f"{n}{{a,b}}{{c,d}}{{e,f}}" for n in range(50)]}] * 3, 400, "more than 1020"),
        (3, [{"repository": "a", "tags": ["v1/x"]}], 400, "a tag holds no slash"),
        (2, [{"repository": "a", "tags": ["*"]}], 400, "for guests"),
        (3, [{"repository": "a"}], 422, "tags"),
        (3, [{"repository": "a", "tags": "*"}], 422, "list"),
        (3, [{"repository": "a", "tags": [1]}], 422, "string"),
        (3, "everything", 422, "list"),
    ],
    ids=str,
)
def test_scopes_that_cannot_be(story: Story, role: int, scope: Any, status: int, word: str) -> None:
    body = {"role_id": role, "member_user": {"username": "mallory"}, "tag_scope": scope}
    answer = Api(story.alice).post(MEMBERS, body)
    assert answer.status_code == status
    assert word in answer.json()["errors"][0]["message"]
    carol = Member.objects.get(user=story.carol)
    assert Api(story.alice).put(f"{MEMBERS}/{carol.pk}", {"role_id": role, "tag_scope": scope}).status_code == status
    assert story.team.members.count() == 3
    carol.refresh_from_db()
    assert (carol.role, carol.tag_scope) == (Role.GUEST, None)


# --- what he sees -------------------------------------------------------------------------------------------
def test_lists_and_counts_hold_only_what_his_tags_reach(
    story: Story, app: Repository, mine: Artifact, foreign: Artifact
) -> None:
    part = make_artifact(app, "part-by-another-name")
    index = make_index(app, [part], "v1-multi")
    make_artifact(make_repository(story.team, "hidden"), "v1")
    client = Api(story.mallory)
    assert [(row["name"], row["artifact_count"]) for row in client.get("/projects/team/repositories").json()] == [
        ("team/app", 2)
    ]
    assert [row["name"] for row in client.get("/repositories").json()] == ["team/app"]
    assert client.get(APP).json()["artifact_count"] == 2
    assert client.get("/projects/team").json()["repo_count"] == 1
    assert client.get("/projects").json()[0]["repo_count"] == 1
    assert client.get("/projects/team/summary").json() == {"repo_count": 1}
    listed = client.get(f"{APP}/artifacts")
    assert listed["X-Total-Count"] == "2"
    shown = {row["digest"]: {tag["name"] for tag in row["tags"]} for row in listed.json()}
    assert shown == {mine.digest: {"v1", "v1.1"}, index.digest: {"v1-multi"}}
    tags = client.get(f"{APP}/artifacts/v1/tags")
    assert ({tag["name"] for tag in tags.json()}, tags["X-Total-Count"]) == ({"v1", "v1.1"}, "2")
    assert client.get(f"{APP}/artifacts/{part.digest}").json()["tags"] is None


@pytest.mark.parametrize(
    ("q", "number"),
    [("tags=secret", 0), ("tags=~sec", 0), ("tags=v1", 1), ("tags=*", 1), ("tags=nil", 0), ("tags={secret v2}", 0)],
)
def test_a_search_finds_only_what_his_tags_reach(
    story: Story, mine: Artifact, foreign: Artifact, q: str, number: int
) -> None:
    answer = Api(story.mallory).get(f"{APP}/artifacts?q={q}")
    assert (answer["X-Total-Count"], len(answer.json())) == (str(number), number)


def test_what_hangs_on_his_artifacts_is_his(story: Story, app: Repository, mine: Artifact, foreign: Artifact) -> None:
    sbom, other = make_artifact(app, subject=mine), make_artifact(app, subject=foreign)
    client = Api(story.mallory)
    assert [row["digest"] for row in client.get(f"{APP}/artifacts/v1/accessories").json()] == [sbom.digest]
    assert client.get(f"{APP}/artifacts/{sbom.digest}").status_code == 200
    assert client.get(f"{APP}/artifacts/{other.digest}").status_code == 404


def test_what_is_out_of_reach_looks_like_what_is_not_there(
    story: Story, app: Repository, mine: Artifact, foreign: Artifact
) -> None:
    make_artifact(make_repository(story.team, "hidden"), "v1")
    part_of_his = make_artifact(app)
    make_tag(part_of_his, "v2-part")
    make_index(app, [part_of_his], "v1-index")
    absent = "sha256:" + "0" * 64
    client = Api(story.mallory)
    for forbidden, nowhere, path in (
        (foreign.digest, absent, "app/artifacts/{}"),
        ("v2", "v9", "app/artifacts/{}"),
        ("secret", "v9", "app/artifacts/{}"),
        ("v2-part", "v9", "app/artifacts/{}"),
        ("v2", "v9", "app/artifacts/{}/tags"),
        (foreign.digest, absent, "app/artifacts/{}/accessories"),
        ("hidden", "nothing", "{}"),
        ("hidden", "nothing", "{}/artifacts"),
        ("hidden", "nothing", "{}/artifacts/v1"),
        ("hidden", "nothing", "{}/artifacts/v1/tags"),
    ):
        answers = [client.get(f"/projects/team/repositories/{path.format(word)}") for word in (forbidden, nowhere)]
        said = [
            answer.content.decode().replace(word, "")
            for answer, word in zip(answers, (forbidden, nowhere), strict=True)
        ]
        assert [answer.status_code for answer in answers] == [404, 404], path
        assert said[0] == said[1], path


def test_he_has_no_other_rights_in_the_project(story: Story, mine: Artifact) -> None:
    client = Api(story.mallory)
    for method, path, body in (
        ("get", MEMBERS, None),
        ("get", "/robots?q=Level=project,ProjectID=" + str(story.team.pk), None),
        ("put", APP, {"description": "x"}),
        ("delete", APP, None),
        ("delete", f"{APP}/artifacts/v1", None),
        ("post", f"{APP}/artifacts/v1/tags", {"name": "v1.9"}),
        ("delete", f"{APP}/artifacts/v1/tags/v1", None),
        ("put", "/projects/team", {"metadata": {"public": "true"}}),
        ("get", "/projects/team/access/explain?subject=alice&action=pull", None),
    ):
        assert getattr(client, method)(path, body).status_code == 403, path
    assert Artifact.objects.live().filter(pk=mine.pk).exists()
    said = client.get(f"/users/current/permissions?scope=/project/{story.team.pk}&relative=true").json()
    assert {"resource": "repository", "action": "pull"} in said
    assert {"resource": "member", "action": "list"} not in said
    assert not [pair for pair in said if pair["action"] not in ("read", "list", "pull")]


@pytest.mark.parametrize(
    "path",
    ["/projects/team/repositories", f"{APP}/artifacts", f"{APP}/artifacts/v1/tags", "/projects", "/repositories"],
)
def test_lists_cost_the_same_whatever_their_length(
    story: Story,
    app: Repository,
    mine: Artifact,
    path: str,
    django_assert_num_queries: Any,
    django_assert_max_num_queries: Any,
) -> None:
    client = Api(story.mallory)
    client.get(path)
    with django_assert_max_num_queries(16) as one:
        client.get(f"{path}?page_size=100")
    for number in range(12):
        make_tag(mine, f"v1-{number}")
        make_artifact(app, f"v1.1-{number}")
        elsewhere = make_project("", story.alice)
        make_artifact(make_repository(elsewhere, "app"), "v1")
        add_member(elsewhere, story.mallory, Role.GUEST, {"app": ["v1*"]})
    with django_assert_num_queries(len(one)):
        client.get(f"{path}?page_size=100")


# --- why ----------------------------------------------------------------------------------------------------
def explained(story: Story, subject: str, action: str, reference: str = "") -> tuple[bool, str]:
    data = {"subject": subject, "action": action, "reference": reference}
    answer = Api(story.alice).get("/projects/team/access/explain", data)
    assert answer.status_code == 200, answer.content
    return answer.json()["allowed"], answer.json()["rule"]


def test_an_admin_is_told_which_rule_decided(story: Story, app: Repository, mine: Artifact, foreign: Artifact) -> None:
    sbom = make_artifact(app, subject=mine)
    layer, other = (each.references.get(kind="layer").digest for each in (mine, foreign))
    for subject, action, reference, expected in (
        ("root", "delete", "app", (True, "system-admin")),
        ("alice", "member:update", "", (True, "role")),
        ("carol", "pull", "app:v2", (True, "role")),
        ("carol", "push", "app:v2", (False, "no-rule")),
        ("mallory", "pull", "app:v1", (True, "tag-scope")),
        ("mallory", "pull", "team/app:v1", (True, "tag-scope")),
        ("mallory", "pull", "", (True, "tag-scope")),
        ("mallory", "pull", "app", (True, "tag-scope")),
        ("mallory", "pull", "app:secret", (False, "tag-scope")),
        ("mallory", "pull", "app:v1.9", (False, "tag-scope")),
        ("mallory", "pull", "other", (False, "tag-scope")),
        ("mallory", "pull", f"app@{mine.digest}", (True, "tag-scope")),
        ("mallory", "pull", f"app@{sbom.digest}", (True, "tag-scope")),
        ("mallory", "pull", f"app@{foreign.digest}", (False, "tag-scope")),
        ("mallory", "pull", f"app@{layer}", (True, "tag-scope")),
        ("mallory", "pull", f"app@{other}", (False, "tag-scope")),
        ("mallory", "push", "app:v1", (False, "no-rule")),
        ("mallory", "member:list", "", (False, "no-rule")),
        ("anonymous", "pull", "app:v1", (False, "no-rule")),
        ("nobody", "pull", "app:v1", (False, "unknown-subject")),
        ("robot$team+none", "pull", "app:v1", (False, "unknown-subject")),
    ):
        assert explained(story, subject, action, reference) == expected, (subject, action, reference)


def test_the_sentence_names_the_pattern_and_the_tag(story: Story, app: Repository, mine: Artifact) -> None:
    data = {"subject": "mallory", "action": "pull", "reference": f"app@{mine.digest}"}
    assert Api(story.alice).get("/projects/team/access/explain", data).json()["explanation"] == (
        "mallory is a guest limited to some tags; the pattern 'v1*' for tags of 'app' names the tag v1, "
        "which leads to this manifest"
    )


def test_which_robots_others_have_is_not_told(story: Story) -> None:
    """Mallory manages a project of her own, even a public one, and asks there about Alice's robots."""
    make_project("own", story.mallory, public=True)
    make_robot(story.team, ["repository:pull"], name="ci")
    make_robot(None, ["project:list"], name="everywhere")
    own = make_robot(story.team, ["repository:pull"], name="own")

    def said(name: str) -> str:
        data = {"subject": name, "action": "pull"}
        answer = Api(story.mallory).get("/projects/own/access/explain", data)
        return str(answer.content.decode()).replace(name, "")

    assert said("robot$team+ci") == said("robot$everywhere") == said("robot$team+none")
    # What everybody may in a public project they may too.
    assert '"public-project"' in said("robot$team+ci")
    assert explained(story, own.name, "pull") == (True, "robot-permission")


def test_an_explanation_costs_the_same_however_many_patterns_there_are(
    story: Story, app: Repository, mine: Artifact, django_assert_num_queries: Any
) -> None:
    ask = ("mallory", "pull", f"app@{mine.references.get(kind='layer').digest}")
    with CaptureQueriesContext(connection) as few:
        assert explained(story, *ask) == (True, "tag-scope")
    patterns = [{"repository": f"other{number}", "tags": [f"{n}*" for n in range(50)]} for number in range(19)]
    Member.objects.filter(user=story.mallory).update(tag_scope=patterns + SCOPE)
    with django_assert_num_queries(len(few)):
        assert explained(story, *ask) == (True, "tag-scope")


def test_the_sentence_tells_how_each_kind_of_thing_is_reached(story: Story, app: Repository, mine: Artifact) -> None:
    signature = mine.digest.replace(":", "-") + ".sig"
    make_tag(make_artifact(app, subject=mine), signature)
    layer = mine.references.get(kind="layer").digest
    for reference, how in (
        ("", "names some of the project"),
        ("app", "names a tag in it"),
        ("app:v1", "names this tag"),
        (f"app:{signature}", "names the tag v1, which leads to this manifest"),
        (f"app@{layer}", "names the tag v1, which needs this blob"),
    ):
        data = {"subject": "mallory", "action": "pull", "reference": reference}
        said = Api(story.alice).get("/projects/team/access/explain", data).json()["explanation"]
        assert said == f"mallory is a guest limited to some tags; the pattern 'v1*' for tags of 'app' {how}"


def test_policies_and_disabled_accounts_are_explained_too(story: Story, app: Repository) -> None:
    assert explained(story, "bob", "push", "app:v1") == (True, "role")
    Quota.objects.filter(project=story.team).update(hard=10, used=10)
    assert explained(story, "bob", "push", "app:v1") == (False, "quota")
    assert explained(story, "bob", "pull", "app:v1") == (True, "role")
    story.bob.is_active = False
    story.bob.save()
    assert explained(story, "bob", "pull", "app:v1") == (False, "inactive")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("subject=bob", 422),
        ("action=pull", 422),
        ("subject=bob&action=fly", 400),
        ("subject=bob&action=pull&reference=App:v1", 400),
        ("subject=bob&action=pull&reference=app:", 200),
        ("subject=bob&action=pull&reference=app@sha256:12", 400),
        ("subject=bob&action=pull&reference=app:a%20b", 400),
        ("subject=b%00b&action=pull", 400),
    ],
)
def test_questions_that_make_no_sense(story: Story, query: str, status: int) -> None:
    assert Api(story.alice).get(f"/projects/team/access/explain?{query}").status_code == status


def test_only_who_manages_members_may_ask(story: Story) -> None:
    path = "/projects/team/access/explain?subject=alice&action=pull"
    answers = {name: Api(actor).get(path).status_code for name, actor in vars(story).items() if name != "team"}
    assert answers == {"admin": 200, "alice": 200, "bob": 403, "carol": 403, "mallory": 403}
    assert Api().get(path).status_code == 401
