"""Accounts, as every token and every push asks for them: by prepared statements."""

from __future__ import annotations

from core.postgres.prepared import Finder
from rbac.models import Robot, RobotSecret, User

user_named = Finder(User, "text", "username = $1 AND deleted IS NULL").one
user_numbered = Finder(User, "bigint", "id = $1 AND deleted IS NULL").one
robot_named = Finder(Robot, "text", "name = $1").one
robot_numbered = Finder(Robot, "bigint", "id = $1").one
live_secrets_of = Finder(RobotSecret, "bigint", "robot_id = $1 AND (expires IS NULL OR expires > now())").all
