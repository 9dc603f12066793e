"""Robots through the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.models import Outbox
from projects.models import Member, Project
from rbac.models import Robot, RobotSecret
from rbac.roles import ADMIN, GRANTS, ROBOT, Role
from tests.rest import Api, code
from tests.rows import PASSWORD, Story, make_project, make_robot, make_user


def space(namespace: str, *access: str, kind: str = "project") -> dict[str, Any]:
    pairs = [dict(zip(("resource", "action"), pair.split(":"), strict=True)) for pair in access]
    return {"kind": kind, "namespace": namespace, "access": pairs}


def body(*permissions: dict[str, Any], level: str = "project", **more: Any) -> dict[str, Any]:
    return {"name": "ci", "level": level, "duration": 7, "permissions": list(permissions), **more}


_OF_TEAM = "/robots?q=Level=project,ProjectID={}"
PULL = space("team", "repository:pull")


def test_a_project_admin_makes_a_robot_that_can_sign_in(story: Story) -> None:
    answer = Api(story.alice).post("/robots", body(PULL, description="for the builds"))
    robot = Robot.objects.get()
    made = answer.json()
    assert answer.status_code == 201
    assert answer["Location"] == f"/api/v2.0/robots/{robot.pk}"
    assert made["name"] == "robot$team+ci"
    assert made["expires_at"] == int((robot.created + timedelta(days=7)).timestamp())
    assert Api(robot, made["secret"]).get("/projects/team/repositories").status_code == 403
    assert Api(robot, made["secret"]).get("/projects?name=team").json()[0]["name"] == "team"
    shown = Api(story.alice).get(f"/robots/{robot.pk}").json()
    assert (shown["level"], shown["duration"], shown["editable"], shown["disable"]) == ("project", 7, True, False)
    assert shown["permissions"] == [PULL]
    assert "secret" not in shown


def test_a_robot_tells_who_made_it(story: Story) -> None:
    made = Api(story.alice).post("/robots", body(PULL)).json()
    maker = make_robot(story.team, ["robot:create", "repository:pull"])
    again = Api(maker).post("/robots", {**body(PULL), "name": "second"}).json()
    shown = {row["id"]: row for row in Api(story.alice).get(_OF_TEAM.format(story.team.pk)).json()}
    assert (shown[made["id"]]["creator_type"], shown[made["id"]]["creator_ref"]) == ("local", story.alice.pk)
    assert (shown[again["id"]]["creator_type"], shown[again["id"]]["creator_ref"]) == ("robot", maker.pk)
    # Of a robot that was made before this was kept, nobody knows it.
    assert "creator_ref" not in shown[maker.pk]


def test_who_changes_a_robot_is_not_who_made_it(story: Story) -> None:
    made = Api(story.alice).post("/robots", body(PULL)).json()
    assert Api(story.admin).put(f"/robots/{made['id']}", body(PULL, disable=True)).status_code == 200
    assert Api(story.admin).get(f"/robots/{made['id']}").json()["creator_ref"] == story.alice.pk


def test_no_secret_is_stored_or_told_to_anybody_else(story: Story) -> None:
    secret = Api(story.alice).post("/robots", body(PULL)).json()["secret"]
    stored = f"{list(RobotSecret.objects.values())} {list(Robot.objects.values())} {list(Outbox.objects.values())}"
    assert secret not in stored
    assert secret not in str(Api(story.admin).get(f"/robots?q=Level=project,ProjectID={story.team.pk}").json())


def test_a_chosen_secret_must_be_strong(story: Story) -> None:
    assert Api(story.alice).post("/robots", body(PULL, secret="weak")).status_code == 400
    assert Api(story.alice).post("/robots", body(PULL, secret="Strong-123")).json()["secret"] == "Strong-123"
    assert Api(Robot.objects.get(), "Strong-123").get("/users/current").status_code == 412


@pytest.mark.parametrize(
    ("who", "status"), [("admin", 201), ("alice", 201), ("bob", 403), ("carol", 403), ("mallory", 403), (None, 401)]
)
def test_who_makes_robots_in_a_project(story: Story, who: str | None, status: int) -> None:
    assert Api(getattr(story, who) if who else None).post("/robots", body(PULL)).status_code == status


def test_only_admins_make_robots_of_the_system(story: Story) -> None:
    wanted = body(space("/", "user:list", kind="system"), PULL, level="system")
    assert Api(story.alice).post("/robots", wanted).status_code == 403
    answer = Api(story.admin).post("/robots", wanted)
    assert (answer.status_code, answer.json()["name"]) == (201, "robot$ci")
    assert Api(Robot.objects.get(), answer.json()["secret"]).get("/users").status_code == 200


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        (body(), 400),
        (body(space("team")), 400),
        (body(PULL, PULL), 400),
        (body(PULL, space("other", "repository:pull")), 400),
        (body(space("/", "user:list", kind="system")), 400),
        (body(space("*", "repository:pull")), 404),
        (body(space("team", "repository:fly")), 400),
        (body(space("team", "*:*")), 400),
        (body(space("team", "user:create")), 400),
        (body(space("/", "repository:pull", kind="system"), level="system"), 400),
        (body(space("team", "user:list", kind="system"), level="system"), 400),
        (body(space("/", "repository:pull"), level="system"), 404),
        (body(space("nowhere", "repository:pull"), level="system"), 404),
        (body(space("nowhere", "repository:pull")), 404),
        (body(PULL, name="Upper"), 400),
        (body(PULL, name="a+b"), 400),
        (body(PULL, name=""), 400),
        (body(PULL, duration=-2), 400),
        (body(PULL, duration=2**40), 400),
        (body(PULL, duration="7"), 422),
        (body(PULL, level="galaxy"), 422),
        (body(PULL, disable="no"), 422),
        ({"name": "ci"}, 422),
        (body({**PULL, "access": "all"}), 422),
        (body({**PULL, "access": [{"resource": "repository", "action": "pull", "effect": "deny"}]}), 422),
    ],
    ids=str,
)
def test_robots_that_cannot_be(story: Story, wanted: Any, status: int) -> None:
    assert Api(story.admin).post("/robots", wanted).status_code == status
    assert not Robot.objects.exists()


@pytest.mark.parametrize("days", [-2, 36501])
def test_who_asks_for_a_strange_duration_hears_what_it_may_be(story: Story, days: int) -> None:
    answer = Api(story.alice).post("/robots", body(PULL, duration=days))
    message = answer.json()["errors"][0]["message"]
    assert message == f"bad request error duration input: {days}, it must be -1 (never) or 1 to 36500 days"


def test_a_name_is_given_once_per_project(story: Story) -> None:
    make_project("other", story.alice)
    assert Api(story.alice).post("/robots", body(PULL)).status_code == 201
    assert Api(story.alice).post("/robots", body(PULL)).status_code == 409
    assert Api(story.alice).post("/robots", body(space("other", "repository:pull"))).status_code == 201


def test_duration_is_days_from_its_making_or_for_ever(story: Story) -> None:
    for number, (duration, days) in enumerate([(-1, None), (1, 1), (30, 30)]):
        made = Api(story.alice).post("/robots", body(PULL, name=f"r{number}", duration=duration)).json()
        robot = Robot.objects.get(pk=made["id"])
        assert robot.expires == (robot.created + timedelta(days=days) if days else None)
        assert (made["expires_at"] == -1) is (days is None)


def test_an_expired_or_disabled_robot_is_a_stranger(story: Story) -> None:
    expired = make_robot(story.team, ["project:read"], expires=timezone.now())
    disabled = make_robot(story.team, ["project:read"], disabled=True)
    for robot in (expired, disabled):
        assert Api(robot).get("/projects/team").status_code == 401


# --- nobody gives what is not his ---------------------------------------------------------------------------
def test_a_project_admin_gives_nothing_outside_of_his_project(story: Story) -> None:
    make_project("hers", story.mallory)
    assert Api(story.mallory).post("/robots", body(PULL)).status_code == 403
    wanted = body(space("hers", "metadata:list"))
    answer = Api(story.mallory).post("/robots", wanted)
    assert (answer.status_code, code(answer)) == (403, "DENIED")
    assert Api(story.admin).post("/robots", wanted).status_code == 201


@pytest.mark.parametrize(
    ("permission", "status"),
    [
        (space("team", "repository:pull"), 201),
        (space("/", "robot:list", kind="system"), 201),
        (space("team", "repository:delete"), 403),
        (space("/", "user:create", kind="system"), 403),
        (space("*", "repository:pull"), 403),
        (space("other", "repository:pull"), 403),
        (space("nowhere", "repository:pull"), 403),
    ],
    ids=str,
)
def test_a_robot_gives_only_what_it_has(story: Story, permission: dict[str, Any], status: int) -> None:
    make_project("other", story.alice)
    maker = make_robot(None, ["robot:create", "robot:list"])
    maker.permissions = [*maker.permissions, PULL]
    maker.save()
    assert Api(maker).post("/robots", body(permission, level="system")).status_code == status


def test_a_robot_with_all_projects_gives_all_projects(story: Story) -> None:
    maker = make_robot(None, ["robot:create"])
    maker.permissions = [*maker.permissions, space("*", "repository:pull")]
    maker.save()
    assert Api(maker).post("/robots", body(space("*", "repository:pull"), level="system")).status_code == 201
    assert Api(maker).post("/robots", body(space("*", "repository:push"), level="system", name="x")).status_code == 403


@pytest.mark.parametrize("level", ["system", "project"])
def test_what_is_open_to_everybody_today_is_not_a_robots_to_give(story: Story, level: str) -> None:
    """What it gave would still be good when the project is private again, where the robot itself is out."""
    open_one = make_project("open", story.alice, public=True)
    maker = make_robot(open_one if level == "project" else None, ["robot:create"])
    maker.permissions = [*maker.permissions, space("open", "tag:list")][-2:]
    maker.save()
    wanted = space("open", "repository:pull")
    assert Api(maker).get("/projects/open/repositories").status_code == 200
    answer = Api(maker).post("/robots", body(wanted, level=level))
    assert (answer.status_code, code(answer)) == (403, "DENIED")
    assert Api(maker).post("/robots", body(space("open", "tag:list"), level=level)).status_code == 201


@pytest.mark.parametrize(
    "gained",
    [
        space("team", "project:read", "metadata:list"),
        space("*", "project:read"),
        space("other", "project:read"),
        space("/", "user:list", kind="system"),
    ],
    ids=str,
)
def test_no_update_gives_a_robot_more_than_its_maker_has(story: Story, gained: dict[str, Any]) -> None:
    make_project("other", story.mallory)
    robot = make_robot(story.team, ["project:read"])
    given = {"name": robot.name, "level": "project", "duration": -1}
    assert Api(story.alice).put(f"/robots/{robot.pk}", {**given, "permissions": [gained]}).status_code in (400, 403)
    robot.refresh_from_db()
    assert robot.permissions == [space("team", "project:read")]


def test_who_lost_a_right_cannot_give_it_any_more(story: Story) -> None:
    """Alice is made a developer: her robots stay what they are, and she makes no more."""
    robot = make_robot(story.team, ["project:delete"])
    Member.objects.filter(project=story.team, user=story.alice).update(role=Role.DEVELOPER)
    given = {"name": robot.name, "level": "project", "duration": -1, "permissions": robot.permissions}
    assert Api(story.alice).put(f"/robots/{robot.pk}", given).status_code == 403
    assert Api(story.alice).patch(f"/robots/{robot.pk}", {}).status_code == 403
    assert Api(story.alice).post("/robots", body(PULL)).status_code == 403


def test_a_change_needs_rights_only_for_what_is_new(story: Story) -> None:
    """The system admin gave the robot more than Alice has; she may still switch it off, but add nothing."""
    robot = make_robot(story.team, ["metadata:list"])
    given = {"name": robot.name, "level": "project", "duration": -1, "permissions": robot.permissions}
    assert Api(story.alice).put(f"/robots/{robot.pk}", {**given, "disable": True}).status_code == 200
    robot.refresh_from_db()
    assert robot.disabled
    other = make_robot(story.team, ["repository:pull"])
    answer = Api(story.alice).put(f"/robots/{other.pk}", {**given, "name": other.name})
    assert (answer.status_code, code(answer)) == (403, "DENIED")
    other.refresh_from_db()
    assert other.permissions[0]["access"] == [{"resource": "repository", "action": "pull"}]


# --- life -------------------------------------------------------------------------------------------------
def test_everything_but_name_and_level_changes(story: Story) -> None:
    robot = make_robot(story.team, ["repository:pull"], name="ci")
    wanted = body(space("team", "repository:push"), name="robot$team+ci", description="new", duration=1)
    assert Api(story.alice).put(f"/robots/{robot.pk}", wanted).status_code == 200
    robot.refresh_from_db()
    assert (robot.description, robot.expires) == ("new", robot.created + timedelta(days=1))
    assert Api(story.alice).put(f"/robots/{robot.pk}", {**wanted, "duration": None}).status_code == 200
    robot.refresh_from_db()
    assert robot.duration_days == 1
    assert Api(story.alice).put(f"/robots/{robot.pk}", {**wanted, "name": "other"}).status_code == 400
    assert Api(story.admin).put(f"/robots/{robot.pk}", {**wanted, "level": "system"}).status_code == 400
    moved = {**wanted, "permissions": [space("elsewhere", "repository:pull")]}
    make_project("elsewhere", story.alice)
    assert Api(story.alice).put(f"/robots/{robot.pk}", moved).status_code == 400


def test_a_refreshed_secret_ends_the_old_one(story: Story) -> None:
    robot = make_robot(story.team, ["project:read"])
    fresh = Api(story.alice).patch(f"/robots/{robot.pk}", {"secret": ""}).json()["secret"]
    assert Api(robot, PASSWORD).get("/projects/team").status_code == 401
    assert Api(robot, fresh).get("/projects/team").status_code == 200
    assert Api(story.alice).patch(f"/robots/{robot.pk}", {"secret": "weak"}).status_code == 400
    answer = Api(story.alice).patch(f"/robots/{robot.pk}", {"secret": "Chosen-123"})
    assert (answer.status_code, answer.json()) == (200, {})
    assert Api(robot, "Chosen-123").get("/projects/team").status_code == 200


def test_lists_are_of_the_system_or_of_one_project(story: Story) -> None:
    make_robot(story.team, name="inside")
    make_robot(None, name="outside")
    asked = f"/robots?q=Level=project,ProjectID={story.team.pk}"

    def names(client: Api, path: str) -> list[str]:
        return [row["name"] for row in client.get(path).json()]

    assert names(Api(story.admin), "/robots") == ["robot$outside"]
    assert names(Api(story.admin), "/robots?q=Level=system") == ["robot$outside"]
    assert names(Api(story.carol), asked) == ["robot$team+inside"]
    assert names(Api(story.carol), f"{asked},name=~INS") == ["robot$team+inside"]
    assert names(Api(story.carol), f"{asked},name=~none") == []


@pytest.mark.parametrize(
    ("who", "query", "status"),
    [
        ("alice", "", 403),
        (None, "", 401),
        ("admin", "?q=Level=project", 400),
        ("admin", "?q=Level=galaxy", 400),
        ("admin", "?q=Level=~project", 400),
        ("admin", "?q=Level=project,ProjectID=x", 400),
        ("admin", "?q=Level=project,ProjectID=99999", 404),
        ("alice", "?q=Level=project,ProjectID=99999", 403),
        (None, "?q=Level=project,ProjectID=99999", 401),
    ],
)
def test_lists_that_are_not_for_everybody(story: Story, who: str | None, query: str, status: int) -> None:
    assert Api(getattr(story, who) if who else None).get(f"/robots{query}").status_code == status


def test_robots_of_others_are_out_of_reach(story: Story) -> None:
    """Alice owns a project; neither Mallory's robots nor the system's are hers."""
    hers = make_project("hers", story.mallory)
    for robot in (make_robot(hers, ["repository:pull"]), make_robot(None, ["user:list"])):
        url, before = f"/robots/{robot.pk}", (robot.permissions, robot.secrets.get().digest)
        wanted = body(PULL, name=robot.name, level=robot.level)
        calls = [("get", None), ("put", wanted), ("patch", {"secret": "Chosen-123"}), ("delete", None)]
        assert [getattr(Api(story.alice), method)(url, given).status_code for method, given in calls] == [403] * 4
        robot.refresh_from_db()
        assert (robot.permissions, robot.secrets.get().digest) == before


def test_only_admins_hear_that_a_robot_does_not_exist(story: Story) -> None:
    assert Api(story.admin).get("/robots/999999").status_code == 404
    assert Api(story.alice).get("/robots/999999").status_code == 403
    assert Api().get("/robots/999999").status_code == 401


def test_guests_look_but_do_not_touch(story: Story) -> None:
    robot = make_robot(story.team, ["repository:pull"])
    assert Api(story.carol).get(f"/robots/{robot.pk}").status_code == 200
    assert Api(story.carol).delete(f"/robots/{robot.pk}").status_code == 403
    assert Api(story.carol).patch(f"/robots/{robot.pk}", {}).status_code == 403
    assert Api(story.alice).delete(f"/robots/{robot.pk}").status_code == 200
    assert not Robot.objects.exists()


def test_a_robot_does_what_its_list_says_where_it_says(story: Story) -> None:
    other = make_project("other", story.alice)
    robot = make_robot(story.team, ["member:list", "member:create"])
    assert Api(robot).get("/projects/team/members").status_code == 200
    assert Api(robot).get(f"/projects/{other.pk}/members").status_code == 403
    assert Api(robot).delete("/projects/team").status_code == 403
    make_user("dave")
    given = {"role_id": 3, "member_user": {"username": "dave"}}
    assert Api(robot).post("/projects/team/members", given).status_code == 201


def test_lists_cost_the_same_for_one_and_for_thirty(
    story: Story, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    url, client = f"/robots?q=Level=project,ProjectID={story.team.pk}&page_size=30", Api(story.alice)
    make_robot(story.team)
    client.get(url)
    with django_assert_max_num_queries(8) as one:
        client.get(url)
    for _ in range(29):
        make_robot(story.team)
    with django_assert_num_queries(len(one)):
        assert len(client.get(url).json()) == 30


def test_making_a_robot_with_everything_costs_little(story: Story, django_assert_max_num_queries: Any) -> None:

    mine = [
        f"{resource}:{action}"
        for resource, actions in ROBOT.items()
        for action in actions.split()
        if action in GRANTS[resource].get(ADMIN, "").split()
    ]
    client = Api(story.alice)
    client.get("/projects")
    with django_assert_max_num_queries(20):
        assert client.post("/robots", body(space("team", *mine))).status_code == 201
    assert Project.objects.count() == 1


@pytest.mark.parametrize(("duration", "status"), [(1, 201), (9, 201), (10, 403), (-1, 403), (0, 403)])
def test_a_robot_makes_none_that_outlives_it(story: Story, duration: int, status: int) -> None:
    """Else whoever once had a secret for some days had one for ever."""
    ends = timezone.now() + timedelta(days=9, hours=1)
    maker = make_robot(None, ["robot:create", "robot:list"], expires=ends)
    wanted = body(space("/", "robot:list", kind="system"), level="system", duration=duration)
    answer = Api(maker).post("/robots", wanted)
    assert answer.status_code == status
    if status == 403:
        assert "outlives" in answer.json()["errors"][0]["message"]
