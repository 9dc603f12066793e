"""What garbage collection may be asked for over the API."""

from __future__ import annotations

import json

import pytest

from jobservice.models import Execution, Schedule
from tests.rest import Api, _fresh_memory, code, story
from tests.rows import Story

__all__ = ["_fresh_memory", "story"]
SCHEDULE = "/system/gc/schedule"
KNOWN = "delete_untagged, dry_run, audit, workers, removals_per_second"


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"workers": 0}, "parameters.workers must be a whole number from 1 to 10"),
        ({"workers": 11}, "from 1 to 10"),
        ({"workers": "2"}, "from 1 to 10"),
        ({"workers": True}, "from 1 to 10"),
        ({"removals_per_second": -1}, "from 0 to 1000000"),
        ({"removals_per_second": 0.5}, "whole number"),
        ({"dry_run": "true"}, "parameters.dry_run must be true or false"),
        # A run in earnest is not what somebody wanted who wrote this.
        ({"dryrun": True}, f"parameters.dryrun is unknown; there are {KNOWN}"),
        ({"dry_run": True, "grace": 0}, f"parameters.grace is unknown; there are {KNOWN}"),
    ],
)
@pytest.mark.parametrize("kind", ["Manual", "Daily"])
def test_what_it_cannot_be_asked_for_is_refused_in_words(
    story: Story, kind: str, parameters: dict[str, object], complaint: str
) -> None:
    body = {"schedule": {"type": kind}, "parameters": parameters}
    answer = Api(story.admin).post(SCHEDULE, body)
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")
    assert complaint in answer.json()["errors"][0]["message"]
    assert not Execution.objects.exists()
    assert not Schedule.objects.exists()


def test_what_it_is_asked_for_is_read_again(story: Story) -> None:
    wishes = {"delete_untagged": True, "dry_run": None, "workers": 3, "audit": False, "removals_per_second": 50}
    started = Api(story.admin).post(SCHEDULE, {"schedule": {"type": "Manual"}, "parameters": wishes})
    told = json.loads(Api(story.admin).get(started["Location"]).json()["job_parameters"])
    assert told == {**wishes, "dry_run": False}
