"""Accounts, as every token and every push asks for them: by prepared statements."""

from __future__ import annotations

from core.postgres.prepared import Columns, Finder, Statement
from rbac.models import Robot, User

user_named = Finder(User, "text", "username = $1 AND deleted IS NULL").one
user_numbered = Finder(User, "bigint", "id = $1 AND deleted IS NULL").one
robot_numbered = Finder(Robot, "bigint", "id = $1").one
_ROBOT = Columns(Robot, "robot")
_ROBOT_AND_SECRETS = Statement(
    "text",
    f"""
    SELECT {_ROBOT.sql}, secret.kind, secret.digest FROM rbac_robot robot
    LEFT JOIN rbac_robotsecret secret
    ON secret.robot_id = robot.id AND (secret.expires IS NULL OR secret.expires > clock_timestamp())
    WHERE robot.name = $1
    """,  # noqa: S608 - columns of our own
)


def robot_with_live_secrets(kept_name: str) -> tuple[Robot | None, dict[str, list[str]]]:
    """The robot that is kept so, or None, and the digests of its secrets that have not expired, by their kind."""
    rows = _ROBOT_AND_SECRETS.rows(kept_name)
    if not rows:
        return None, {}
    digests: dict[str, list[str]] = {}
    for *_, kind, digest in rows:
        if kind is not None:
            digests.setdefault(kind, []).append(digest)
    return _ROBOT.instance(rows[0][: _ROBOT.count]), digests
