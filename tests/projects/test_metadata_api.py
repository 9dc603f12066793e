"""Project metadata key by key: Alice owns `team`, Bob develops there, Carol is a guest, Mallory a stranger."""

from __future__ import annotations

from typing import Any

import pytest

from projects.models import AuditLog
from rbac.roles import Role
from tests.rest import Api, code
from tests.rows import Story, add_member, make_project, make_robot, make_user

ALL = "/projects/team/metadatas/"


def of_team(story: Story) -> tuple[bool, dict[str, str]]:
    story.team.refresh_from_db()
    return story.team.public, story.team.metadata


def message(answer: Any) -> str:
    return str(answer.json()["errors"][0]["message"])


def test_a_key_is_added_read_changed_and_deleted(story: Story) -> None:
    client = Api(story.alice)
    answer = client.post(ALL, {"severity": "High"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.get(f"{ALL}severity").json() == {"severity": "high"}
    assert client.put(f"{ALL}severity", {"severity": "low", "prevent_vul": "true"}).status_code == 200
    assert of_team(story) == (False, {"severity": "low"})
    assert client.delete(f"{ALL}severity").status_code == 200
    assert of_team(story) == (False, {})
    rows = AuditLog.objects.values_list("username", "operation", "resource_type", "resource").distinct()
    assert (list(rows), AuditLog.objects.count()) == ([("alice", "update", "project", "team")], 3)


def test_the_project_says_the_same(story: Story) -> None:
    Api(story.alice).post(ALL, {"auto_scan": "true"})
    Api(story.alice).put("/projects/team", {"metadata": {"severity": "low"}})
    metadata = {"public": "false", "auto_scan": "true", "severity": "low"}
    assert Api(story.alice).get("/projects/team").json()["metadata"] == metadata
    assert Api(story.admin).get(ALL).json() == metadata


def test_only_system_admins_and_robots_list_them(story: Story) -> None:
    """Harbor gives no role the list."""
    mia = make_user("mia")
    add_member(story.team, mia, Role.MAINTAINER)
    assert [Api(who).get(ALL).status_code for who in (story.admin, story.alice, mia, None)] == [200, 403, 403, 401]
    assert Api(make_robot(story.team, ["metadata:list"])).get(ALL).json() == {"public": "false"}
    assert Api(mia).get(f"{ALL}public").json() == {"public": "false"}
    assert Api(mia).put(f"{ALL}public", {"public": "true"}).status_code == 403


def test_whether_a_project_is_public_is_one_of_them_and_always_there(story: Story) -> None:
    client = Api(story.alice)
    assert client.post(ALL, {"public": "true"}).status_code == 409
    assert client.put(f"{ALL}public", {"public": "TRUE"}).status_code == 200
    assert of_team(story) == (True, {})
    assert Api().get("/projects/team").status_code == 200
    assert client.delete(f"{ALL}public").status_code == 200
    assert of_team(story) == (False, {})
    assert Api().get("/projects/team").status_code == 401
    assert client.get(f"{ALL}public").json() == {"public": "false"}


@pytest.mark.parametrize(
    ("method", "path", "said", "status", "words"),
    [
        ("post", "", {}, 400, "only one key with its value can be added at once, not 0"),
        ("post", "", {"severity": "low", "auto_scan": "true"}, 400, "at once, not 2"),
        ("post", "", {"retention_id": "7"}, 400, "invalid key: 'retention_id' is none of public,"),
        ("post", "", {"proxy_speed_kb": "7"}, 400, "invalid key"),
        ("post", "", {"": "7"}, 400, "invalid key"),
        ("post", "", {"severity": "bad"}, 400, "metadata.severity should be one of none, low"),
        ("post", "", {"auto_scan": "maybe"}, 400, "metadata.auto_scan should only be 'true' or 'false'"),
        ("post", "", {"auto_scan": True}, 422, "auto_scan"),
        ("post", "", ["severity"], 422, "dictionary"),
        ("post", "", {"prevent_vul": "false"}, 409, "the project team has prevent_vul already"),
        ("put", "severity", {"severity": "low"}, 404, "the project team has no severity"),
        ("put", "prevent_vul", {"severity": "low"}, 400, "the body must say what prevent_vul is"),
        ("put", "prevent_vul", {"prevent_vul": "maybe"}, 400, "should only be 'true' or 'false'"),
        ("put", "flavour", {"flavour": "mint"}, 400, "invalid key: 'flavour'"),
        ("get", "severity", None, 404, "the project team has no severity"),
        ("delete", "severity", None, 404, "the project team has no severity"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_with_what_is_wrong(
    story: Story, method: str, path: str, said: Any, status: int, words: str
) -> None:
    story.team.metadata = {"prevent_vul": "true"}
    story.team.save()
    answer = getattr(Api(story.alice), method)(f"{ALL}{path}", said)
    assert (answer.status_code, words in message(answer)) == (status, True), answer.content
    assert of_team(story) == (False, {"prevent_vul": "true"})
    assert not AuditLog.objects.exists()


def test_a_name_of_digits_is_a_name_when_the_header_says_so(story: Story) -> None:
    project = make_project("1234", story.alice)
    by_name = {"X-Is-Resource-Name": "true"}
    assert Api(story.alice).post("/projects/1234/metadatas/", {"severity": "low"}, headers=by_name).status_code == 200
    project.refresh_from_db()
    assert project.metadata == {"severity": "low"}
    answer = Api(story.alice).get("/projects/1234/metadatas/severity")
    assert (answer.status_code, code(answer)) == (403, "FORBIDDEN")
