"""A list costs the same number of queries at any length: each one's number stands in the table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import resolve

from core import clock, configuration
from jobservice.models import Schedule, Task
from projects import immutable_rules
from projects.models import ArtifactLabel, AuditLog, Label, ProjectCveAllowlist
from rbac.models import User
from rbac.roles import Role
from tests import plans, rows
from tests.api.test_who_may import views
from tests.contracts.contract import OPERATIONS
from tests.rest import Api

pytestmark = pytest.mark.django_db

_ARTIFACTS = "/projects/team/repositories/app/artifacts"
# Among them are who is asking and what is configured.
# List → the queries that a system admin, a developer, and a guest who is limited to some tags cost; None: refused.
TABLE: dict[str, tuple[int | None, int | None, int | None]] = {
    "/projects": (5, 6, 7),
    "/projects/team/members": (5, 6, None),
    "/projects/team/artifacts": (8, 10, 11),
    "/projects/team/immutabletagrules": (5, None, None),
    "/projects/team/webhook/policies": (6, None, None),
    "/projects/team/webhook/policies/{hook}/executions": (7, None, None),
    "/projects/team/webhook/policies/{hook}/executions/{sent}/tasks": (7, None, None),
    "/projects/team/webhook/jobs?policy_id={hook}": (6, None, None),
    "/projects/team/logs": (5, None, None),
    "/projects/team/auditlog-exts": (5, None, None),
    "/audit-logs": (4, 5, 3),
    "/auditlog-exts": (4, 5, 3),
    "/quotas": (4, None, None),
    "/labels?scope=g": (4, 4, 4),
    "/labels?scope=p&project_id={project}": (5, 6, None),
    "/robots": (4, None, None),
    "/robots?q=Level=project,ProjectID={project}": (5, 6, None),
    "/repositories": (4, 7, 8),
    "/projects/team/repositories": (5, 8, 10),
    _ARTIFACTS: (9, 11, 13),
    f"{_ARTIFACTS}?with_label=true&with_accessory=true": (11, 13, 14),
    f"{_ARTIFACTS}?with_immutable_status=true": (10, 12, 14),
    "/projects/team/artifacts?with_immutable_status=true": (9, 11, 12),
    f"{_ARTIFACTS}/v1/tags": (7, 9, 12),
    f"{_ARTIFACTS}/v1/tags?with_immutable_status=true": (8, 10, 13),
    f"{_ARTIFACTS}/v1/accessories": (7, 9, 12),
    "/system/gc": (4, None, None),
    "/system/purgeaudit": (4, None, None),
    "/schedules": (4, None, None),
    "/usergroups": (4, None, None),
    "/usergroups/search?groupname=crew": (4, 4, 4),
    "/users": (4, None, None),
    "/users/search?username=u": (4, 4, 4),
}
NOT_ROWS = {
    "jobservice/pools": "the worker programs that run",
    "jobservice/pools/<str:pool_id>/workers": "what these are at",
    "jobservice/queues": "the queues that Harbor has",
    "projects/<str:project_name_or_id>/webhook/lasttrigger": "what a project's policies say, 50 at most",
    "permissions": "what the table of roles says",
    "users/current/permissions": "what the table of roles says",
    "auditlog-exts/events": "the kinds of events that the program knows",
    "projects/<str:project_name_or_id>/metadatas": "one object with the keys that there are",
    "projects/<str:project_name_or_id>/scanner/candidates": "none yet",
    "search": "two lists of 100 at most (tests/projects/test_search_api.py)",
}
"""Lists that are the same length on every platform."""


class Place:
    """Alice's team, in which Bob develops and Carol is limited to some tags, with as many rows as asked for."""

    def __init__(self) -> None:
        self.story = story = rows.make_story()
        self.team = story.team
        self.app = rows.make_repository(self.team)
        self.image = rows.make_artifact(self.app, "v1")
        self.team.members.filter(user=story.carol).update(
            tag_scope=[{"repository": "app", "tags": ["v*"]}, {"repository": "r*", "tags": ["v*"]}]
        )
        self.hook, self.sent, _ = rows.make_webhook(self.team)
        self._number = 0

    def grow(self, count: int) -> None:
        """So many more of everything."""
        for number in range(self._number, self._number + count):
            self._grow(number)
        self._number += count

    def measure(self, path: str) -> tuple[tuple[int | None, ...], int]:
        """What a list costs each of them, and how long it is for the admin."""
        whole = f"{path}{'&' if '?' in path else '?'}page_size=100".format(
            project=self.team.pk, hook=self.hook.pk, sent=self.sent.id
        )
        answers = [_ask(who, whole) for who in (self.story.admin, self.story.bob, self.story.carol)]
        return tuple(cost for cost, _ in answers), answers[0][1]

    def _grow(self, number: int) -> None:
        story, team, app = self.story, self.team, self.app
        user = rows.make_user(f"u{number}")
        rows.add_member(team, user, Role.GUEST)
        rows.add_member(team, rows.make_group(f"crew{number}", [story.bob, user]), Role.GUEST)
        other = rows.make_project(f"p{number}", story.alice)
        rows.add_member(other, story.bob, Role.PROJECT_ADMIN)
        rows.add_member(other, story.carol, Role.GUEST, {"**": ["v*"]})
        for place, name in ((team, f"r{number}"), (other, "app")):
            rows.make_artifact(rows.make_repository(place, name), "v1")
        ProjectCveAllowlist.objects.create(project=other, cve_ids=["CVE-2026-1"])
        image = rows.make_artifact(app, f"v2.{number}", f"w{number}", pushed=clock.now())
        rows.make_index(app, [image, rows.make_artifact(app)], f"v3.{number}")
        for subject in (image, self.image):
            rows.make_artifact(app, subject=subject)
        rows.make_tag(self.image, f"v1.{number}")
        immutable_rules.create(
            project=team, selectors=_tags_called(f"v{number}"), disabled=False, priority=0, actor=story.alice
        )
        for project in (team, None):
            label = Label.objects.create(project=project, name=f"label{number}")
            ArtifactLabel.objects.create(artifact=image, label=label)
            rows.make_robot(project, ["repository:pull"])
        rows.make_webhook(team)
        rows.make_delivery(self.hook)
        Task.objects.create(execution_id=self.sent.id, vendor_type="WEBHOOK", queue="event")
        rows.make_run()
        rows.make_run("PURGE_AUDIT_LOG")
        Schedule.objects.create(vendor_type=f"KIND{number}", cron="0 0 0 * * *")
        for project in (team, other):
            AuditLog.objects.create(
                username="alice", operation="create", resource_type="tag", resource="r", project_id=project.pk
            )


def _tags_called(name: str) -> immutable_rules.Selectors:
    return immutable_rules.checked(
        tags=[{"kind": "doublestar", "decoration": "matches", "pattern": name}],
        scope={"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]},
    )


@contextmanager
def _counted() -> Iterator[list[str]]:
    """What is asked of the database meanwhile, prepared statements too."""
    asked: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        asked.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        yield asked


def _ask(who: User, path: str) -> tuple[int | None, int]:
    """The queries of a list for somebody whom the platform knows already (None when he is refused), and its length."""
    if Api(who).get(path).status_code == 403:
        return None, 0
    configuration.forget()
    with _counted() as asked:
        answer = Api(who).get(path)
    assert answer.status_code == 200, answer.content
    assert len(answer.json()) == int(answer["X-Total-Count"])
    return len(asked), len(answer.json())


def test_a_list_costs_the_same_at_any_length() -> None:
    place = Place()
    place.grow(2)
    few = {path: place.measure(path) for path in TABLE}
    place.grow(10)
    many = {path: place.measure(path) for path in TABLE}
    assert {path: numbers for path, (numbers, _) in few.items()} == TABLE
    assert {path: numbers for path, (numbers, _) in many.items()} == TABLE
    assert [path for path in TABLE if many[path][1] < few[path][1] + 10] == []


def test_what_a_row_counts_is_counted_for_the_rows_of_the_page_alone() -> None:
    story = rows.make_story()
    for number in range(12):
        rows.make_artifact(rows.make_repository(story.team, f"r{number:02d}"), "v1")
    for page in range(1, 7):
        with CaptureQueriesContext(connection) as asked:
            assert len(Api(story.alice).get(f"/repositories?page_size=2&page={page}").json()) == 2
        (listing,) = [query["sql"] for query in asked if "artifact_count" in query["sql"]]
        read = [node for node in plans.nodes(listing) if node.get("Relation Name") == "projects_artifact"]
        # One look at artifacts for each row: how the planner looks is its business.
        assert sum(node["Actual Loops"] for node in read) == 2


def test_what_comes_before_a_page_is_gone_through_by_its_keys_alone() -> None:
    """As whole rows, those of ten thousand deliveries with their payloads would be sorted on disk."""
    story = rows.make_story()
    policy, *_ = rows.make_webhook(story.team)
    for _ in range(5):
        rows.make_delivery(policy)
    with CaptureQueriesContext(connection) as asked:
        answer = Api(story.alice).get(f"/projects/team/webhook/policies/{policy.pk}/executions?page_size=2&page=2")
    assert len(answer.json()) == 2
    (listing,) = [query["sql"] for query in asked if "OFFSET" in query["sql"]]
    (limit,) = [node for node in plans.nodes(listing) if node["Node Type"] == "Limit"]
    assert limit["Plan Width"] <= 16


def test_every_list_stands_in_the_table() -> None:
    """A list is what has an action of that name, or what Harbor's contract says to be an array."""
    arrays = {
        _nameless(each.path)
        for each in OPERATIONS.values()
        if each.method == "GET" and ((each.response(200) or {}).get("schema") or {}).get("type") == "array"
    }
    lists = {
        route.removeprefix("api/v2.0")
        for route, view in views()
        if (action := getattr(view, "actions", {}).get("get"))
        and (action == "list" or _nameless(route.removeprefix("api/v2.0")) in arrays)
    }
    known = {resolve(f"/api/v2.0{path.partition('?')[0]}").route.removeprefix("api/v2.0") for path in TABLE}
    assert lists == known | {f"/{path}" for path in NOT_ROWS}


def _nameless(path: str) -> str:
    """A path without the names of its parameters, which Harbor and Django write differently."""
    return re.sub(r"<[^>]*>|{[^}]*}", "*", path)
