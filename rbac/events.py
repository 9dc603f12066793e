"""What happens to accounts."""

from __future__ import annotations

from dataclasses import dataclass

from core.events import Event


@dataclass(frozen=True, kw_only=True)
class AccountEvent(Event):
    """Something that happened to a user, a group or a robot."""

    account: str
    detail: str = ""

    @property
    def resource(self) -> str:
        return self.account

    @property
    def details(self) -> str:
        return self.detail


@dataclass(frozen=True, kw_only=True)
class UserCreated(AccountEvent):
    topic = "CREATE_USER"
    operation = "create"
    resource_type = "user"


@dataclass(frozen=True, kw_only=True)
class UserUpdated(AccountEvent):
    topic = "UPDATE_USER"
    operation = "update"
    resource_type = "user"


@dataclass(frozen=True, kw_only=True)
class UserDeleted(AccountEvent):
    topic = "DELETE_USER"
    operation = "delete"
    resource_type = "user"


@dataclass(frozen=True, kw_only=True)
class UserSignedIn(AccountEvent):
    topic = "LOGIN_USER"
    operation = "login"
    resource_type = "user"


@dataclass(frozen=True, kw_only=True)
class UserNotSignedIn(AccountEvent):
    """Somebody gave a wrong name or password. No kind of sign-in: who listens to those must not hear of it."""

    topic = "LOGIN_USER_FAILED"
    operation = "login"
    resource_type = "user"
    succeeded = False


@dataclass(frozen=True, kw_only=True)
class UserSignedOut(AccountEvent):
    topic = "LOGOUT_USER"
    operation = "logout"
    resource_type = "user"


@dataclass(frozen=True, kw_only=True)
class GroupCreated(AccountEvent):
    topic = "CREATE_GROUP"
    operation = "create"
    resource_type = "group"


@dataclass(frozen=True, kw_only=True)
class GroupUpdated(AccountEvent):
    topic = "UPDATE_GROUP"
    operation = "update"
    resource_type = "group"


@dataclass(frozen=True, kw_only=True)
class GroupDeleted(AccountEvent):
    topic = "DELETE_GROUP"
    operation = "delete"
    resource_type = "group"


@dataclass(frozen=True, kw_only=True)
class RobotCreated(AccountEvent):
    topic = "CREATE_ROBOT"
    operation = "create"
    resource_type = "robot"


@dataclass(frozen=True, kw_only=True)
class RobotUpdated(AccountEvent):
    topic = "UPDATE_ROBOT"
    operation = "update"
    resource_type = "robot"


@dataclass(frozen=True, kw_only=True)
class RobotDeleted(AccountEvent):
    topic = "DELETE_ROBOT"
    operation = "delete"
    resource_type = "robot"
