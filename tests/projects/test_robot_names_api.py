"""How robots are called and how long they live when nobody says so: `robot_name_prefix`, `robot_token_duration`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core import configuration, errors
from projects.models import AuditLog
from rbac import credentials
from rbac.models import Robot, User
from tests.rest import Api, code
from tests.rows import PASSWORD, Story, make_robot, make_user

PERMISSIONS = [{"kind": "project", "namespace": "team", "access": [{"resource": "project", "action": "read"}]}]
NEW = {"name": "ci", "level": "project", "duration": 7, "permissions": PERMISSIONS}


def configure(story: Story, **values: Any) -> Any:
    return Api(story.admin).put("/configurations", values)


def signs_in(name: str, secret: str = PASSWORD) -> Any:
    """Who it is; None when it is nobody."""
    try:
        return credentials.authenticate(name=name, secret=secret, address="192.0.2.1")
    except errors.WrongCredentials:
        return None


# --- names ------------------------------------------------------------------------------------------------------
def test_another_prefix_renames_all_robots_at_once_as_in_harbor(story: Story) -> None:
    robot, of_system = make_robot(story.team, ["project:read"], "ci"), make_robot(None, name="sweeper")
    assert configure(story, robot_name_prefix="bot-").status_code == 200
    assert [signs_in(name) for name in ("bot-team+ci", "bot-sweeper")] == [robot, of_system]
    assert [signs_in(name) for name in ("robot$team+ci", "robot$sweeper", "team+ci", "sweeper")] == [None] * 4
    assert Api(story.alice).get(f"/robots/{robot.pk}").json()["name"] == "bot-team+ci"
    listed = Api(story.admin).get("/robots?sort=name").json()
    assert [row["name"] for row in listed] == ["bot-sweeper"]
    configure(story, robot_name_prefix="robot$")
    assert signs_in("robot$team+ci") == robot


def test_a_new_robot_has_the_prefix_of_its_day_and_the_next_one(story: Story) -> None:
    configure(story, robot_name_prefix="bot-")
    made = Api(story.alice).post("/robots", NEW).json()
    robot = Robot.objects.get()
    assert made["name"] == "bot-team+ci"
    assert signs_in("bot-team+ci", made["secret"]) == robot
    configure(story, robot_name_prefix="ci_")
    assert signs_in("ci_team+ci", made["secret"]) == robot
    assert Api(story.alice).post("/robots", NEW).status_code == 409


def test_a_robot_is_changed_by_its_new_name_and_not_by_its_old_one(story: Story) -> None:
    robot = make_robot(story.team, ["project:read"], "ci")
    configure(story, robot_name_prefix="bot-")
    path = f"/robots/{robot.pk}"
    assert Api(story.alice).put(path, {**NEW, "name": "bot-team+ci"}).status_code == 200
    assert Api(story.alice).put(path, {**NEW, "name": "robot$team+ci"}).status_code == 400


def test_the_audit_log_has_the_name_of_the_moment(story: Story) -> None:
    robot = make_robot(None, ["robot:create"], "maker")
    configure(story, robot_name_prefix="bot-")
    permissions = [{"kind": "system", "namespace": "/", "access": [{"resource": "robot", "action": "create"}]}]
    given = {"name": "made", "level": "system", "duration": -1, "permissions": permissions}
    assert Api(robot).post("/robots", given).status_code == 201
    row = AuditLog.objects.get(resource_type="robot")
    assert (row.username, row.resource) == ("bot-maker", "bot-made")
    configure(story, robot_name_prefix="robot$")
    made = Robot.objects.get(short_name="made")
    assert Api(story.admin).get(f"/robots/{made.pk}").json()["creator_type"] == "robot"


def test_access_is_explained_for_the_name_of_now(story: Story) -> None:
    make_robot(story.team, ["repository:pull"], "ci")
    configure(story, robot_name_prefix="bot-")

    def rule(subject: str) -> str:
        query = {"subject": subject, "action": "pull", "resource": "app:v1"}
        return str(Api(story.alice).get("/projects/team/access/explain", query).json()["rule"])

    assert rule("bot-team+ci") != "unknown-subject"
    assert rule("robot$team+ci") == "unknown-subject"


@pytest.mark.parametrize("prefix", ["a", "al", "alice", "bob-"])
def test_a_prefix_of_letters_keeps_nobody_out(story: Story, prefix: str) -> None:
    robot = make_robot(None, name="ci")
    configure(story, robot_name_prefix=prefix)
    assert signs_in("alice") == story.alice
    assert signs_in("alice", "wrong") is None
    assert signs_in("bob") == story.bob
    assert signs_in(f"{prefix}ci") == robot


def test_nobody_is_named_like_a_robot_nor_a_robot_like_somebody(story: Story) -> None:
    make_user("bot-old")
    configure(story, robot_name_prefix="bot-")
    account = {"username": "bot-new", "email": "new@example.com", "password": "Secret123"}
    answer = Api(story.admin).post("/users", account)
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (
        400,
        "names that begin with bot- are robots'",
    )
    assert not User.objects.filter(username="bot-new").exists()
    given = {**NEW, "name": "old", "level": "system"}
    answer = Api(story.admin).post("/robots", given)
    assert (answer.status_code, code(answer)) == (409, "CONFLICT")
    assert signs_in("bot-old") == User.objects.get(username="bot-old")


@pytest.mark.parametrize("prefix", ["robot:", "ro bot", " ", "robot\n", ""])
def test_a_prefix_with_which_nobody_could_sign_in_is_refused(story: Story, prefix: str) -> None:
    answer = configure(story, robot_name_prefix=prefix)
    assert (answer.status_code, "robot_name_prefix" in answer.json()["errors"][0]["message"]) == (400, True)
    assert configuration.get("robot_name_prefix") == "robot$"


# --- life -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("said", [{"duration": 0}, {"duration": None}])
@pytest.mark.parametrize("days", [30, 3])
def test_a_robot_of_which_nobody_says_it_lives_for_the_configured_days(
    story: Story, said: dict[str, Any], days: int
) -> None:
    if days != 30:
        configure(story, robot_token_duration=days)
    made = Api(story.alice).post("/robots", {**NEW, **said}).json()
    robot = Robot.objects.get()
    assert robot.expires == robot.created + timedelta(days=days)
    assert made["expires_at"] == int(robot.expires.timestamp())
    assert Api(story.alice).get(f"/robots/{robot.pk}").json()["duration"] == days


def test_what_is_configured_later_changes_no_robot_that_is_there(story: Story) -> None:
    Api(story.alice).post("/robots", {**NEW, "duration": 0})
    robot = Robot.objects.get()
    configure(story, robot_token_duration=3)
    robot.refresh_from_db()
    assert robot.duration_days == 30
    path, given = f"/robots/{robot.pk}", {**NEW, "name": robot.name}
    assert Api(story.alice).put(path, {**given, "duration": None}).status_code == 200
    robot.refresh_from_db()
    assert robot.duration_days == 30
    assert Api(story.alice).put(path, {**given, "duration": 0}).status_code == 200
    robot.refresh_from_db()
    assert (robot.duration_days, robot.expires) == (3, robot.created + timedelta(days=3))
