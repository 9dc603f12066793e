"""What is told about an artifact apart from it: additions, through the real registry. Alice owns `team`."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from django.conf import settings

from core import oci
from core.store import files
from projects import contents
from projects.models import Artifact, Repository
from rbac.roles import Role
from tests import factories
from tests.archives import make_chart, make_tar
from tests.e2e.client import EMPTY, OCI_MANIFEST, Image, descriptor, make_image
from tests.rest import Api, code
from tests.rows import Story, add_member, make_artifact, make_index, make_project, make_repository

pytestmark = pytest.mark.django_db
APP = "/projects/team/repositories/app"
HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
HELM_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
HISTORY: list[dict[str, Any]] = [
    {"created": "2026-01-01T00:00:00Z", "created_by": "COPY . / \ud800", "comment": "x"},
    {"empty_layer": True},
]
# With what no client expects there: another key, values of another type, a step that is none.
STRANGE = [{**HISTORY[0], "secret": "?", "author": float("nan")}, {**HISTORY[1], "comment": ["x"]}, "x"]
CONFIG = {"os": "linux", "history": STRANGE}
VALUES = b"# the replicas\nreplicas: 1\n"
CHART = make_chart(
    chart="apiVersion: v2\nname: app\nversion: 1.2.3\ndependencies: [{name: db, version: '1'}]\n",
    files=[("values.yaml", VALUES), ("README.md", b"# App \xe2\x9c\x93")],
)


@pytest.fixture
def app(story: Story) -> Repository:
    return factories.repository(story.team, "app")


def pack(config_type: str, config: bytes, *layers: tuple[str, bytes, dict[str, str]], **more: Any) -> Image:
    """An artifact of any kind."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, config_type),
        "layers": [descriptor(content, kind, annotations=said) for kind, content, said in layers],
        **more,
    }
    blobs = {oci.digest_of(content): content for content in (config, *(content for _, content, _ in layers))}
    return Image(json.dumps(document).encode(), blobs)


def make_chart_image(archive: bytes = CHART) -> Image:
    return pack(HELM_CONFIG, b'{"name": "app", "version": "1.2.3"}', (HELM_LAYER, archive, {}))


def get(story: Story, addition: str, tag: str = "v1") -> Any:
    return Api(story.carol).get(f"{APP}/artifacts/{tag}/additions/{addition}")


# --- what there is ----------------------------------------------------------------------------------------------
def test_an_images_history(story: Story, app: Repository) -> None:
    factories.push(app, story.alice, "v1", make_image(b"x", config=json.dumps(CONFIG).encode()))
    answer = get(story, "build_history")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert answer.json() == HISTORY
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_an_image_without_a_history_has_an_empty_one(story: Story, app: Repository) -> None:
    factories.push(app, story.alice, "v1", make_image(b"x", config=b'{"os": "linux"}'))
    assert get(story, "build_history").json() == []


@pytest.mark.parametrize(
    ("addition", "content_type", "content"),
    [
        ("values.yaml", "text/plain; charset=utf-8", VALUES),
        ("readme.md", "text/markdown; charset=utf-8", b"# App \xe2\x9c\x93"),
        ("dependencies", "application/json; charset=utf-8", b'[{"name": "db", "version": "1"}]'),
    ],
)
def test_what_a_chart_tells(story: Story, app: Repository, addition: str, content_type: str, content: bytes) -> None:
    factories.push(app, story.alice, "v1", make_chart_image())
    answer = get(story, addition)
    assert (answer.status_code, answer["Content-Type"], answer.content) == (200, content_type, content)
    shown = Api(story.carol).get(f"{APP}/artifacts/v1").json()
    assert shown["extra_attrs"] == {"name": "app", "version": "1.2.3"}


def test_what_a_model_tells(story: Story, app: Repository) -> None:
    doc, key = "application/vnd.cncf.model.doc.v1.tar", "org.cncf.model.filepath"
    image = pack(
        "application/vnd.cncf.model.config.v1+json",
        b'{"descriptor": {"name": "m"}}',
        ("application/vnd.cncf.model.weight.v1.raw", b"weights", {key: "w/m.bin"}),
        (doc, make_tar(("README.md", b"# Model"), is_compressed=False), {key: "README.md"}),
        (doc, make_tar(("LICENSE", b"Apache"), is_compressed=False), {key: "LICENSE"}),
    )
    factories.push(app, story.alice, "v1", image)
    assert (get(story, "readme.md").content, get(story, "license").content) == (b"# Model", b"Apache")
    assert [(each["name"], each["type"]) for each in get(story, "files").json()] == [
        ("w", "directory"),
        ("LICENSE", "file"),
        ("README.md", "file"),
    ]


def test_an_sbom_is_its_layer(story: Story, app: Repository) -> None:
    sbom = "application/vnd.goharbor.harbor.sbom.v1"
    factories.push(app, story.alice, "v1", pack(EMPTY, b"{}", ("application/json", b'{"x": 1}', {}), artifactType=sbom))
    answer = get(story, "sbom")
    assert (answer.status_code, answer["Content-Type"], answer.content) == (200, sbom, b'{"x": 1}')


@pytest.mark.parametrize("kind", ["image", "chart"])
def test_without_a_scanner_there_is_no_report(story: Story, app: Repository, kind: str) -> None:
    factories.push(app, story.alice, "v1", make_chart_image() if kind == "chart" else None)
    answer = get(story, "vulnerabilities")
    assert (answer.status_code, answer["Content-Type"], answer.content) == (200, "application/json", b"{}")
    assert get(story, "vulnerabilities", tag="none").status_code == 404


# --- where it is said -------------------------------------------------------------------------------------------
def test_artifacts_say_what_there_is(story: Story) -> None:
    place = make_repository(story.team, "a/b")
    image = make_artifact(place, "v1")
    make_index(place, [make_artifact(place)], "multi")
    make_artifact(place, "chart", kind="CHART")
    make_artifact(place, "model", kind="CNAI")
    make_artifact(place, "any", kind="UNKNOWN")
    listed = Api(story.carol).get("/projects/team/repositories/a%252Fb/artifacts").json()
    links = {row["tags"][0]["name"]: row.get("addition_links", {}) for row in listed}
    assert {tag: set(found) for tag, found in links.items()} == {
        "v1": {"build_history"},
        "multi": set(),
        "chart": {"values.yaml", "readme.md", "dependencies"},
        "model": {"readme.md", "license", "files"},
        "any": set(),
    }
    base = f"/api/v2.0/projects/team/repositories/a%252Fb/artifacts/{image.digest}/additions"
    assert links["v1"]["build_history"] == {"href": f"{base}/build_history", "absolute": False}


def test_the_links_lead_to_it(story: Story, app: Repository) -> None:
    factories.push(app, story.alice, "v1", make_chart_image())
    links = Api(story.carol).get(f"{APP}/artifacts/v1").json()["addition_links"]
    assert [Api(story.carol).get(link["href"]).status_code for link in links.values()] == [200] * 3


# --- what there is not ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("addition", "status", "said"),
    [
        ("values.yaml", 400, "addition values.yaml isn't supported for IMAGE"),
        ("files", 400, "addition files isn't supported for IMAGE"),
        ("sbom", 400, "addition sbom isn't supported for IMAGE"),
        ("BUILD_HISTORY", 422, "should be one of"),
        ("passwd", 422, "should be one of"),
    ],
)
def test_additions_that_are_none(story: Story, app: Repository, addition: str, status: int, said: str) -> None:
    factories.push(app, story.alice, "v1")
    answer = get(story, addition)
    assert answer.status_code == status
    assert said in answer.json()["errors"][0]["message"]


def test_an_index_has_none_of_its_own(story: Story) -> None:
    place = make_repository(story.team, "app")
    make_index(place, [make_artifact(place)], "v1")
    assert get(story, "build_history").status_code == 400


def test_a_chart_that_is_none_is_said(story: Story, app: Repository) -> None:
    factories.push(app, story.alice, "v1", make_chart_image(b"no archive"))
    answer = get(story, "values.yaml")
    assert (answer.status_code, code(answer)) == (422, "UNPROCESSABLE_ENTITY")
    factories.push(app, story.alice, "v2", pack(HELM_CONFIG, b"{}", ("application/x-tar", CHART, {})))
    assert get(story, "values.yaml", "v2").status_code == 404


def test_a_configuration_that_is_no_json_is_said(story: Story, app: Repository) -> None:
    factories.push(app, story.alice, "v1", make_image(b"x", config=b"[" * 100_000))
    assert get(story, "build_history").status_code == 422


def test_a_layer_that_is_too_large_is_not_even_opened(
    story: Story, app: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.push(app, story.alice, "v1", make_chart_image(os.urandom(2000)))
    monkeypatch.setattr(contents, "MOST_BYTES", 1999)
    monkeypatch.setattr(files, "open_data", None)
    answer = get(story, "values.yaml")
    assert answer.status_code == 422
    assert "too large to be shown" in answer.json()["errors"][0]["message"]


def test_a_layer_that_the_store_has_lost_is_said(story: Story, app: Repository) -> None:
    image = make_chart_image(make_chart(files=[("values.yaml", os.urandom(20))]))
    factories.push(app, story.alice, "v1", image)
    files.remove_data(list(image.blobs)[1])
    answer = get(story, "values.yaml")
    assert answer.status_code == 404
    assert "push the artifact again" in answer.json()["errors"][0]["message"]


def test_a_store_that_is_away_is_503(story: Story, app: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    factories.push(app, story.alice, "v1")
    monkeypatch.setattr(settings, "STORE_URL", "file:///proc/1/mem")
    files._store.cache_clear()
    try:
        answer = get(story, "build_history")
    finally:
        monkeypatch.undo()
        files._store.cache_clear()
    assert (answer.status_code, code(answer)) == (503, "UNAVAILABLE")


# --- who may ----------------------------------------------------------------------------------------------------
def test_a_guest_of_some_tags_sees_what_they_reach(story: Story, app: Repository) -> None:
    add_member(story.team, story.mallory, Role.GUEST, {"app": ["v1*"]})
    factories.push(app, story.alice, "v1")
    secret = factories.push(app, story.alice, "secret")
    guest = Api(story.mallory)
    assert guest.get(f"{APP}/artifacts/v1/additions/build_history").status_code == 200
    for reference in ("secret", secret.digest):
        for addition in ("build_history", "vulnerabilities"):
            assert guest.get(f"{APP}/artifacts/{reference}/additions/{addition}").status_code == 404


def test_anybody_sees_them_in_a_public_project(story: Story) -> None:
    place = factories.repository(make_project("open", story.alice, public=True), "app")
    artifact: Artifact = factories.push(place, story.alice, "v1")
    path = f"/projects/open/repositories/app/artifacts/{artifact.digest}/additions/build_history"
    assert Api().get(path).status_code == 200
    assert Api().get(f"{APP}/artifacts/v1/additions/build_history").status_code == 401
