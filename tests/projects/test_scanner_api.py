"""A project's scanner through the API, while there is none."""

from __future__ import annotations

import pytest

from projects.models import AuditLog
from tests.rest import Api, code
from tests.rows import Story, make_project, make_robot

SCANNER = "/projects/team/scanner"


def test_there_is_none_and_nothing_to_choose(story: Story) -> None:
    answer = Api(story.carol).get(SCANNER)
    assert (answer.status_code, answer.content) == (200, b"")
    candidates = Api(story.alice).get(f"{SCANNER}/candidates")
    assert (candidates.status_code, candidates.json(), candidates["X-Total-Count"]) == (200, [], "0")


def test_a_scanner_that_is_not_registered_cannot_be_chosen(story: Story) -> None:
    answer = Api(story.alice).put(SCANNER, {"uuid": "7"})
    assert (answer.status_code, code(answer)) == (404, "NOT_FOUND")
    assert answer.json()["errors"][0]["message"] == "scanner registration 7 not found"
    assert not AuditLog.objects.exists()


@pytest.mark.parametrize("said", [{}, {"uuid": None}, {"uuid": 7}, []])
def test_who_names_no_scanner_is_told_so(story: Story, said: object) -> None:
    answer = Api(story.alice).put(SCANNER, said)
    assert (answer.status_code, code(answer)) == (422, "UNPROCESSABLE_ENTITY")


def test_candidates_are_for_who_may_choose(story: Story) -> None:
    assert Api(story.bob).get(f"{SCANNER}/candidates").status_code == 403
    assert Api(make_robot(story.team, ["scanner:create"])).get(f"{SCANNER}/candidates").status_code == 200


def test_everybody_reads_the_scanner_of_a_public_project(story: Story) -> None:
    make_project("open", story.alice, public=True)
    assert Api().get("/projects/open/scanner").status_code == 200
    assert Api().get("/projects/open/scanner/candidates").status_code == 401
