"""The system's allowlist of CVEs, through the API."""

from __future__ import annotations

from typing import Any

import pytest

from core import configuration
from core.models import CveAllowlist
from projects.models import AuditLog
from tests.rest import Api, code
from tests.rows import Story, make_robot

URL = "/system/CVEAllowlist"
TWO = {"items": [{"cve_id": "CVE-2019-10164"}, {"cve_id": "CVE-2017-12345"}], "expires_at": 1900000000}


def test_nobody_wrote_one_yet(story: Story) -> None:
    never = "0001-01-01T00:00:00.000Z"
    assert Api(story.mallory).get(URL).json() == {"items": [], "creation_time": never, "update_time": never}


def test_an_admin_writes_it_and_whoever_signed_in_reads_it(story: Story) -> None:
    answer = Api(story.admin).put(URL, {**TWO, "id": 77, "project_id": 5, "creation_time": "2001-01-01T00:00:00Z"})
    assert (answer.status_code, answer.content) == (200, b"")
    body = Api(story.mallory).get(URL).json()
    assert {"items": body["items"], "expires_at": body["expires_at"]} == TWO
    assert body["creation_time"] == body["update_time"] > "2020"
    assert "project_id" not in body
    assert Api(make_robot(story.team, ["repository:pull"])).get(URL).status_code == 200
    row = AuditLog.objects.get(resource_type="configuration")
    assert (row.username, row.operation, row.resource) == ("root", "update", "CVE allowlist")


def test_writing_replaces_the_whole_list(story: Story) -> None:
    admin = Api(story.admin)
    admin.put(URL, TWO)
    before = admin.get(URL).json()
    assert admin.put(URL, {"items": [{"cve_id": "CVE-2020-1"}]}).status_code == 200
    after = admin.get(URL).json()
    assert after["items"] == [{"cve_id": "CVE-2020-1"}]
    assert "expires_at" not in after
    assert (after["id"], after["creation_time"]) == (before["id"], before["creation_time"])
    assert after["update_time"] >= before["update_time"]
    assert admin.put(URL, {}).status_code == 200
    assert admin.get(URL).json()["items"] == []
    assert CveAllowlist.objects.count() == 1


@pytest.mark.parametrize(("who", "status"), [("alice", 403), (None, 401)])
def test_only_admins_write_it_and_strangers_do_not_read_it(story: Story, who: str | None, status: int) -> None:
    client = Api(getattr(story, who) if who else None)
    assert client.put(URL, TWO).status_code == status
    assert client.get(URL).status_code == (200 if who else 401)
    assert not CveAllowlist.objects.exists()


def test_read_only_mode_keeps_it_as_it_is(story: Story) -> None:
    configuration.change(read_only=True)
    assert Api(story.admin).put(URL, TWO).status_code == 403
    assert Api(story.admin).get(URL).status_code == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"items": [{"cve_id": "CVE-1"}, {"cve_id": "CVE-1"}]}, 400),
        ({"items": [{"cve_id": ""}]}, 400),
        ({"items": [{"cve_id": " "}]}, 400),
        ({"items": [{}]}, 400),
        ({"items": [{"cve_id": "C" * 129}]}, 400),
        ({"items": [{"cve_id": 5}]}, 422),
        ({"items": ["CVE-1"]}, 422),
        ({"items": {"cve_id": "CVE-1"}}, 422),
        ({"items": "CVE-1"}, 422),
        ({"expires_at": "tomorrow"}, 422),
        ({"expires_at": 1.5}, 422),
        ({"expires_at": -1}, 422),
        ({"expires_at": 2**62}, 422),
    ],
    ids=str,
)
def test_what_the_list_cannot_be(story: Story, change: dict[str, Any], status: int) -> None:
    answer = Api(story.admin).put(URL, {**TWO, **change})
    assert answer.status_code == status
    assert code(answer) == ("BAD_REQUEST" if status == 400 else "UNPROCESSABLE_ENTITY")
    assert not CveAllowlist.objects.exists()
