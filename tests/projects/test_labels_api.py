"""Labels through the API: global ones, Alice's project's, and what bears them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from core import errors
from core.models import Outbox
from projects import artifacts, labels
from projects.models import Artifact, ArtifactLabel, AuditLog, Label, Project, Repository
from rbac.roles import Role
from tests.rest import Api, code
from tests.rows import (
    Story,
    add_member,
    make_artifact,
    make_project,
    make_repository,
    make_robot,
    make_tag,
    make_user,
)

APP = "/projects/team/repositories/app/artifacts"


@pytest.fixture
def app(story: Story) -> Repository:
    return make_repository(story.team, "app")


def make_label(name: str, project: Project | None = None, **facts: Any) -> Label:
    return Label.objects.create(name=name, project=project, **facts)


def put_on(artifact: Artifact, *some: Label) -> None:
    ArtifactLabel.objects.bulk_create(ArtifactLabel(artifact=artifact, label=label) for label in some)


def names(client: Api, query: str) -> list[str]:
    return [row["name"] for row in client.get(f"/labels?{query}").json()]


# --- labels -------------------------------------------------------------------------------------------------
def test_a_label_of_a_project_as_its_members_see_it(story: Story) -> None:
    given = {"name": "ready", "description": "May be shipped", "color": "#61717D", "scope": "p"}
    answer = Api(story.alice).post("/labels", {**given, "project_id": story.team.pk})
    label = Label.objects.get()
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer["Location"] == f"/api/v2.0/labels/{label.pk}"
    body = Api(story.carol).get(f"/labels/{label.pk}").json()
    assert body["creation_time"].endswith("Z")
    assert len(body.pop("update_time")) == len(body.pop("creation_time"))
    assert body == {"id": label.pk, "project_id": story.team.pk, **given}
    row = AuditLog.objects.get(resource_type="label")
    assert (row.username, row.operation, row.resource) == ("alice", "create", "team/ready")
    assert row.project_id == story.team.pk


def test_a_global_label_belongs_to_no_project(story: Story) -> None:
    body = {"name": "ready", "scope": "g", "project_id": story.team.pk}
    assert Api(story.admin).post("/labels", body).status_code == 201
    label = Label.objects.get()
    shown = Api(story.admin).get(f"/labels/{label.pk}").json()
    assert (shown["scope"], shown["name"]) == ("g", "ready")
    assert not {"project_id", "description", "color"} & set(shown)
    row = AuditLog.objects.get(resource_type="label")
    assert (row.resource, row.project_id) == ("ready", None)


@pytest.mark.parametrize(
    ("method", "path", "body", "statuses"),
    [
        #                                                      admin alice bob carol mallory nobody
        ("get", "?scope=g", None, "200 200 200 200 200 401"),
        ("get", "?scope=p&project_id={team}", None, "200 200 200 200 403 401"),
        ("get", "?scope=p&project_id=999999", None, "404 403 403 403 403 401"),
        ("post", "", {"name": "new", "scope": "g"}, "201 403 403 403 403 401"),
        ("post", "", {"name": "new", "scope": "p", "project_id": "{team}"}, "201 201 403 403 403 401"),
        ("post", "", {"name": "new", "scope": "p", "project_id": 999999}, "404 403 403 403 403 401"),
        ("get", "/{own}", None, "200 200 200 200 404 401"),
        ("put", "/{own}", {"name": "x"}, "200 200 403 403 404 401"),
        ("delete", "/{own}", None, "200 200 403 403 404 401"),
        ("get", "/{all}", None, "200 403 403 403 403 401"),
        ("put", "/{all}", {"name": "x"}, "200 403 403 403 403 401"),
        ("delete", "/{all}", None, "200 403 403 403 403 401"),
        ("get", "/999999", None, "404 404 404 404 404 401"),
        ("put", "/999999", {"name": "x"}, "404 404 404 404 404 401"),
        ("delete", "/999999", None, "404 404 404 404 404 401"),
    ],
)
def test_who_may_do_what(story: Story, method: str, path: str, body: Any, statuses: str) -> None:
    ids = {"team": story.team.pk, "own": make_label("own", story.team).pk, "all": make_label("all").pk}
    if body and body.get("project_id") == "{team}":
        body = {**body, "project_id": story.team.pk}
    url = "/labels" + path.format(**ids)
    people = (story.admin, story.alice, story.bob, story.carol, story.mallory, None)
    assert " ".join(_undone(Api(who), method, url, body) for who in people) == statuses


def _undone(client: Api, method: str, url: str, body: Any) -> str:
    """The status of a call whose changes are taken back."""
    mark = transaction.savepoint()
    status = getattr(client, method)(url, body).status_code
    transaction.savepoint_rollback(mark)
    return str(status)


def test_maintainers_manage_labels_and_limited_guests_see_none(story: Story) -> None:
    dora, erin = make_user("dora"), make_user("erin")
    add_member(story.team, dora, Role.MAINTAINER)
    add_member(story.team, erin, Role.LIMITED_GUEST)
    label = make_label("own", story.team)
    assert Api(dora).put(f"/labels/{label.pk}", {"name": "better"}).status_code == 200
    assert Api(erin).get(f"/labels/{label.pk}").status_code == 404
    assert Api(erin).get(f"/labels?scope=p&project_id={story.team.pk}").status_code == 403
    assert Api(dora).delete(f"/labels/{label.pk}").status_code == 200


def test_robots_do_what_they_were_given_where_they_were_given_it(story: Story) -> None:
    own, other, everywhere = make_label("own", story.team), make_label("x", make_project("other")), make_label("all")
    robot = make_robot(story.team, ["label:delete"])
    assert [Api(robot).delete(f"/labels/{label.pk}").status_code for label in (own, other, everywhere)] == [
        200,
        404,
        403,
    ]
    system = make_robot(None, ["label:create", "label:read", "label:update"])
    assert Api(system).post("/labels", {"name": "new", "scope": "g"}).status_code == 201
    assert Api(system).get(f"/labels/{everywhere.pk}").status_code == 200
    assert Api(system).delete(f"/labels/{everywhere.pk}").status_code == 403
    assert Api(system).get(f"/labels/{other.pk}").status_code == 404


def test_everybody_sees_the_labels_of_a_public_project(story: Story) -> None:
    project = make_project("open", story.alice, public=True)
    label = make_label("ready", project)
    for client in (Api(), Api(story.mallory)):
        assert names(client, f"scope=p&project_id={project.pk}") == ["ready"]
        assert client.get(f"/labels/{label.pk}").json()["name"] == "ready"
    assert Api(story.mallory).delete(f"/labels/{label.pk}").status_code == 403
    assert Api().delete(f"/labels/{label.pk}").status_code == 401
    assert Label.objects.filter(pk=label.pk).exists()


def test_a_name_is_given_once_in_each_place(story: Story) -> None:
    other = make_project("other", story.alice)
    in_team = {"name": "ready", "scope": "p", "project_id": story.team.pk}
    everywhere = {"name": "ready", "scope": "g"}
    client = Api(story.admin)
    for body in (in_team, {**in_team, "project_id": other.pk}, everywhere):
        assert client.post("/labels", body).status_code == 201
    for body in (in_team, everywhere):
        answer = client.post("/labels", body)
        assert (answer.status_code, code(answer)) == (409, "CONFLICT")
        assert "label ready already exists" in answer.json()["errors"][0]["message"]
    for project in (story.team, None):
        second = make_label("second", project)
        assert client.put(f"/labels/{second.pk}", {"name": "ready"}).status_code == 409
        second.refresh_from_db()
        assert second.name == "second"
    # Its own name is no other's.
    assert client.put(f"/labels/{second.pk}", {"name": "second", "color": "#000000"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": ""}, 400),
        ({"name": None}, 400),
        ({"name": "x" * 129}, 400),
        ({"scope": ""}, 400),
        ({"scope": "x"}, 400),
        ({"project_id": 0}, 400),
        ({"project_id": None}, 400),
        ({"name": 5}, 422),
        ({"description": 5}, 422),
        ({"color": "x" * 17}, 422),
        ({"project_id": "1"}, 422),
        ({"project_id": 2**63}, 422),
        ({"name": "a\0b"}, 400),
    ],
    ids=str,
)
def test_labels_that_cannot_be(story: Story, body: Any, status: int) -> None:
    whole = {"name": "ready", "scope": "p", "project_id": story.team.pk, **body}
    answer = Api(story.alice).post("/labels", whole)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["message"]
    assert not Label.objects.exists()


def test_bodies_that_are_no_label(story: Story) -> None:
    label = make_label("own", story.team, description="kept")
    client = Api(story.alice)
    assert client.send("POST", "/labels", b"name=x", "application/x-www-form-urlencoded").status_code == 415
    assert client.post("/labels", []).status_code == 422
    for body, status in (({}, 400), ({"name": "x" * 129}, 400), ({"name": ["x"]}, 422)):
        assert client.put(f"/labels/{label.pk}", body).status_code == status
    label.refresh_from_db()
    assert (label.name, label.description) == ("own", "kept")


def test_a_change_replaces_all_but_where_the_label_belongs(story: Story) -> None:
    other = make_project("other", story.alice)
    label = make_label("old", story.team, description="x", color="#111111")
    body = {"name": "new", "color": "#222222", "scope": "g", "project_id": other.pk, "id": 5}
    answer = Api(story.alice).put(f"/labels/{label.pk}", body)
    assert (answer.status_code, answer.content) == (200, b"")
    before, label = label.updated, Label.objects.get()
    assert (label.name, label.description, label.color) == ("new", "", "#222222")
    assert label.project_id == story.team.pk
    assert label.updated > before
    assert AuditLog.objects.get(resource_type="label").operation == "update"


def test_foreign_labels_answer_as_absent_ones_and_stay_as_they_are(story: Story) -> None:
    make_project("hers", story.mallory)
    label = make_label("own", story.team)
    client = Api(story.mallory)
    for method, body in (("get", None), ("put", {"name": "stolen"}), ("delete", None)):
        foreign = getattr(client, method)(f"/labels/{label.pk}", body)
        absent = getattr(client, method)("/labels/999999", body)
        assert foreign.status_code == absent.status_code == 404
        assert foreign.json() == {"errors": [{"code": "NOT_FOUND", "message": f"label {label.pk} not found"}]}
        assert absent.json() == {"errors": [{"code": "NOT_FOUND", "message": "label 999999 not found"}]}
    label.refresh_from_db()
    assert label.name == "own"
    assert not AuditLog.objects.exists()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("scope=g", ["all", "Urgent"]),
        ("scope=p&project_id={team}", ["ready", "late"]),
        ("scope=p&project_id={team}&name=EA", ["ready"]),
        ("scope=g&name=rg", ["Urgent"]),
        ("scope=g&project_id={team}", ["all", "Urgent"]),
        ("scope=p&project_id={team}&sort=name", ["late", "ready"]),
        ("scope=p&project_id={team}&sort=-creation_time", ["late", "ready"]),
        ("scope=p&project_id={team}&q=name=~la", ["late"]),
        ("scope=p&project_id={team}&q=color=%23000000", ["late"]),
        ("scope=p&project_id={team}&q=project_id={other}", ["ready", "late"]),
        ("scope=p&project_id={team}&page_size=1&page=2", ["late"]),
    ],
)
def test_labels_are_listed(story: Story, query: str, found: list[str]) -> None:
    other = make_project("other", story.bob)
    make_label("foreign", other)
    for name, project, color in (("ready", story.team, ""), ("late", story.team, "#000000"), ("all", None, "")):
        make_label(name, project, color=color)
    make_label("Urgent")
    assert names(Api(story.carol), query.format(team=story.team.pk, other=other.pk)) == found


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ("", 400, "invalid scope"),
        ("scope=x", 400, "invalid scope"),
        ("scope=p", 400, "must with project ID when to query project labels"),
        ("scope=p&project_id=0", 400, "must with project ID when to query project labels"),
        ("scope=p&project_id=team", 422, "project_id in query must be of type int64"),
        ("scope=g&page_size=101", 422, "page_size"),
        ("scope=g&q=name", 400, "the query string must contain"),
    ],
)
def test_lists_that_cannot_be(story: Story, query: str, status: int, word: str) -> None:
    answer = Api(story.alice).get(f"/labels?{query}")
    assert answer.status_code == status
    assert word in answer.json()["errors"][0]["message"]


def test_pages_are_counted_and_linked(story: Story) -> None:
    for name in "abc":
        make_label(name)
    answer = Api(story.carol).get("/labels?scope=g&page_size=2")
    assert answer["X-Total-Count"] == "3"
    assert answer["Link"] == '</api/v2.0/labels?scope=g&page_size=2&page=2>; rel="next"'


def test_a_deleted_project_takes_its_labels_along(story: Story) -> None:
    label, everywhere = make_label("own", story.team), make_label("all")
    assert Api(story.alice).delete("/projects/team").status_code == 200
    for who in (story.admin, story.alice):
        assert Api(who).get(f"/labels/{label.pk}").status_code == 404
    assert [*Label.objects.all()] == [everywhere]


# --- on artifacts -------------------------------------------------------------------------------------------
def test_an_artifact_is_labelled_and_shown_with_its_labels(story: Story, app: Repository) -> None:
    artifact = make_artifact(app, "v1")
    own, everywhere = make_label("own", story.team, color="#111111"), make_label("all")
    answers = [Api(story.bob).post(f"{APP}/v1/labels", {"id": label.pk}) for label in (everywhere, own)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b""), (200, b"")]
    client = Api(story.carol)
    shown = client.get(f"{APP}/{artifact.digest}?with_label=true").json()["labels"]
    assert [(label["id"], label["scope"]) for label in shown] == [(own.pk, "p"), (everywhere.pk, "g")]
    assert shown[0] == client.get(f"/labels/{own.pk}").json()
    assert client.get(f"{APP}?with_label=true").json()[0]["labels"] == shown
    # Only for who asks.
    assert client.get(APP).json()[0]["labels"] is None
    rows = AuditLog.objects.filter(resource_type="artifact-label").order_by("op_time")
    told = [(row.username, row.operation, row.resource) for row in rows]
    assert told[0] == ("bob", "create", f"team/app@{artifact.digest} all")
    assert Outbox.objects.filter(topic="ARTIFACT_LABELED").count() == 2

    assert Api(story.bob).delete(f"{APP}/v1/labels/{everywhere.pk}").status_code == 200
    assert [label["name"] for label in client.get(f"{APP}/v1?with_label=1").json()["labels"]] == ["own"]
    assert AuditLog.objects.filter(resource_type="artifact-label", operation="delete").count() == 1
    assert Label.objects.count() == 2


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        #                      admin alice bob carol mallory nobody
        ("post", "", "200 200 200 403 403 401"),
        ("delete", "/{worn}", "200 200 200 403 403 401"),
    ],
)
def test_who_may_label(story: Story, app: Repository, method: str, path: str, statuses: str) -> None:
    worn, free = make_label("worn", story.team), make_label("free", story.team)
    put_on(make_artifact(app, "v1"), worn)
    url, body = f"{APP}/v1/labels{path.format(worn=worn.pk)}", {"id": free.pk}
    people = (story.admin, story.alice, story.bob, story.carol, story.mallory, None)
    assert " ".join(_undone(Api(who), method, url, body) for who in people) == statuses


def test_labels_that_do_not_fit_an_artifact(story: Story, app: Repository) -> None:
    artifact, other = make_artifact(app, "v1"), make_artifact(app, "v2")
    own, foreign = make_label("own", story.team), make_label("x", make_project("other", story.alice))
    put_on(other, own)
    client, url = Api(story.alice), f"{APP}/v1/labels"
    for body, status in (
        ({"id": foreign.pk}, 404),
        ({"id": 999999}, 404),
        ({"id": 0}, 404),
        ({}, 422),
        ({"id": None}, 422),
        ({"id": "1"}, 422),
        ([], 422),
    ):
        assert client.post(url, body).status_code == status, body
    assert client.post(url, {"name": "own"}).json()["errors"][0]["message"] == "id: This field is required."
    # What another artifact bears is not here.
    assert client.delete(f"{url}/{own.pk}").status_code == 404
    assert client.delete(f"{url}/{foreign.pk}").status_code == 404
    assert client.post(f"{APP}/none/labels", {"id": own.pk}).status_code == 404
    assert client.post(url, {"id": own.pk, "name": "ignored"}).status_code == 200
    again = client.post(url, {"id": own.pk})
    assert (again.status_code, code(again)) == (409, "CONFLICT")
    assert [use.artifact_id for use in ArtifactLabel.objects.order_by("pk")] == [other.pk, artifact.pk]


def test_what_belongs_to_others_is_out_of_reach(story: Story, app: Repository) -> None:
    """Mallory asks in her own project for Alice's artifact and label."""
    artifact, own = make_artifact(app, "v1"), make_label("own", story.team)
    put_on(artifact, own)
    hers = make_repository(make_project("hers", story.mallory), "app")
    make_artifact(hers, "mine")
    mine = make_label("mine", hers.project)
    client, base = Api(story.mallory), "/projects/hers/repositories/app/artifacts"
    assert client.post(f"{base}/mine/labels", {"id": own.pk}).status_code == 404
    assert client.post(f"{base}/{artifact.digest}/labels", {"id": mine.pk}).status_code == 404
    assert client.delete(f"{base}/{artifact.digest}/labels/{own.pk}").status_code == 404
    assert client.delete(f"{base}/mine/labels/{own.pk}").status_code == 404
    assert client.delete(f"{APP}/v1/labels/{own.pk}").status_code == 403
    assert client.get(f"{base}?q=labels=({own.pk})").json() == []
    assert [(use.artifact, use.label) for use in ArtifactLabel.objects.all()] == [(artifact, own)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("labels=({a})", ["both", "one"]),
        ("labels=({a} {b})", ["both"]),
        ("labels=({b} {a} {a})", ["both"]),
        ("labels=({a} 999999)", []),
        ("labels=({a}),tags=one", ["one"]),
        ("labels=({foreign})", []),
    ],
)
def test_artifacts_that_bear_all_of_these_labels(story: Story, app: Repository, query: str, found: list[str]) -> None:
    a, b, foreign = make_label("a", story.team), make_label("b"), make_label("x", make_project("other"))
    one, both = make_artifact(app, "one"), make_artifact(app, "both")
    make_artifact(app, "none")
    put_on(one, a)
    put_on(both, a, b)
    put_on(make_artifact(make_repository(story.team, "more"), "elsewhere"), a, b)
    answer = Api(story.carol).get(f"{APP}?q={query.format(a=a.pk, b=b.pk, foreign=foreign.pk)}")
    assert [row["tags"][0]["name"] for row in answer.json()] == found
    assert answer["X-Total-Count"] == str(len(found))


@pytest.mark.parametrize("condition", ["1", "~1", "{1 2}", "[1~2]", "(a b)", "(-1)", "(1 99999999999999999999)"])
def test_labels_are_asked_for_by_their_ids_and_all_of_them(story: Story, app: Repository, condition: str) -> None:
    answer = Api(story.carol).get(f"{APP}?q=labels={condition}")
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")
    assert "integer list with AND relationship" in answer.json()["errors"][0]["message"]


def test_a_guest_of_some_tags_has_no_labels(story: Story, app: Repository) -> None:
    add_member(story.team, story.mallory, Role.GUEST, {"app": ["v1*"]})
    own, client = make_label("own", story.team), Api(story.mallory)
    put_on(make_artifact(app, "v1"), own)
    assert [row["labels"] for row in client.get(f"{APP}?with_label=true").json()] == [None]
    assert client.get(f"{APP}?q=labels=({own.pk})").json() == []
    assert client.get(f"/labels/{own.pk}").status_code == 404
    assert client.get(f"/labels?scope=p&project_id={story.team.pk}").status_code == 403


def test_deleting_a_label_takes_it_off_and_leaves_the_artifact(story: Story, app: Repository) -> None:
    artifact, own, other = make_artifact(app, "v1"), make_label("own", story.team), make_label("other", story.team)
    put_on(artifact, own, other)
    assert Api(story.alice).delete(f"/labels/{own.pk}").status_code == 200
    shown = Api(story.alice).get(f"{APP}/v1?with_label=true").json()
    assert [label["name"] for label in shown["labels"]] == ["other"]
    assert Api(story.alice).delete(f"/labels/{own.pk}").status_code == 404


@pytest.mark.parametrize("path", ["/projects/team/repositories/app", f"{APP}/v1"])
def test_a_deleted_artifact_comes_back_without_its_labels(story: Story, app: Repository, path: str) -> None:
    artifact, own = make_artifact(app, "v1"), make_label("own", story.team)
    put_on(artifact, own)
    assert Api(story.alice).delete(path).status_code == 200
    # Pushed again it takes over its row.
    Repository.objects.update(deleted=None)
    Artifact.objects.update(deleted=None)
    make_tag(artifact, "again")
    assert Api(story.alice).get(f"{APP}/again?with_label=true").json()["labels"] is None
    assert Label.objects.filter(pk=own.pk).exists()


def test_what_goes_while_it_is_used_is_not_found(story: Story, app: Repository) -> None:
    """The request found the artifact and the label; then somebody was faster."""
    artifact, own = make_artifact(app, "v1"), make_label("own", story.team)
    artifact.repository = app
    Label.objects.filter(pk=own.pk).delete()
    with pytest.raises(errors.NotFound):
        labels.put_on(artifact=artifact, label_id=own.pk, actor=story.alice)
    with pytest.raises(errors.NotFound):
        labels.delete(label=own, actor=story.alice)
    again = make_label("again", story.team)
    artifacts.delete(artifact=artifact, actor=story.alice)
    with pytest.raises(errors.NotFound):
        labels.put_on(artifact=artifact, label_id=again.pk, actor=story.alice)


# --- costs --------------------------------------------------------------------------------------------------
def test_lists_cost_the_same_for_one_and_for_thirty(
    story: Story, app: Repository, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    own = make_label("own", story.team)
    put_on(make_artifact(app, "v1"), own)
    client = Api(story.carol)
    urls = (
        f"/labels?scope=p&project_id={story.team.pk}&page_size=100",
        f"{APP}?with_label=true&page_size=100",
        f"{APP}?with_label=true&q=labels=({own.pk})&page_size=100",
    )
    counts = []
    for url in urls:
        client.get(url)
        with django_assert_max_num_queries(14) as one:
            assert len(client.get(url).json()) == 1
        counts.append(len(one))
    for number in range(30):
        put_on(make_artifact(app, f"t{number}"), own, make_label(f"l{number}", story.team))
    for url, count in zip(urls, counts, strict=True):
        with django_assert_num_queries(count):
            assert len(client.get(url).json()) == 31
