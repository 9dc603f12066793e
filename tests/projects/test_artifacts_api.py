"""Repositories, artifacts and tags through the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from projects import labels
from projects.models import Artifact, AuditLog, Repository, Tag
from rbac.roles import Role
from tests.rest import Api, code
from tests.rows import Story, add_member, make_artifact, make_index, make_project, make_repository, make_robot, make_tag

REPOSITORIES = "/projects/team/repositories"
APP = f"{REPOSITORIES}/app"


@pytest.fixture
def app(story: Story) -> Repository:
    return make_repository(story.team, "app")


# --- repositories -------------------------------------------------------------------------------------------
def test_a_repository_as_its_readers_see_it(story: Story, app: Repository) -> None:
    child = make_artifact(app)
    make_artifact(app, subject=make_index(app, [child], "latest"))
    body = Api(story.carol).get(APP).json()
    # Parts of an index and accessories do not count.
    assert (body["name"], body["artifact_count"], body["pull_count"]) == ("team/app", 1, 0)
    assert body["project_id"] == story.team.pk
    assert "description" not in body


@pytest.mark.parametrize("name", ["a%252Fb%252Fc", "a%2Fb%2Fc"])
def test_slashes_in_names_are_encoded_twice_or_once(story: Story, name: str) -> None:
    make_artifact(make_repository(story.team, "a/b/c"), "v1")
    assert Api(story.carol).get(f"{REPOSITORIES}/{name}").json()["name"] == "team/a/b/c"
    assert Api(story.carol).get(f"{REPOSITORIES}/{name}/artifacts/v1").json()["repository_name"] == "team/a/b/c"
    assert len(Api(story.carol).get(f"{REPOSITORIES}/{name}/artifacts/v1/tags").json()) == 1


def test_a_repository_named_like_a_part_of_the_address(story: Story) -> None:
    make_artifact(make_repository(story.team, "app/artifacts/v1"), "v2")
    url = f"{REPOSITORIES}/app%252Fartifacts%252Fv1"
    assert Api(story.carol).get(url).json()["name"] == "team/app/artifacts/v1"
    assert len(Api(story.carol).get(f"{url}/artifacts").json()) == 1


def test_developers_describe_and_maintainers_delete(story: Story, app: Repository) -> None:
    artifact = make_artifact(app, "v1")
    assert Api(story.bob).put(APP, {"description": "Our app"}).status_code == 200
    assert Api(story.carol).put(APP, {"description": "Mine"}).status_code == 403
    assert Api(story.carol).get(APP).json()["description"] == "Our app"
    assert Api(story.bob).delete(APP).status_code == 403
    assert Api(story.alice).delete(APP).status_code == 200
    assert Api(story.alice).get(APP).status_code == 404
    artifact.refresh_from_db()
    assert artifact.deleted is not None
    assert AuditLog.objects.filter(operation="delete", resource="team/app", username="alice").exists()


def test_strangers_list_public_repositories_but_do_not_read_one(story: Story) -> None:
    make_repository(make_project("open", story.alice, public=True), "app")
    assert Api(story.mallory).get("/projects/open/repositories").status_code == 200
    assert Api().get("/projects/open/repositories").status_code == 200
    # Harbor's quirk.
    assert Api(story.mallory).get("/projects/open/repositories/app").status_code == 403
    assert Api().get("/projects/open/repositories/app").status_code == 401


def test_everything_one_may_list(story: Story, app: Repository) -> None:
    make_repository(make_project("open", story.alice, public=True), "tool")
    make_repository(make_project("hidden", story.alice), "x")
    gone = make_project("gone", story.alice, public=True)
    make_repository(gone, "x")
    gone.deleted = timezone.now()
    gone.save()

    def names(client: Api, query: str = "sort=name") -> list[str]:
        return [row["name"] for row in client.get(f"/repositories?{query}").json()]

    assert names(Api(story.bob)) == ["open/tool", "team/app"]
    assert names(Api()) == ["open/tool"]
    assert names(Api(story.admin)) == ["hidden/x", "open/tool", "team/app"]
    assert names(Api(make_robot(story.team, ["repository:list"]))) == ["open/tool", "team/app"]
    assert names(Api(make_robot(story.team, ["tag:list"]))) == ["open/tool"]
    assert names(Api(story.bob), "q=name=~app") == ["team/app"]
    assert names(Api(story.bob), f"q=project_id={story.team.pk}") == ["team/app"]


# --- artifacts ----------------------------------------------------------------------------------------------
def test_an_artifact_as_its_readers_see_it(story: Story, app: Repository) -> None:
    pushed = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    artifact = make_artifact(app, "v1", pushed=pushed, extra_attrs={"os": "linux"})
    body = Api(story.carol).get(f"{APP}/artifacts/v1").json()
    assert body["digest"] == artifact.digest
    assert (body["type"], body["size"]) == ("IMAGE", artifact.size)
    assert body["media_type"] == "application/vnd.oci.image.config.v1+json"
    assert body["manifest_media_type"] == "application/vnd.oci.image.manifest.v1+json"
    assert (body["project_id"], body["repository_id"]) == (story.team.pk, app.pk)
    assert body["push_time"] == "2024-01-02T03:04:05.678Z"
    assert body["pull_time"] == "0001-01-01T00:00:00.000Z"
    assert body["extra_attrs"] == {"os": "linux"}
    assert [(tag["name"], tag["immutable"]) for tag in body["tags"]] == [("v1", False)]
    assert Api(story.carol).get(f"{APP}/artifacts/{artifact.digest}").json() == body
    assert Api(story.carol).get(f"{APP}/artifacts/v1?with_tag=false").json()["tags"] is None


def test_an_index_names_its_parts(story: Story, app: Repository) -> None:
    children = [make_artifact(app), make_artifact(app)]
    index = make_index(app, children, "latest")
    body = Api(story.carol).get(f"{APP}/artifacts/latest").json()
    assert body["references"] == [
        {
            "parent_id": index.pk,
            "child_id": child.pk,
            "child_digest": child.digest,
            "platform": {"architecture": f"arch{number}", "os": "linux"},
        }
        for number, child in enumerate(children)
    ]


def test_what_hangs_on_an_artifact(story: Story, app: Repository) -> None:
    subject = make_artifact(app, "v1")
    signature = make_artifact(app, subject=subject)
    (accessory,) = Api(story.carol).get(f"{APP}/artifacts/v1/accessories").json()
    assert (accessory["digest"], accessory["subject_artifact_digest"]) == (signature.digest, subject.digest)
    assert (accessory["artifact_id"], accessory["subject_artifact_repo"]) == (signature.pk, "team/app")
    body = Api(story.carol).get(f"{APP}/artifacts/v1?with_accessory=true").json()
    assert body["accessories"] == [accessory]
    assert Api(story.carol).get(f"{APP}/artifacts/v1").json()["accessories"] is None


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["new", "old", None]),
        ("sort=push_time", [None, "old", "new"]),
        ("q=tags=*", ["new", "old"]),
        ("q=tags=nil", [None]),
        ("q=tags=~LD", ["old"]),
        ("q=tags=old", ["old"]),
        ("q=tags=moved", []),
        ("q=tags={old new}", ["new", "old"]),
        ("q=type=IMAGE,tags=~o", ["old"]),
        ("q=type=CHART", []),
        ("q=size=[0~1]", []),
        ("q=push_time=[2024-01-02T00:00:00~]", ["new", "old"]),
        ("q=repository__project__name=x", ["new", "old", None]),
        ("page_size=1&page=2", ["old"]),
    ],
)
def test_artifacts_are_listed(story: Story, app: Repository, query: str, names: list[str | None]) -> None:
    day = datetime(2024, 1, 1, tzinfo=UTC)
    make_artifact(app, pushed=day)
    old = make_artifact(app, "old", "old2", pushed=day + timedelta(days=1))
    make_tag(old, "moved", deleted=day)
    make_index(app, [make_artifact(app)], "new", pushed=day + timedelta(days=2))
    make_artifact(app, subject=old)
    make_artifact(app, "gone", deleted=day)
    rows = Api(story.carol).get(f"{APP}/artifacts?{query}").json()
    assert [row["tags"][-1]["name"].removesuffix("2") if row["tags"] else None for row in rows] == names


def test_deleting_takes_tags_along_but_no_part_of_an_index(story: Story, app: Repository) -> None:
    child = make_artifact(app)
    make_index(app, [child], "latest", "v1")
    refused = Api(story.alice).delete(f"{APP}/artifacts/{child.digest}")
    assert (refused.status_code, code(refused)) == (412, "PRECONDITION")
    assert Api(story.bob).delete(f"{APP}/artifacts/latest").status_code == 403
    assert Api(story.alice).delete(f"{APP}/artifacts/latest").status_code == 200
    assert not Tag.objects.live().exists()
    assert Api(story.alice).delete(f"{APP}/artifacts/{child.digest}").status_code == 200
    assert not Artifact.objects.live().exists()


@pytest.mark.parametrize("reference", ["none", "sha256:" + "0" * 64, "sha512:abc", "a b", "-x", "sha256:x"])
def test_artifacts_that_are_not_there(story: Story, app: Repository, reference: str) -> None:
    answer = Api(story.alice).get(f"{APP}/artifacts/{reference}")
    assert (answer.status_code, code(answer)) == (404, "NOT_FOUND")


def test_what_belongs_to_others_is_out_of_reach(story: Story, app: Repository) -> None:
    """Mallory asks in her own project for what is in Alice's, by its digest and by its tag."""
    artifact = make_artifact(app, "v1")
    hers = make_repository(make_project("hers", story.mallory), "app")
    own = make_artifact(hers, "mine")
    client, base = Api(story.mallory), "/projects/hers/repositories/app/artifacts"
    for path in (f"{base}/{artifact.digest}", f"{base}/v1", f"{base}/mine/tags/v1", "/projects/hers/repositories/x"):
        assert client.delete(path).status_code == 404
    # A tag of the same repository that is another artifact's.
    other = make_artifact(hers, "other")
    assert client.delete(f"{base}/{own.digest}/tags/other").status_code == 404
    assert client.get(f"{base}/{artifact.digest}/tags").status_code == 404
    assert client.get(f"{base}/{artifact.digest}/accessories").status_code == 404
    assert Artifact.objects.live().filter(pk__in=[artifact.pk, own.pk, other.pk]).count() == 3
    assert Tag.objects.live().count() == 3
    # By the name of Alice's project nothing is hers, deleted or not.
    assert client.get(f"{APP}/artifacts/v1").status_code == 403


# --- of a whole project ------------------------------------------------------------------------------------
EVERYTHING = "/projects/team/artifacts"
# Harbor unescapes q once more than HTTP does.
IMAGE = "application/vnd.oci.image.config.v1%252Bjson"
DAY = datetime(2024, 1, 1, tzinfo=UTC)


def shown(answer: Any) -> list[str]:
    """What is listed, each by the name of its newest tag, or by its repository when it has none."""
    assert answer.status_code == 200, answer.content
    return [row["tags"][0]["name"] if row["tags"] else row["repository_name"] for row in answer.json()]


@pytest.fixture
def project_of_many(story: Story, app: Repository) -> None:
    """From new to old: a chart, an index over a tagged and an untagged image, an older image; and what nobody lists."""
    tool = make_repository(story.team, "deep/tool")
    old = make_artifact(app, "old", pushed=DAY)
    parts = [make_artifact(tool, "part", pushed=DAY + timedelta(days=1)), make_artifact(tool, pushed=DAY)]
    make_index(tool, parts, "multi", pushed=DAY + timedelta(days=2))
    helm = "application/vnd.cncf.helm.config.v1+json"
    make_artifact(app, "chart", kind="CHART", config_media_type=helm, artifact_type=helm)
    make_artifact(app, subject=old)
    make_artifact(app, "gone", deleted=DAY)
    make_artifact(make_repository(make_project("other", story.alice), "app"), "foreign")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["chart", "multi", "part", "old"]),
        ("with_tag=false", ["team/app", "team/deep/tool", "team/deep/tool", "team/app"]),
        ("sort=push_time", ["old", "part", "multi", "chart"]),
        ("page_size=2&page=2", ["part", "old"]),
        ("q=type=CHART", ["chart"]),
        ("q=type={CHART IMAGE},tags=~ar", ["chart", "part"]),
        ("q=tags=nil", []),
        ("q=base=*", ["chart", "multi", "part", "team/deep/tool", "old"]),
        ("q=base=*,tags=nil", ["team/deep/tool"]),
        ("q=repository_name=team/deep/tool", ["multi", "part"]),
        ("q=repository_name=~APP", ["chart", "old"]),
        (f"q=media_type={IMAGE}", ["part", "old"]),
        ("q=media_type=application/vnd.oci.image.index.v1%252Bjson", ["multi"]),
        ("latest_in_repository=true&q=media_type=~.image.", ["multi", "old"]),
        (f"latest_in_repository=true&q=media_type={IMAGE}", ["part", "old"]),
        ("latest_in_repository=true&q=artifact_type=~config", ["chart", "part"]),
        (f"latest_in_repository=true&q=media_type={IMAGE},tags=old", ["old"]),
        (f"latest_in_repository=true&q=ArtifactType={IMAGE},repository_name=team/app", ["old"]),
        ("latest_in_repository=false&q=type=CHART", ["chart"]),
    ],
)
def test_artifacts_of_a_project_are_listed(
    story: Story, project_of_many: None, query: str, expected: list[str]
) -> None:
    answer = Api(story.carol).get(f"{EVERYTHING}?{query}")
    assert shown(answer) == expected
    if "page" not in query:
        assert answer["X-Total-Count"] == str(len(expected))
    by_number = Api(story.carol).get(f"/projects/{story.team.pk}/artifacts?{query}")
    assert by_number.json() == answer.json()


@pytest.mark.parametrize(
    "query", ["", "&q=type=IMAGE", f"&q=media_type={IMAGE},artifact_type={IMAGE}", "&q=media_type=[~]"]
)
def test_the_latest_of_what_is_asked_for_by_its_type(story: Story, project_of_many: None, query: str) -> None:
    answer = Api(story.carol).get(f"{EVERYTHING}?latest_in_repository=true{query}")
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")


def test_a_projects_list_shows_what_a_repositorys_shows(story: Story, app: Repository) -> None:
    subject = make_artifact(app, "v1", annotations={"a": "b"}, extra_attrs={"os": "linux"})
    make_artifact(app, subject=subject)
    make_index(app, [make_artifact(app)], "multi")
    label = labels.create(project=story.team, name="stable", description="", color="", actor=story.alice)
    labels.put_on(artifact=subject, label_id=label.pk, actor=story.alice)
    query = "?with_label=true&with_accessory=true"
    listed = Api(story.carol).get(f"{EVERYTHING}{query}").json()
    assert listed == Api(story.carol).get(f"{APP}/artifacts{query}").json()
    row = next(row for row in listed if row["digest"] == subject.digest)
    assert [label["name"] for label in row["labels"]] == ["stable"]
    assert [accessory["type"] for accessory in row["accessories"]] == ["subject.accessory"]
    assert (row["annotations"], row["extra_attrs"]) == ({"a": "b"}, {"os": "linux"})
    found = Api(story.carol).get(f"{EVERYTHING}?q=labels=({label.pk})").json()
    assert [each["digest"] for each in found] == [subject.digest]
    # Each of them is asked for.
    assert [Api(story.carol).get(EVERYTHING).json()[1][key] for key in ("labels", "accessories")] == [None, None]


def test_a_guest_of_some_tags_lists_what_they_reach(story: Story, project_of_many: None) -> None:
    add_member(story.team, story.mallory, Role.GUEST, {"app": ["ch*"], "deep/**": ["multi"]})
    guest = Api(story.mallory)
    assert shown(guest.get(EVERYTHING)) == ["chart", "multi"]
    assert shown(guest.get(f"{EVERYTHING}?q=base=*")) == ["chart", "multi", "team/deep/tool", "team/deep/tool"]
    assert shown(guest.get(f"{EVERYTHING}?q=tags=part")) == []
    # Of what he reaches the newest, though it is not the newest there is.
    latest = guest.get(f"{EVERYTHING}?latest_in_repository=true&q=artifact_type=~image,base=*")
    assert [row["push_time"] for row in latest.json()] == ["2024-01-02T00:00:00.000Z"]


@pytest.mark.parametrize(("query", "found"), [("digest={digest}", 1), ("digest=~{part}", 1), ("digest=~nothing", 0)])
def test_artifacts_are_found_by_their_digest(story: Story, app: Repository, query: str, found: int) -> None:
    make_artifact(app, "other")
    wanted = make_artifact(app, "v1")
    q = query.format(digest=wanted.digest, part=wanted.digest[20:40])
    for place in (f"{APP}/artifacts", EVERYTHING):
        rows = Api(story.carol).get(f"{place}?q={q}").json()
        assert [row["digest"] for row in rows] == [wanted.digest] * found


# --- tags ---------------------------------------------------------------------------------------------------
def test_tags_are_made_and_deleted(story: Story, app: Repository) -> None:
    artifact = make_artifact(app, "v1")
    url = f"{APP}/artifacts/{artifact.digest}/tags"
    answer = Api(story.bob).post(url, {"name": "v2"})
    assert (answer.status_code, answer.content) == (201, b"")
    assert {tag["name"] for tag in Api(story.carol).get(url).json()} == {"v1", "v2"}
    assert [tag["name"] for tag in Api(story.carol).get(f"{url}?q=name=~2").json()] == ["v2"]
    assert Api(story.bob).delete(f"{url}/v2").status_code == 403
    assert Api(story.alice).delete(f"{url}/v2").status_code == 200
    assert Api(story.alice).delete(f"{url}/v2").status_code == 404
    assert Api(story.carol).get(f"{APP}/artifacts/v1").status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [({"name": "v1"}, 409), ({"name": ""}, 400), ({"name": "a b"}, 400), ({"name": "x" * 129}, 400), ({}, 422),
     ({"name": 1}, 422)],
)  # fmt: skip
def test_tags_that_cannot_be(story: Story, app: Repository, body: Any, status: int) -> None:
    make_artifact(app, "v1")
    assert Api(story.bob).post(f"{APP}/artifacts/v1/tags", body).status_code == status


# --- for all ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "path", "body", "statuses"),
    [
        #                                             admin alice bob carol mallory nobody
        ("get", "", None, "200 200 200 200 403 401"),
        ("put", "", {"description": "x"}, "200 200 200 403 403 401"),
        ("delete", "", None, "200 200 403 403 403 401"),
        ("get", "/artifacts", None, "200 200 200 200 403 401"),
        ("get", "/artifacts/v1", None, "200 200 200 200 403 401"),
        ("delete", "/artifacts/v1", None, "200 200 403 403 403 401"),
        ("get", "/artifacts/v1/accessories", None, "200 200 200 200 403 401"),
        ("get", "/artifacts/v1/tags", None, "200 200 200 200 403 401"),
        ("post", "/artifacts/v1/tags", {"name": "v2"}, "201 201 201 403 403 401"),
        ("delete", "/artifacts/v1/tags/v1", None, "200 200 403 403 403 401"),
    ],
)
def test_who_may_do_what(story: Story, app: Repository, method: str, path: str, body: Any, statuses: str) -> None:
    make_artifact(app, "v1")
    people = (story.admin, story.alice, story.bob, story.carol, story.mallory, None)
    found = []
    for who in people:
        mark = transaction.savepoint()
        found.append(getattr(Api(who), method)(APP + path, body).status_code)
        transaction.savepoint_rollback(mark)
    assert " ".join(str(status) for status in found) == statuses


@pytest.mark.parametrize(
    ("path", "rows"),
    [
        (REPOSITORIES, 31),
        (f"{APP}/artifacts?with_accessory=true&with_label=true", 31),
        (f"{APP}/artifacts/v1/tags", 31),
        ("/projects/team/artifacts?with_accessory=true&with_label=true", 61),
        ("/projects/team/artifacts?latest_in_repository=true&q=artifact_type=~image&with_accessory=true", 31),
    ],
)
def test_lists_cost_the_same_for_one_and_for_thirty(
    story: Story,
    app: Repository,
    path: str,
    rows: int,
    django_assert_num_queries: Any,
    django_assert_max_num_queries: Any,
) -> None:
    first = make_artifact(app, "v1")
    url, client = f"{path}{'&' if '?' in path else '?'}page_size=100", Api(story.alice)
    client.get(url)
    with django_assert_max_num_queries(12) as one:
        client.get(url)
    for number in range(30):
        index = make_index(app, [make_artifact(app)], f"t{number}")
        make_artifact(app, subject=index)
        make_tag(first, f"x{number}")
        make_artifact(make_repository(story.team, f"r{number}"))
    with django_assert_num_queries(len(one)):
        assert len(client.get(url).json()) == rows
