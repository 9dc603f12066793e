"""What this room's operations answer, for the document; as in `core.api.answers`."""

from __future__ import annotations

from datetime import datetime
from typing import Required, TypedDict


class User(TypedDict, total=False):
    user_id: Required[int]
    username: Required[str]
    email: str
    realname: str
    comment: str
    sysadmin_flag: Required[bool]
    admin_role_in_auth: Required[bool]
    creation_time: Required[datetime]
    update_time: Required[datetime]


class FoundUser(TypedDict, total=False):
    user_id: Required[int]
    username: Required[str]


class FoundGroup(TypedDict, total=False):
    id: Required[int]
    group_name: Required[str]
    group_type: Required[int]


class Group(TypedDict, total=False):
    id: Required[int]
    group_name: Required[str]
    group_type: Required[int]
    ldap_group_dn: str
