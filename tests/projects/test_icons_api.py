"""Icons of artifacts. Alice owns the private project `team`, Carol is a guest, Mallory a stranger."""

from __future__ import annotations

import base64
import json

import pytest

from core import oci
from projects.api import icons
from projects.models import Repository
from rbac.roles import Role
from tests import factories
from tests.e2e.client import OCI_MANIFEST, Image, descriptor
from tests.rest import Api
from tests.rows import Story, add_member, make_project, make_robot

pytestmark = pytest.mark.django_db
PNG = b"\x89PNG\r\n\x1a\n and what it shows"


@pytest.fixture
def app(story: Story) -> Repository:
    return factories.repository(story.team, "app")


def push(story: Story, place: Repository, icon: bytes, tag: str = "v1") -> str:
    """An artifact with an icon; the icon's digest."""
    config = b"{}"
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, "application/vnd.acme.rocket.config.v1+json"),
        "layers": [
            descriptor(b"fuel", "application/octet-stream"),
            descriptor(icon, "image/png", annotations={icons.ANNOTATION: ""}),
        ],
    }
    blobs = {oci.digest_of(content): content for content in (config, b"fuel", icon)}
    factories.push(place, story.alice, tag, Image(json.dumps(document).encode(), blobs))
    return oci.digest_of(icon)


def test_an_artifact_names_its_icon(story: Story, app: Repository) -> None:
    digest = push(story, app, PNG)
    factories.push(app, story.alice, "plain")
    listed = Api(story.carol).get("/projects/team/repositories/app/artifacts?sort=push_time").json()
    assert [row.get("icon") for row in listed] == [digest, None]
    answer = Api(story.carol).get(f"/icons/{digest}")
    assert answer.json() == {"content-type": "image/png", "content": base64.b64encode(PNG).decode()}


@pytest.mark.parametrize(("start", "kind"), [(b"\xff\xd8\xff\xe0", "image/jpeg"), (b"GIF89a", "image/gif")])
def test_other_pictures(story: Story, app: Repository, start: bytes, kind: str) -> None:
    digest = push(story, app, start + b"...")
    assert Api(story.carol).get(f"/icons/{digest}").json()["content-type"] == kind


@pytest.mark.parametrize(
    "icon", [b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", b"<html>", b"", PNG + bytes(256 * 1024)]
)
def test_what_is_no_picture_or_a_huge_one_is_not_shown(story: Story, app: Repository, icon: bytes) -> None:
    digest = push(story, app, icon)
    answer = Api(story.carol).get(f"/icons/{digest}")
    assert answer.status_code == 404
    assert "not shown" in answer.json()["errors"][0]["message"]


def test_only_what_an_artifact_calls_its_icon(story: Story, app: Repository) -> None:
    push(story, app, PNG)
    assert Api(story.alice).get(f"/icons/{oci.digest_of(b'fuel')}").status_code == 404
    assert Api(story.alice).get(f"/icons/sha256:{'0' * 64}").status_code == 404
    assert Api(story.alice).get("/icons/none").status_code == 400


def test_whoever_may_not_see_the_artifact_finds_no_icon(story: Story, app: Repository) -> None:
    digest = push(story, app, PNG)
    for who, status in ((story.admin, 200), (story.bob, 200), (story.mallory, 404), (None, 404)):
        assert Api(who).get(f"/icons/{digest}").status_code == status
    add_member(story.team, story.mallory, Role.GUEST, {"app": ["v2"]})
    assert Api(story.mallory).get(f"/icons/{digest}").status_code == 404
    push(story, app, PNG, "v2")
    assert Api(story.mallory).get(f"/icons/{digest}").status_code == 200
    push(story, factories.repository(make_project("open", story.alice, public=True), "app"), PNG)
    assert Api().get(f"/icons/{digest}").status_code == 200


def test_a_robot_sees_the_icons_of_artifacts_that_it_may_read(story: Story, app: Repository) -> None:
    digest = push(story, app, PNG)
    reader, puller = make_robot(story.team, ["artifact:read"]), make_robot(story.team, ["repository:pull"])
    assert [Api(robot).get(f"/icons/{digest}").status_code for robot in (reader, puller)] == [200, 404]


def test_a_deleted_artifacts_icon_is_gone(story: Story, app: Repository) -> None:
    digest = push(story, app, PNG)
    assert Api(story.alice).delete("/projects/team/repositories/app/artifacts/v1").status_code == 200
    assert Api(story.alice).get(f"/icons/{digest}").status_code == 404
