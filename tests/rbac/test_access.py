"""rbac.allowed, the one question."""

from __future__ import annotations

import pytest

from projects.models import Member, Project
from rbac.access import allowed, holds
from rbac.models import Anonymous, Group, Robot, User
from rbac.roles import Role
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("who", "pull", "push", "delete"),
    [
        ("alice", True, True, True),
        ("bob", True, True, False),
        ("carol", True, False, False),
        ("mallory", False, False, False),
        ("root", True, True, True),
    ],
)
def test_in_a_private_project(
    team: Project, mallory: User, admin: User, who: str, pull: bool, push: bool, delete: bool
) -> None:
    actor = User.objects.get(username=who)
    answers = [allowed(actor, "repository", action, team) for action in ("pull", "push", "delete")]
    assert answers == [pull, push, delete]


def test_anybody_may_pull_from_a_public_project(alice: User, mallory: User) -> None:
    public = factories.project("open", alice, public=True)
    for actor in (Anonymous(), mallory):
        assert allowed(actor, "repository", "pull", public)
        assert not allowed(actor, "repository", "push", public)
        assert not allowed(actor, "member", "list", public)


def test_a_group_gives_its_role_and_the_more_powerful_one_counts(team: Project, carol: User, mallory: User) -> None:
    group = Group.objects.create(name="developers", kind=Group.Kind.LDAP)
    Member.objects.create(project=team, group=group, role=Role.DEVELOPER)
    group.users.add(carol, mallory)
    assert allowed(carol, "repository", "push", team)
    assert allowed(mallory, "repository", "push", team)


def test_the_system_is_the_admins(alice: User, admin: User) -> None:
    assert allowed(admin, "user", "create")
    assert not allowed(alice, "user", "create")
    assert not allowed(Anonymous(), "user", "list")


def test_not_even_an_admin_may_pull_as_a_scanner(team: Project, admin: User) -> None:
    assert not allowed(admin, "repository", "scanner-pull", team)


def test_a_robot_may_what_its_list_says_and_nothing_else(team: Project, alice: User) -> None:
    other = factories.project("other", alice)
    robot, _ = factories.robot("ci", factories.grants("team", "push", "pull"))
    assert allowed(robot, "repository", "push", team)
    assert allowed(robot, "repository", "pull", team)
    assert not allowed(robot, "repository", "delete", team)
    assert not allowed(robot, "repository", "pull", other)
    assert not allowed(robot, "user", "list")


@pytest.mark.parametrize(("level", "may_pull"), [(Robot.Level.PROJECT, True), (Robot.Level.SYSTEM, False)])
def test_push_implies_pull_for_robots_of_a_project_alone(team: Project, level: str, may_pull: bool) -> None:
    """harbor-api: `filterRobotPolicies`. What it cannot do it cannot pass on either."""
    robot, _ = factories.robot("ci", factories.grants("team", "push"))
    robot.level = level
    assert allowed(robot, "repository", "push", team)
    assert allowed(robot, "repository", "pull", team) is may_pull
    assert holds(robot, "repository", "pull", team) is may_pull
    assert not allowed(robot, "artifact", "push", team)


def test_a_star_robot_reaches_every_project(team: Project, alice: User) -> None:
    robot, _ = factories.robot("mirror", factories.grants("*", "pull"))
    assert allowed(robot, "repository", "pull", team)
    assert allowed(robot, "repository", "pull", factories.project("later", alice))
    assert not allowed(robot, "repository", "push", team)
