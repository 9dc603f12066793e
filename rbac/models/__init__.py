"""Who can call: people, groups of people, and robots."""

from rbac.models.group import Group
from rbac.models.robot import Robot, RobotSecret
from rbac.models.user import Anonymous, User

__all__ = ["Anonymous", "Group", "Robot", "RobotSecret", "User"]
