"""A robot's secrets while they are rotated: several are good at once, each for its time."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from core import clock
from core.models import Outbox
from projects.models import AuditLog
from rbac import credentials, robots
from rbac.models import Robot, RobotSecret
from tests.rest import Api, code
from tests.rows import PASSWORD, Story, make_project, make_robot

HOUR = 3600


@pytest.fixture
def robot(story: Story) -> Robot:
    """The builds' robot in Alice's project, with the secret PASSWORD."""
    return make_robot(story.team, ["project:read"], "builds")


def rotate(who: Any, robot: Robot, **said: Any) -> Any:
    return Api(who).patch(f"/robots/{robot.pk}", said)


def opens(robot: Robot, secret: str) -> bool:
    return bool(Api(robot, secret).get("/projects/team").status_code == 200)


def message(answer: Any) -> str:
    return str(answer.json()["errors"][0]["message"])


def test_with_a_grace_the_old_secret_is_good_until_it_is_over(story: Story, robot: Robot) -> None:
    answer = rotate(story.alice, robot, grace_period=HOUR)
    fresh = answer.json()["secret"]
    assert (answer.status_code, set(answer.json())) == (200, {"secret"})
    assert opens(robot, PASSWORD)
    assert opens(robot, fresh)
    old, new = robot.secrets.order_by("pk")
    assert old.expires is not None
    assert abs(old.expires - clock.now() - timedelta(hours=1)) < timedelta(minutes=5)
    assert new.expires is None
    # The hour is over.
    RobotSecret.objects.filter(pk=old.pk).update(expires=clock.now())
    assert not opens(robot, PASSWORD)
    assert opens(robot, fresh)
    row = AuditLog.objects.get(resource_type="robot")
    assert row.description == "update robot: robot$team+builds (secret, the old one good for 3600 seconds)"


def test_a_grace_of_seconds_ends_by_itself(story: Story, robot: Robot) -> None:
    fresh = rotate(story.alice, robot, grace_period=1).json()["secret"]
    until = time.monotonic() + 60
    while opens(robot, PASSWORD) and time.monotonic() < until:
        time.sleep(0.2)
    assert not opens(robot, PASSWORD)
    assert opens(robot, fresh)


@pytest.mark.parametrize("said", [{}, {"secret": ""}, {"grace_period": 0}, {"secret": "", "grace_period": None}])
def test_without_one_the_old_secret_ends_at_once_as_in_harbor(story: Story, robot: Robot, said: Any) -> None:
    fresh = rotate(story.alice, robot, **said).json()["secret"]
    assert not opens(robot, PASSWORD)
    assert opens(robot, fresh)
    assert robot.secrets.count() == 1


def test_a_chosen_secret_has_a_grace_too(story: Story, robot: Robot) -> None:
    answer = rotate(story.alice, robot, secret="Chosen-123", grace_period=HOUR)
    assert (answer.status_code, answer.json()) == (200, {})
    assert opens(robot, PASSWORD)
    assert opens(robot, "Chosen-123")


def test_a_later_rotation_lets_no_secret_live_longer(story: Story, robot: Robot) -> None:
    """Three secrets: the first ends when it was to end, the second by the new grace."""
    second = rotate(story.alice, robot, grace_period=HOUR).json()["secret"]
    first = robot.secrets.earliest("pk")
    rotate(story.alice, robot, grace_period=2 * HOUR)
    assert list(robot.secrets.filter(expires=first.expires)) == [first]
    assert robot.secrets.filter(expires__gt=first.expires).count() == 1
    assert robot.secrets.filter(expires=None).count() == 1
    assert opens(robot, second)
    # Without a grace all of them end.
    rotate(story.alice, robot)
    assert not opens(robot, PASSWORD)
    assert not opens(robot, second)


def test_a_robot_has_a_bounded_number_of_secrets(story: Story, robot: Robot) -> None:
    answers = [rotate(story.alice, robot, grace_period=HOUR) for _ in range(credentials.MOST_SECRETS)]
    assert [answer.status_code for answer in answers] == [200] * (credentials.MOST_SECRETS - 1) + [412]
    assert message(answers[-1]).endswith("has 5 secrets that are still good: revoke one, or leave out the grace")
    assert robot.secrets.count() == credentials.MOST_SECRETS
    assert opens(robot, answers[-2].json()["secret"])
    # What has ended does not count, and goes.
    robot.secrets.filter(expires__isnull=False).update(expires=clock.now())
    assert rotate(story.alice, robot, grace_period=HOUR).status_code == 200
    assert robot.secrets.count() == 2


@pytest.mark.parametrize(
    ("grace", "status", "words"),
    [
        (-1, 400, "grace_period must be 0 to 2592000 seconds (30 days), not -1"),
        (robots.GRACE_MOST + 1, 400, "not 2592001"),
        (2**62, 400, "grace_period must be"),
        ("3600", 422, "grace_period"),
        (True, 422, "grace_period"),
        (0.5, 422, "grace_period"),
    ],
)
def test_a_grace_that_cannot_be_changes_nothing(
    story: Story, robot: Robot, grace: object, status: int, words: str
) -> None:
    answer = rotate(story.alice, robot, grace_period=grace)
    assert (answer.status_code, words in message(answer)) == (status, True), answer.content
    assert opens(robot, PASSWORD)
    assert robot.secrets.get().expires is None


# --- which there are ----------------------------------------------------------------------------------------
def test_secrets_are_listed_by_how_they_begin_and_never_told(story: Story, robot: Robot) -> None:
    fresh = rotate(story.alice, robot, grace_period=HOUR).json()["secret"]
    chosen = "Chosen-123"
    rotate(story.alice, robot, secret=chosen, grace_period=2 * HOUR)
    RobotSecret.objects.create(robot=robot, kind="generated", digest="0", prefix="gone", expires=clock.now())
    answer = Api(story.alice).get(f"/robots/{robot.pk}/secrets")
    by_people, generated, old = answer.json()
    assert answer.status_code == 200
    assert set(by_people) == {"id", "creation_time", "expires_at"}
    assert set(generated) == {"id", "prefix", "creation_time", "expires_at"}
    assert (by_people["expires_at"], generated["prefix"]) == (-1, fresh[:4])
    assert old["expires_at"] < generated["expires_at"]
    said = answer.content.decode() + str(list(Outbox.objects.values()))
    stored = str(list(RobotSecret.objects.values()))
    for secret in (fresh, chosen, PASSWORD):
        assert secret not in said + stored
        assert secret[:5] not in said


@pytest.mark.parametrize(
    ("who", "status"), [("admin", 200), ("bob", 403), ("carol", 403), ("mallory", 403), (None, 401)]
)
def test_secrets_are_for_who_may_change_the_robot(story: Story, robot: Robot, who: str | None, status: int) -> None:
    """Bob and Carol may read the robot; how its secrets begin is none of theirs."""
    client, path = Api(getattr(story, who) if who else None), f"/robots/{robot.pk}/secrets"
    assert client.get(path).status_code == status
    assert client.delete(f"{path}/{robot.secrets.get().pk}").status_code == status
    assert opens(robot, PASSWORD) is (status != 200)


def test_one_secret_is_revoked_at_once(story: Story, robot: Robot) -> None:
    opens(robot, PASSWORD)
    fresh = rotate(story.alice, robot, grace_period=HOUR).json()["secret"]
    old = robot.secrets.earliest("pk")
    path = f"/robots/{robot.pk}/secrets"
    answer = Api(story.alice).delete(f"{path}/{old.pk}")
    assert (answer.status_code, answer.content) == (200, b"")
    # Also where it was verified a moment ago.
    assert not opens(robot, PASSWORD)
    assert opens(robot, fresh)
    assert AuditLog.objects.latest("id").description == "update robot: robot$team+builds (secret revoked)"
    assert Api(story.alice).delete(f"{path}/{old.pk}").status_code == 404
    assert Api(story.alice).delete(f"{path}/{robot.secrets.get().pk}").status_code == 200
    assert not opens(robot, fresh)
    assert Api(story.alice).get(path).json() == []


def test_a_secret_is_revoked_only_under_its_own_robot(story: Story, robot: Robot) -> None:
    """Mallory owns a robot and uses it as a way to Alice's."""
    hers = make_robot(make_project("hers", story.mallory))
    answer = Api(story.mallory).delete(f"/robots/{hers.pk}/secrets/{robot.secrets.get().pk}")
    assert (answer.status_code, code(answer)) == (404, "NOT_FOUND")
    assert Api(story.mallory).get(f"/robots/{robot.pk}/secrets").status_code == 403
    assert opens(robot, PASSWORD)


# --- nobody takes what is not his ------------------------------------------------------------------------------
def test_nobody_takes_over_a_robot_that_can_do_more(story: Story) -> None:
    """The system admin gave it what no project admin has; with its secret Alice would have that."""
    strong = make_robot(story.team, ["metadata:list"])
    for said in ({}, {"secret": "Chosen-123"}, {"grace_period": HOUR}):
        answer = rotate(story.alice, strong, **said)
        assert (answer.status_code, code(answer)) == (403, "DENIED")
    assert message(answer) == "you cannot give metadata:list in team, which you do not have"
    assert strong.secrets.get().expires is None
    assert rotate(story.admin, strong).status_code == 200


def test_a_system_admin_rotates_robots_of_any_kind(story: Story) -> None:
    everywhere = make_robot(None, ["user:list"])
    everywhere.permissions = [
        *everywhere.permissions,
        {"kind": "project", "namespace": "*", "access": [{"resource": "repository", "action": "pull"}]},
        {"kind": "project", "namespace": "team", "access": [{"resource": "metadata", "action": "list"}]},
    ]
    everywhere.save()
    assert rotate(story.admin, everywhere, grace_period=HOUR).status_code == 200
    assert rotate(story.alice, everywhere).status_code == 403
