"""Who may do what by Harbor's rules, written by hand from its documentation: nothing here comes from our own tables.

Letters: C create, R read, U update, D delete, L list, S stop, O operate; pull and push are words of their own.
"""

from __future__ import annotations

WORDS = {"C": "create", "R": "read", "U": "update", "D": "delete", "L": "list", "S": "stop", "O": "operate"}

# The last column but one is everybody in a public project; the last is ours: a guest who may have some tags only.
COLUMNS = ("project admin", "maintainer", "developer", "guest", "limited guest", "everybody", "guest of some tags")
MATRIX = """
project             | RUD            | R              | R             | R       | R       | R      | R
member              | CRUDL          | RL             | RL            | RL      |         |        |
metadata            | CRUD           | R              |               |         |         |        |
log                 | L              |                |               |         |         |        |
label               | CRUDL          | CRUDL          | RL            | RL      |         | RL     |
quota               | R              | R              | R             | R       | R       |        |
repository          | CRUDL pull push| CRUDL pull push| CRUL pull push| RL pull | RL pull | L pull | RL pull
tag-retention       | CRUDLO         | CRUDLO         | CRUDLO        |         |         |        |
immutable-tag       | CUDL           | CUDL           |               |         |         |        |
configuration       | RU             | R              | R             | R       | R       |        |
robot               | CRUDL          | RL             | RL            | RL      |         |        |
notification-policy | CRUDL          | RL             |               |         |         |        |
scan                | CRS            | CRS            | R             | R       | R       | R      | R
sbom                | CRS            | CRS            | R             | R       | R       |        | R
scanner             | CR             | R              | R             | R       | R       | R      |
artifact            | CRDL           | CRDL           | CRL           | RL      | RL      | RL     | RL
artifact-addition   | R              | R              | R             | R       | R       | R      | R
tag                 | CDL            | CDL            | CL            | L       | L       | L      | L
accessory           | L              | L              | L             | L       | L       | L      | L
artifact-label      | CD             | CD             | CD            |         |         |        |
preheat-policy      | CRUDL          |                |               |         |         |        |
export-cve          | CRL            | CRL            | CRL           |         |         |        |
"""

ROBOTS_OF_THE_SYSTEM = """
audit-log L; preheat-instance CRUDL; project CL; replication-policy CRUDL; replication CRL; replication-adapter L;
registry CRUDL; scan-all CRUS; system-volumes R; garbage-collection CRULS; purge-audit CRULS; jobservice-monitor LS;
scanner CRUDL; label CRUD; security-hub RL; catalog R; quota RLU; robot CRLD; user CRUDL; ldap-user CL;
user-group CRUDL
"""
ROBOTS_IN_PROJECTS = """
log L; project RUD; metadata CRUDL; repository RUDL pull push; artifact CRLD; scan CRS; sbom CRS; tag CLD; accessory L;
artifact-addition R; artifact-label CD; scanner CR; preheat-policy CRUDL; immutable-tag CUDL; notification-policy CRUDL;
tag-retention CRUDL; label CRUDL; quota R; robot CRLD; export-cve CR; member CRUDL
"""


def actions(cell: str) -> set[str]:
    """The actions that a cell's letters and words stand for."""
    found: set[str] = set()
    for word in cell.split():
        found |= {word} if word in ("pull", "push") else {WORDS[letter] for letter in word}
    return found


def _matrix() -> dict[str, dict[str, set[str]]]:
    lines = [[cell.strip() for cell in line.split("|")] for line in MATRIX.strip().splitlines()]
    return {name: dict(zip(COLUMNS, map(actions, cells), strict=True)) for name, *cells in lines}


def _robots(text: str) -> set[tuple[str, str]]:
    entries = [entry.split(maxsplit=1) for entry in text.replace("\n", " ").split(";")]
    return {(resource, action) for resource, cell in entries for action in actions(cell)}


GRANTED = _matrix()
"""Resource → column → actions."""
ROBOTS = {"system": _robots(ROBOTS_OF_THE_SYSTEM), "project": _robots(ROBOTS_IN_PROJECTS)}
"""What a robot may be given at all."""
