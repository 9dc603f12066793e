"""The role table, cell by cell, against Harbor's matrix as its documentation of the portal roles prints it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rbac import roles
from rbac.roles import BY_POWER, Role
from tests.rbac.harbor import COLUMNS, GRANTED, ROBOTS

DOCS = Path(__file__).parents[2] / "docs" / "roles.md"


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


def test_the_table_that_people_read_says_what_harbors_does() -> None:
    table = roles.as_table()
    head, _, *lines = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
    assert head == [*("", "projectAdmin", "maintainer", "developer", "guest", "limitedGuest", "everybody", "some tags")]
    said = {
        (name, column) for name, *cells in lines for column, cell in zip(COLUMNS, cells, strict=True) if cell == "yes"
    }
    assert {cell for _, *cells in lines for cell in cells} == {"yes", ""}
    assert said == {
        (f"{resource}:{action}", column)
        for resource, by_column in GRANTED.items()
        for column, actions in by_column.items()
        for action in actions
    }
    assert len({name for name, *_ in lines}) == len(lines)
    print(f"\n{table}")


def test_the_documentation_has_this_table() -> None:
    text = DOCS.read_text()
    assert roles.as_table() in text, (
        f"the table of {DOCS.name} is not that of rbac/roles.py: put in what "
        "`python -c 'from rbac import roles; print(roles.as_table())'` prints"
    )
    assert len([line for line in text.splitlines() if ":" in line and line.count("|") == 9]) == len(
        roles.as_table().splitlines()[2:]
    ), "there is a row besides those of the table"
