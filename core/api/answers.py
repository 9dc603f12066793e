"""What this room's operations answer, for the document. Fields that are not `Required` are left out when empty.

Types say what stands in the JSON: a `datetime` is written as RFC 3339 has it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Required, TypedDict


class Error(TypedDict, total=False):
    code: Required[str]
    message: Required[str]


class Errors(TypedDict, total=False):
    errors: Required[list[Error]]


class ComponentHealth(TypedDict, total=False):
    name: Required[str]
    status: Required[str]
    error: str


class Health(TypedDict, total=False):
    status: Required[str]
    components: Required[list[ComponentHealth]]


class ConfigurationItem(TypedDict, total=False):
    value: Required[Any]
    editable: Required[bool]


class SystemInfo(TypedDict, total=False):
    """Strangers get the first four."""

    auth_mode: Required[str]
    primary_auth_mode: Required[bool]
    self_registration: Required[bool]
    banner_message: Required[str]
    read_only: bool
    project_creation_restriction: str
    notification_enable: bool
    current_time: datetime
    harbor_version: str
    external_url: str
    registry_url: str
    has_ca_root: bool
    registry_storage_provider_name: str


class Storage(TypedDict, total=False):
    total: Required[int]
    free: Required[int]


class Volumes(TypedDict, total=False):
    storage: Required[list[Storage]]


class AllowedCve(TypedDict, total=False):
    cve_id: Required[str]


class CveAllowlist(TypedDict, total=False):
    id: int
    items: Required[list[AllowedCve]]
    expires_at: int
    creation_time: Required[datetime]
    update_time: Required[datetime]
