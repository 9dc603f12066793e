"""The role table, cell by cell, against Harbor's matrix as its documentation of the portal roles prints it."""

from __future__ import annotations

import pytest

from rbac import roles
from rbac.roles import BY_POWER, Role

WORDS = {"C": "create", "R": "read", "U": "update", "D": "delete", "L": "list", "S": "stop", "O": "operate"}

# Columns: projectAdmin, maintainer, developer, guest, limitedGuest, everybody in a public project.
MATRIX = """
project             | RUD            | R              | R             | R       | R       | R
member              | CRUDL          | RL             | RL            | RL      |         |
metadata            | CRUD           | R              |               |         |         |
log                 | L              |                |               |         |         |
label               | CRUDL          | CRUDL          | RL            | RL      |         | RL
quota               | R              | R              | R             | R       | R       |
repository          | CRUDL pull push| CRUDL pull push| CRUL pull push| RL pull | RL pull | L pull
tag-retention       | CRUDLO         | CRUDLO         | CRUDLO        |         |         |
immutable-tag       | CUDL           | CUDL           |               |         |         |
configuration       | RU             | R              | R             | R       | R       |
robot               | CRUDL          | RL             | RL            | RL      |         |
notification-policy | CRUDL          | RL             |               |         |         |
scan                | CRS            | CRS            | R             | R       | R       | R
sbom                | CRS            | CRS            | R             | R       | R       |
scanner             | CR             | R              | R             | R       | R       | R
artifact            | CRDL           | CRDL           | CRL           | RL      | RL      | RL
artifact-addition   | R              | R              | R             | R       | R       | R
tag                 | CDL            | CDL            | CL            | L       | L       | L
accessory           | L              | L              | L             | L       | L       | L
artifact-label      | CD             | CD             | CD            |         |         |
preheat-policy      | CRUDL          |                |               |         |         |
export-cve          | CRL            | CRL            | CRL           |         |         |
"""
ROWS = [[cell.strip() for cell in line.split("|")] for line in MATRIX.strip().splitlines()]


def actions(cell: str) -> set[str]:
    found: set[str] = set()
    for word in cell.split():
        found |= {word} if word in ("pull", "push") else {WORDS[letter] for letter in word}
    return found


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_cell_is_harbors(row: list[str]) -> None:
    resource, *cells = row
    for role, cell in zip(BY_POWER, cells, strict=False):
        assert set(roles.GRANTS[resource].get(role, "").split()) == actions(cell), role
    assert set(roles.PUBLIC.get(resource, "").split()) == actions(cells[5] if len(cells) > 5 else "")


def test_no_resource_is_missing_from_the_matrix() -> None:
    assert set(roles.GRANTS) == {row[0] for row in ROWS}
    assert set(roles.PUBLIC) <= {row[0] for row in ROWS}


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


def test_a_guest_of_some_tags_reads_and_pulls_and_nothing_else() -> None:
    """By hand: what a limited guest has, without what tells of more than his tags (quota, configuration, scanner)."""
    assert roles.TAG_SCOPED == {
        "project": "read",
        "repository": "read list pull",
        "scan": "read",
        "sbom": "read",
        "artifact": "read list",
        "artifact-addition": "read",
        "tag": "list",
        "accessory": "list",
    }
    for resource, actions in roles.TAG_SCOPED.items():
        for action in actions.split():
            assert roles.role_grants(Role.LIMITED_GUEST, resource, action), (resource, action)
