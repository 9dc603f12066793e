"""The role table, cell by cell, against Harbor's matrix as its documentation of the portal roles prints it."""

from __future__ import annotations

import pytest

from rbac import roles
from rbac.roles import BY_POWER, Role
from tests.rbac.harbor import GRANTED, ROBOTS


@pytest.mark.parametrize("resource", GRANTED)
def test_every_cell_is_harbors(resource: str) -> None:
    *by_role, everybody, some_tags = GRANTED[resource].values()
    for role, actions in zip(BY_POWER, by_role, strict=True):
        assert set(roles.GRANTS[resource].get(role, "").split()) == actions, role
    assert set(roles.PUBLIC.get(resource, "").split()) == everybody
    assert set(roles.TAG_SCOPED.get(resource, "").split()) == some_tags


@pytest.mark.parametrize("kind", ["system", "project"])
def test_robots_may_be_given_what_harbor_lists(kind: str) -> None:
    assert set(roles.robot_permissions(kind)) == ROBOTS[kind]


def test_no_resource_is_missing_from_the_matrix() -> None:
    assert set(roles.GRANTS) == set(GRANTED)
    assert {*roles.PUBLIC, *roles.TAG_SCOPED} <= set(GRANTED)


def test_roles_have_harbors_ids_and_names() -> None:
    assert {int(role): role.harbor_name for role in Role} == {
        1: "projectAdmin",
        2: "developer",
        3: "guest",
        4: "maintainer",
        5: "limitedGuest",
    }


def test_what_is_not_in_the_table_is_denied() -> None:
    assert not roles.role_grants(Role.PROJECT_ADMIN, "repository", "scanner-pull")
    assert not roles.role_grants(Role.PROJECT_ADMIN, "nonsense", "read")
    assert not roles.public_grants("repository", "push")
    assert not roles.robot_may_have("project", "user", "create")


def test_a_guest_of_some_tags_has_no_more_than_a_limited_guest() -> None:
    for resource, actions in roles.TAG_SCOPED.items():
        for action in actions.split():
            assert roles.role_grants(Role.LIMITED_GUEST, resource, action), (resource, action)
