"""What receivers read: the expected documents are written by hand, from Harbor's contract."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings

from core import clock
from projects.events import ArtifactDeleted, ArtifactPulled, ArtifactPushed, NewsOfRepository, QuotaExceeded
from projects.webhook_messages import events_data
from projects.webhooks import KINDS
from projects.webhooks.base import Message
from tests.projects.webhooks import DIGEST
from tests.rows import Story, make_project, make_repository

DATA = {"repository": {"name": "app", "namespace": "team", "repo_full_name": "team/app", "repo_type": "private"}}
MESSAGE = Message(
    id="5f0e6c1e-0000-4000-8000-000000000001",
    event_type="PUSH_ARTIFACT",
    occurred=1764111600,
    operator="bob",
    request_id="a-request",
    project_id=7,
    policy_id=3,
    data=DATA,
)


def test_harbors_own_form() -> None:
    assert json.loads(KINDS["http"].body(MESSAGE, "Default")) == {
        "type": "PUSH_ARTIFACT",
        "occur_at": 1764111600,
        "operator": "bob",
        "event_data": DATA,
    }
    assert KINDS["http"].content_type("Default") == "application/json"


def test_cloud_events() -> None:
    assert json.loads(KINDS["http"].body(MESSAGE, "CloudEvents")) == {
        "specversion": "1.0",
        "id": "5f0e6c1e-0000-4000-8000-000000000001",
        "requestid": "a-request",
        "source": "/projects/7/webhook/policies/3",
        "type": "harbor.artifact.pushed",
        "datacontenttype": "application/json",
        "time": "2025-11-25T23:00:00Z",
        "data": DATA,
        "operator": "bob",
    }
    assert KINDS["http"].content_type("CloudEvents") == "application/cloudevents+json"


def test_extensions_of_cloud_events_that_say_nothing_are_not_there() -> None:
    document = json.loads(KINDS["http"].body(replace(MESSAGE, operator="", request_id=""), "CloudEvents"))
    assert not {"operator", "requestid"} & set(document)


@pytest.mark.parametrize(
    ("topic", "told"),
    [
        ("PUSH_ARTIFACT", "harbor.artifact.pushed"),
        ("PULL_ARTIFACT", "harbor.artifact.pulled"),
        ("DELETE_ARTIFACT", "harbor.artifact.deleted"),
        ("QUOTA_EXCEED", "harbor.quota.exceeded"),
        ("QUOTA_WARNING", "harbor.quota.warned"),
        ("SCANNING_FAILED", "harbor.scan.failed"),
        ("SCANNING_STOPPED", "harbor.scan.stopped"),
        ("SCANNING_COMPLETED", "harbor.scan.completed"),
        ("REPLICATION", "harbor.replication.status.changed"),
        ("TAG_RETENTION", "harbor.tag_retention.finished"),
    ],
)
def test_cloud_events_have_words_of_their_own_for_each_type(topic: str, told: str) -> None:
    assert json.loads(KINDS["http"].body(replace(MESSAGE, event_type=topic), "CloudEvents"))["type"] == told


def test_slack_reads_blocks_and_names_mean_nothing_to_it() -> None:
    blocks = json.loads(KINDS["slack"].body(replace(MESSAGE, operator="<!channel>"), ""))["blocks"]
    texts = [block["text"]["text"] for block in blocks]
    assert {(block["type"], block["text"]["type"]) for block in blocks} == {("section", "mrkdwn")}
    assert texts[:2] == ["*Harbor webhook events*", "*event_type:* PUSH_ARTIFACT"]
    assert texts[3] == "*operator:* &lt;!channel&gt;"
    assert '"repo_full_name": "team/app"' in texts[5]


def test_slack_takes_no_more_than_3000_characters_in_a_section() -> None:
    long = replace(MESSAGE, data={"custom_attributes": {"Details": "<" * 5000}})
    blocks = json.loads(KINDS["slack"].body(long, ""))["blocks"]
    assert max(len(block["text"]["text"]) for block in blocks) <= 3000


# --- event_data ---------------------------------------------------------------------------------------------
CREATED = datetime(2025, 11, 25, 23, 0, tzinfo=UTC)
REPOSITORY = {
    "date_created": 1764111600,
    "name": "some/app",
    "namespace": "team",
    "repo_full_name": "team/some/app",
    "repo_type": "private",
}
FACTS = {"actor": "bob", "project": "team", "repository": "team/some/app"}


def data_of(event: NewsOfRepository) -> dict[str, Any]:
    (found,) = events_data([event])
    return found


@pytest.fixture
def project_id(story: Story) -> int:
    repository = make_repository(story.team, "some/app")
    type(repository).objects.filter(pk=repository.pk).update(created=CREATED)
    return int(story.team.pk)


def test_a_push_of_a_tag(project_id: int) -> None:
    event = ArtifactPushed(**FACTS, project_id=project_id, digest=DIGEST, tag="v1")
    assert data_of(event) == {
        "resources": [
            {"digest": DIGEST, "tag": "v1", "resource_url": f"{settings.EXTERNAL_HOST}/team/some/app:v1"},
        ],
        "repository": REPOSITORY,
    }


def test_a_push_by_digest(project_id: int) -> None:
    event = ArtifactPushed(**FACTS, project_id=project_id, digest=DIGEST)
    assert data_of(event)["resources"] == [
        {"digest": DIGEST, "tag": DIGEST, "resource_url": f"{settings.EXTERNAL_HOST}/team/some/app@{DIGEST}"},
    ]


def test_a_deleted_artifact_is_told_with_each_of_its_tags(project_id: int) -> None:
    event = ArtifactDeleted(**FACTS, project_id=project_id, digest=DIGEST, tags=("v1", "v2"))
    assert [each["tag"] for each in data_of(event)["resources"]] == ["v1", "v2"]


def test_pulls_are_counted(project_id: int) -> None:
    event = ArtifactPulled(**FACTS, project_id=project_id, digest=DIGEST, tags=("v1",), pulls=12)
    data = data_of(event)
    assert (data["resources"][0]["tag"], data["custom_attributes"]) == ("v1", {"pull_count": "12"})


def test_pulls_by_many_tags_are_counted_once(project_id: int) -> None:
    event = ArtifactPulled(**FACTS, project_id=project_id, digest=DIGEST, tags=("v1", "v2", "v3"), pulls=12)
    told = [data_of(part) for part in event.parts(2)]
    assert [[each["tag"] for each in data["resources"]] for data in told] == [["v1", "v2"], ["v3"]]
    assert [data["custom_attributes"]["pull_count"] for data in told] == ["12", "0"]


@pytest.mark.parametrize("tags", [(), ("v1",), ("v1", "v2")])
def test_what_fits_is_told_in_one_part(project_id: int, tags: tuple[str, ...]) -> None:
    event = ArtifactDeleted(**FACTS, project_id=project_id, digest=DIGEST, tags=tags)
    assert event.parts(2) == [event]


def test_a_limit_is_told_in_words_and_a_public_project_is_called_so(project_id: int, story: Story) -> None:
    type(story.team).objects.filter(pk=project_id).update(public=True)
    event = QuotaExceeded(**FACTS, project_id=project_id, message="it is full")
    assert data_of(event) == {
        "repository": {**REPOSITORY, "repo_type": "public"},
        "custom_attributes": {"Details": "it is full"},
    }


def test_a_deleted_project_of_the_same_name_is_another_one(project_id: int, story: Story) -> None:
    for name in ("some/app", "other"):
        old = make_project("old", story.alice, public=True)
        repository = make_repository(old, name)
        type(repository).objects.filter(pk=repository.pk).update(name=f"team/{name}", deleted=clock.now())
        type(old).objects.filter(pk=old.pk).update(name="team", deleted=clock.now())
    event = ArtifactPushed(**FACTS, project_id=project_id, digest=DIGEST, tag="v1")
    assert data_of(event)["repository"] == REPOSITORY
    unknown = ArtifactPushed(**{**FACTS, "repository": "team/other"}, project_id=project_id, digest=DIGEST, tag="v1")
    assert data_of(unknown)["repository"] == {
        "name": "other",
        "namespace": "team",
        "repo_full_name": "team/other",
        "repo_type": "private",
    }
