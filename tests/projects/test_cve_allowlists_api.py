"""Projects' own allowlists of CVEs, through the API."""

from __future__ import annotations

from typing import Any

import pytest

from core.models import CveAllowlist
from projects.models import AuditLog, Project, ProjectCveAllowlist
from tests.rest import Api, code
from tests.rows import Story, make_project, make_robot

URL = "/projects/team"
NEVER = "0001-01-01T00:00:00.000Z"
TWO = {"items": [{"cve_id": "CVE-2019-10164"}, {"cve_id": "CVE-2017-12345"}], "expires_at": 1900000000}


def test_a_project_of_which_nobody_wrote_a_list_has_an_empty_one(story: Story) -> None:
    assert Api(story.carol).get(URL).json()["cve_allowlist"] == {
        "project_id": story.team.pk,
        "items": [],
        "creation_time": NEVER,
        "update_time": NEVER,
    }


def test_who_changes_the_project_writes_its_list_and_who_sees_it_reads_it(story: Story) -> None:
    said = {**TWO, "id": 77, "creation_time": "2001-01-01T00:00:00Z", "update_time": "2001-01-01T00:00:00Z"}
    answer = Api(story.alice).put(URL, {"cve_allowlist": said})
    assert (answer.status_code, answer.content) == (200, b"")
    row = ProjectCveAllowlist.objects.get()
    seen = Api(story.carol).get(URL).json()["cve_allowlist"]
    assert seen["creation_time"] == seen["update_time"] > "2020"
    assert seen == {
        "id": row.pk,
        "project_id": story.team.pk,
        **TWO,
        "creation_time": seen["creation_time"],
        "update_time": seen["update_time"],
    }
    assert row.pk != 77
    (listed,) = Api(story.carol).get("/projects").json()
    assert listed["cve_allowlist"] == seen
    assert "cve_allowlist" not in Api(story.carol).get("/projects?with_detail=false").json()[0]
    assert Api(story.alice).get("/system/CVEAllowlist").json()["items"] == []
    assert not CveAllowlist.objects.exists()


def test_writing_replaces_the_whole_list_and_leaves_the_metadata(story: Story) -> None:
    alice = Api(story.alice)
    alice.put(URL, {"metadata": {"severity": "low", "reuse_sys_cve_allowlist": "false"}, "cve_allowlist": TWO})
    before = alice.get(URL).json()["cve_allowlist"]
    assert alice.put(URL, {"cve_allowlist": {"items": [{"cve_id": "CVE-2020-1"}]}}).status_code == 200
    body = alice.get(URL).json()
    after = body["cve_allowlist"]
    assert after["items"] == [{"cve_id": "CVE-2020-1"}]
    assert "expires_at" not in after
    assert (after["id"], after["creation_time"]) == (before["id"], before["creation_time"])
    assert after["update_time"] >= before["update_time"]
    assert body["metadata"] == {"public": "false", "severity": "low", "reuse_sys_cve_allowlist": "false"}
    assert alice.put(URL, {"cve_allowlist": {}}).status_code == 200
    assert alice.get(URL).json()["cve_allowlist"]["items"] == []
    assert ProjectCveAllowlist.objects.count() == 1


@pytest.mark.parametrize("body", [{"metadata": {"severity": "low"}}, {"cve_allowlist": None}, {}], ids=str)
def test_a_change_that_says_nothing_of_the_list_leaves_it(story: Story, body: dict[str, Any]) -> None:
    alice = Api(story.alice)
    alice.put(URL, {"cve_allowlist": TWO})
    assert alice.put(URL, body).status_code == 200
    assert alice.get(URL).json()["cve_allowlist"]["items"] == TWO["items"]


def test_what_was_read_can_be_written_back(story: Story) -> None:
    alice = Api(story.alice)
    alice.put(URL, {"cve_allowlist": TWO})
    read = alice.get(URL).json()
    del read["metadata"]["public"]
    assert alice.put(URL, read).status_code == 200
    assert alice.get(URL).json()["cve_allowlist"]["items"] == TWO["items"]


def test_a_list_of_another_project_is_refused(story: Story) -> None:
    other = make_project("other", story.alice)
    answer = Api(story.alice).put(
        URL, {"cve_allowlist": {**TWO, "project_id": other.pk}, "metadata": {"severity": "low"}}
    )
    words = f"project_id in cve_allowlist must be {story.team.pk} but it's {other.pk}"
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (400, words)
    assert not ProjectCveAllowlist.objects.exists()
    assert Project.objects.get(name="team").metadata == {}
    assert Api(story.alice).put(URL, {"cve_allowlist": {**TWO, "project_id": story.team.pk}}).status_code == 200


@pytest.mark.parametrize(
    ("who", "status"), [("bob", 403), ("carol", 403), ("mallory", 403), (None, 401), ("admin", 200)], ids=str
)
def test_only_who_changes_the_project_writes_its_list(story: Story, who: str | None, status: int) -> None:
    client = Api(getattr(story, who) if who else None)
    assert client.put(URL, {"cve_allowlist": TWO}).status_code == status
    assert ProjectCveAllowlist.objects.exists() is (status == 200)


def test_robots_write_it_that_change_the_project(story: Story) -> None:
    reader = make_robot(story.team, ["project:read"])
    writer = make_robot(story.team, ["project:update", "project:read"])
    assert Api(reader).put(URL, {"cve_allowlist": TWO}).status_code == 403
    assert Api(writer).put(URL, {"cve_allowlist": TWO}).status_code == 200
    assert Api(reader).get(URL).json()["cve_allowlist"]["items"] == TWO["items"]


def test_a_change_is_one_line_of_the_audit_log(story: Story) -> None:
    Api(story.alice).put(URL, {"cve_allowlist": TWO, "metadata": {"severity": "low"}})
    row = AuditLog.objects.get()
    assert (row.username, row.operation, row.resource_type, row.resource) == ("alice", "update", "project", "team")
    assert row.project_id == story.team.pk


def test_a_new_project_has_the_list_that_it_is_given(story: Story) -> None:
    """Also that of another project, whose number its copy cannot know."""
    said = {**TWO, "project_id": story.team.pk, "id": 77}
    assert Api(story.alice).post("/projects", {"project_name": "copied", "cve_allowlist": said}).status_code == 201
    copied = Api(story.alice).get("/projects/copied").json()
    assert copied["cve_allowlist"]["items"] == TWO["items"]
    assert copied["cve_allowlist"]["project_id"] == copied["project_id"]
    assert AuditLog.objects.count() == 1
    assert Api(story.alice).get(URL).json()["cve_allowlist"]["items"] == []


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"items": [{"cve_id": "CVE-1"}, {"cve_id": "CVE-1"}]}, 400),
        ({"items": [{"cve_id": " "}]}, 400),
        ({"items": [{}]}, 400),
        ({"items": [{"cve_id": "C" * 129}]}, 400),
        ({"items": ["CVE-1"]}, 422),
        ({"expires_at": "tomorrow"}, 422),
        ({"expires_at": -1}, 422),
        ({"project_id": "team"}, 422),
    ],
    ids=str,
)
def test_what_a_list_cannot_be(story: Story, change: dict[str, Any], status: int) -> None:
    said = {"cve_allowlist": {**TWO, **change}, "metadata": {"severity": "low"}}
    alice = Api(story.alice)
    for answer in (alice.put(URL, said), alice.post("/projects", {"project_name": "new", **said})):
        assert answer.status_code == status
        assert code(answer) == ("BAD_REQUEST" if status == 400 else "UNPROCESSABLE_ENTITY")
    assert not ProjectCveAllowlist.objects.exists()
    assert Project.objects.get().metadata == {}


def test_a_deleted_project_takes_its_list_along(story: Story) -> None:
    alice = Api(story.alice)
    alice.post("/projects", {"project_name": "brief", "cve_allowlist": TWO})
    assert alice.delete("/projects/brief").status_code == 200
    assert not ProjectCveAllowlist.objects.exists()
    alice.post("/projects", {"project_name": "brief"})
    assert alice.get("/projects/brief").json()["cve_allowlist"]["items"] == []
